"""The same segments on many devices and machines, by Ray: the one module that imports it (extra ``cluster``).

A segment travels as the source packets that it needs and comes back encoded, so that workers share no disk; the
network is put into Ray's object store once. What a lost worker or machine had is given to another. Two GPUs of one
machine are a cluster as well.
"""

import os
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import ray
import ray.exceptions
import torch
from ray import ObjectRef

from edvr_cli.errors import DeviceError, EdvrError
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.precision import Precision, name_of
from edvr_cli.jobs.backends import Work
from edvr_cli.jobs.fingerprint import model_digest
from edvr_cli.jobs.manifest import Gap
from edvr_cli.jobs.segment_files import store_segment
from edvr_cli.jobs.segments import Segment
from edvr_cli.jobs.tasks import Task, divide, perform, with_frames
from edvr_cli.network.edvr import EDVR
from edvr_cli.system.threads import prefetch
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["Cluster"]

_RETRIES = 5  # of a task whose worker or machine is lost
_WAIT = 0.5  # seconds between looks at whether to stop
_AHEAD = 2  # tasks a worker: one at work, one at hand
_CPUS = 4  # processors of a task without a GPU, if not said otherwise


class Cluster:
    """A Ray cluster; call it for a video's workers.

    ``address`` is ``auto`` (the cluster of this machine, begun here if there is none) or Ray's: ``HOST:PORT`` or
    ``ray://HOST:PORT``. ``gpus`` says whether tasks take a GPU each (None: if the cluster has any), ``threads`` how
    many processors they take otherwise. Raises DeviceError where the cluster cannot be reached or is of no use.
    """

    def __init__(self, address: str, *, gpus: bool | None = None, threads: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        _connect(address)
        resources = ray.cluster_resources()
        self._gpus = resources.get("GPU", 0) >= 1 if gpus is None else gpus
        most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        self._cpus = 1 if self._gpus else max(1, min(threads or _CPUS, int(most)))
        if self.slots < 1:
            what = "a GPU" if self._gpus else "a processor"
            raise DeviceError(f"The cluster at {address} has no node with {what}.")
        self._models: dict[str, ObjectRef[EDVR]] = {}

    @property
    def slots(self) -> int:
        """How many tasks the cluster runs at once, as it is now."""
        resources = ray.cluster_resources()
        return int(resources.get("GPU", 0) if self._gpus else resources.get("CPU", 0) // self._cpus)

    def __call__(
        self, model: EDVR, info: VideoInfo, *, precision: Precision, compiled: bool, tile: int | None, halo: int
    ) -> "ClusterWorkers":
        """Workers for a video; the network is sent unless it is there."""
        digest = model_digest(model)
        if digest not in self._models:
            self._models[digest] = ray.put(model)
        options = {"num_gpus": 1, "num_cpus": 1} if self._gpus else {"num_cpus": self._cpus}
        device = "cuda" if self._gpus else "cpu"
        recipe = _Recipe([self._models[digest]], device, precision, compiled, tile, halo, self._cpus)
        return ClusterWorkers(self, options, recipe, info)

    def close(self) -> None:
        """Leave the cluster; one that was begun here ends."""
        ray.shutdown()


@dataclass(frozen=True)
class _Recipe:
    """What an engine is made from."""

    model: "list[ObjectRef[EDVR]]"  # in a list, which Ray hands on as it is
    device: str
    precision: Precision
    compiled: bool
    tile: int | None
    halo: int
    threads: int


class ClusterWorkers:
    """Restores a video's gaps on a cluster, segments in any order."""

    def __init__(self, cluster: Cluster, options: dict[str, int], recipe: _Recipe, info: VideoInfo) -> None:
        self._cluster = cluster
        self._options = {**options, "max_retries": _RETRIES}
        self._recipe = recipe
        self._info = info
        self.notes: tuple[str, ...] = ()
        facts = _get(_describe.options(**self._options).remote(recipe, info))
        self.tile, self.precision, device, self._reach = facts
        self.device = f"{cluster.slots} × {device}"
        self.use_tile(self.tile)

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""
        self.tile = tile
        self._recipe = replace(self._recipe, tile=tile)

    def fill(self, gap: Gap, work: Work) -> bool:
        """Restore the frames of ``gap`` into segments. True when all is done, False when it was stopped before."""
        tasks = divide(work.source, gap, shots=work.shots, lengths=work.lengths, reach=self._reach)
        running: dict[ObjectRef[_Result], Task] = {}
        stopped = exhausted = False
        with closing(prefetch(tasks, 1)) as ahead:
            try:
                while True:
                    stopped = stopped or work.stop()
                    while not (stopped or exhausted) and len(running) < max(1, self._cluster.slots * _AHEAD):
                        task = next(ahead, None)
                        exhausted = task is None
                        if task is not None:
                            running[self._send(task, work)] = task
                    if not running:
                        return not stopped
                    ready, _ = ray.wait(list(running), num_returns=1, timeout=_WAIT)
                    for reference in ready:
                        task = running.pop(reference)
                        result: _Result = _get(reference)
                        if result is None:
                            running[self._send(with_frames(task, work.source), work)] = task
                            continue
                        _take(result[0], result[1], work)
            finally:
                for reference in running:
                    ray.cancel(reference, force=True)

    def _send(self, task: Task, work: Work) -> "ObjectRef[_Result]":
        if task.part is None and not task.planes:
            task = with_frames(task, work.source)
        return _restore.options(**self._options).remote(self._recipe, task, self._info, work.encoder)


_Result = tuple[Segment, bytes] | None


def _take(segment: Segment, data: bytes, work: Work) -> None:
    store_segment(segment, data, work.directory)
    work.on_segment(segment)
    for _ in range(segment.frame_count):
        work.on_frame()


@ray.remote
def _describe(recipe: _Recipe, info: VideoInfo) -> tuple[int, Precision, str, int]:
    """(tile, precision, device, frames a window reaches) on a worker."""
    engine = _engine(recipe)
    engine.prepare(info.height, info.width)
    return engine.tile_size, name_of(engine.dtype), str(engine.device), engine.config.frames


@ray.remote
def _restore(recipe: _Recipe, task: Task, info: VideoInfo, encoder: EncoderPlan) -> _Result:
    return perform(task, info, _engine(recipe), encoder)


_engines: dict[tuple[object, ...], StreamingEDVR] = {}  # of this worker process; one, as memory is short


def _engine(recipe: _Recipe) -> StreamingEDVR:
    key = (recipe.model[0], recipe.device, recipe.precision, recipe.compiled, recipe.halo)
    if key not in _engines:
        _engines.clear()
        torch.set_num_threads(recipe.threads)
        model = ray.get(recipe.model[0]).to(recipe.device)
        _engines[key] = StreamingEDVR(model, precision=recipe.precision, halo=recipe.halo, compiled=recipe.compiled)
    engine = _engines[key]
    engine.tile = recipe.tile
    return engine


def _get(reference: "ObjectRef[Any]") -> Any:
    """A task's result; what the worker raised for the user, or else in the cluster's own words."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EdvrError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise DeviceError(f"The cluster lost a segment {_RETRIES} times: {first}") from error


def _connect(address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if ray.is_initialized():
        return
    try:
        if address != "auto":
            ray.init(address, **quiet)
            return
        try:
            ray.init("auto", **quiet)
        except ConnectionError:  # None runs here.
            ray.init(include_dashboard=False, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise DeviceError(f"No Ray cluster answers at {address}: {first}") from error
