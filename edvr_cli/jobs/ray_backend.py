"""A Ray cluster as backend: the same segments on many devices and machines (extra ``cluster``).

A segment travels as the source packets that it needs and comes back encoded, so that workers share no disk; the
network is put into Ray's object store once. The tasks of a lost worker are given to another. Two GPUs of one machine
are a cluster as well.
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
from edvr_cli.events import Notice, OnEvent
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import InferenceOptions, Precision
from edvr_cli.inference.precision import name_of
from edvr_cli.jobs.backends import RestoreContext
from edvr_cli.jobs.fingerprint import model_digest
from edvr_cli.jobs.manifest import MissingRange
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.jobs.segment_files import store_segment
from edvr_cli.jobs.segments import Segment
from edvr_cli.jobs.tasks import SegmentTask, embed_frames, run_task, split_into_tasks
from edvr_cli.network.model import Model
from edvr_cli.system.text import first_line
from edvr_cli.system.threads import prefetch
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["RayCluster"]

_MAX_RETRIES = 5  # of a task whose worker or machine is lost
_POLL_SECONDS = 0.5  # between checks whether to stop
_TASKS_PER_SLOT = 2  # one running, one waiting next to it
_CPUS = 4  # CPUs of a task without a GPU, unless the user says otherwise


class RayCluster:
    """A Ray cluster; call it for the backend of a plan.

    ``address`` is ``auto`` (the cluster of this machine, started if there is none) or Ray's: ``HOST:PORT`` or
    ``ray://HOST:PORT``. ``gpus`` says whether each task takes a GPU (None: if the cluster has any), ``threads`` how
    many CPUs a task takes otherwise. Raises DeviceError where the cluster cannot be reached or has no free device.
    """

    def __init__(self, address: str, *, gpus: bool | None = None, threads: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        _connect(address)
        resources = ray.cluster_resources()
        self._gpus = resources.get("GPU", 0) >= 1 if gpus is None else gpus
        largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        self._cpus = 1 if self._gpus else max(1, min(threads or _CPUS, int(largest)))
        if self.slots < 1:
            what = "GPU" if self._gpus else "CPU"
            raise DeviceError(f"The cluster at {address} has no node with a {what}.")
        self._models: dict[str, ObjectRef[Model]] = {}

    @property
    def slots(self) -> int:
        """How many tasks the cluster can run at once, now."""
        resources = ray.cluster_resources()
        return int(resources.get("GPU", 0) if self._gpus else resources.get("CPU", 0) // self._cpus)

    def __call__(self, plan: RestorePlan, emit: OnEvent) -> "RayBackend":
        """The backend for a video; the model is sent once per cluster."""
        digest = model_digest(plan.model)
        if digest not in self._models:
            self._models[digest] = ray.put(plan.model)
        resources = {"num_gpus": 1, "num_cpus": 1} if self._gpus else {"num_cpus": self._cpus}
        spec = _EngineSpec([self._models[digest]], "cuda" if self._gpus else "cpu", plan.inference, self._cpus)
        return RayBackend(self, resources, spec, plan.info, emit)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        ray.shutdown()


@dataclass(frozen=True)
class _EngineSpec:
    """What a worker makes its engine from."""

    model: "list[ObjectRef[Model]]"  # in a list, so that Ray passes the reference, not the model
    device: str
    inference: InferenceOptions
    threads: int


@dataclass(frozen=True)
class _EngineFacts:
    tile: int
    precision: Precision
    device: str
    reach: int  # frames of a window
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Result:
    """A finished segment, None where the task's packets were not enough, and the notices of the engine."""

    segment: Segment | None
    data: bytes
    notices: tuple[str, ...]


class RayBackend:
    """Restores missing ranges of a video on a cluster, segments in any order."""

    def __init__(
        self, cluster: RayCluster, resources: dict[str, int], spec: _EngineSpec, info: VideoInfo, emit: OnEvent
    ) -> None:
        self._cluster = cluster
        self._resources = {**resources, "max_retries": _MAX_RETRIES}
        self._spec = spec
        self._info = info
        self._emit = emit
        self._reported: set[str] = set()
        facts: _EngineFacts = _get(_describe.options(**self._resources).remote(spec, info))
        self.notes = facts.notes
        self.precision = facts.precision
        self._reach = facts.reach
        self.device = f"{cluster.slots} × {facts.device}"
        self.use_tile(facts.tile)

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""
        self.tile = tile
        self._spec = replace(self._spec, inference=replace(self._spec.inference, tile=tile))

    def restore_range(self, missing: MissingRange, context: RestoreContext) -> bool:
        """Restore the frames of ``missing`` into segments. Returns False where it was stopped before the end."""
        tasks = split_into_tasks(
            context.source,
            missing,
            split_at_cuts=context.split_at_cuts,
            limits=context.limits,
            reach=self._reach,
        )
        running: dict[ObjectRef[_Result], SegmentTask] = {}
        stopped = exhausted = False
        with closing(prefetch(tasks, 1)) as ahead:
            try:
                while True:
                    stopped = stopped or context.stop()
                    limit = max(1, self._cluster.slots * _TASKS_PER_SLOT)
                    while not (stopped or exhausted) and len(running) < limit:
                        task = next(ahead, None)
                        exhausted = task is None
                        if task is not None:
                            running[self._send(task, context)] = task
                    if not running:
                        return not stopped
                    ready, _ = ray.wait(list(running), num_returns=1, timeout=_POLL_SECONDS)
                    for reference in ready:
                        task = running.pop(reference)
                        result: _Result = _get(reference)
                        self._report(result.notices)
                        if result.segment is None:
                            running[self._send(embed_frames(task, context.source), context)] = task
                            continue
                        _store(result.segment, result.data, context)
            finally:
                for reference in running:
                    ray.cancel(reference, force=True)

    def _send(self, task: SegmentTask, context: RestoreContext) -> "ObjectRef[_Result]":
        if task.fragment is None and not task.planes:
            task = embed_frames(task, context.source)
        return _restore.options(**self._resources).remote(self._spec, task, self._info, context.encoder)

    def _report(self, notices: tuple[str, ...]) -> None:
        """Emit what workers report, once where several report the same."""
        for notice in notices:
            if notice not in self._reported:
                self._reported.add(notice)
                self._emit(Notice(notice))


def _store(segment: Segment, data: bytes, context: RestoreContext) -> None:
    store_segment(segment, data, context.directory)
    context.on_segment(segment)
    for _ in range(segment.frame_count):
        context.on_frame()


@ray.remote
def _describe(spec: _EngineSpec, info: VideoInfo) -> _EngineFacts:
    """What the engine of a worker chooses for this video."""
    engine = _worker.engine(spec)
    engine.prepare(info.height, info.width)
    return _EngineFacts(
        engine.tile_size, name_of(engine.dtype), str(engine.device), engine.config.frames, tuple(engine.notes)
    )


@ray.remote
def _restore(spec: _EngineSpec, task: SegmentTask, info: VideoInfo, encoder: EncoderPlan) -> _Result:
    result = run_task(task, info, _worker.engine(spec), encoder)
    segment, data = result or (None, b"")
    return _Result(segment, data, _worker.take_notices())


class _Worker:
    """The engine of this worker process: one, as memory is short, and kept between tasks.

    The tile size is set when the spec asks for another one, not for each task: an engine that ran out of memory
    keeps its smaller tiles.
    """

    def __init__(self) -> None:
        self._spec: _EngineSpec | None = None
        self._engine: StreamingEDVR | None = None
        self._notices: list[str] = []

    def engine(self, spec: _EngineSpec) -> StreamingEDVR:
        """The engine for ``spec``, made where the previous one is for another."""
        if self._engine is None or self._spec is None or self._spec != spec:
            self._engine = None
            torch.set_num_threads(spec.threads)
            model = ray.get(spec.model[0])
            model.network.to(spec.device)
            self._engine = StreamingEDVR(model, spec.inference, on_notice=self._notices.append)
            self._spec = spec
        return self._engine

    def take_notices(self) -> tuple[str, ...]:
        """The engine's notices since the last call."""
        notices = tuple(self._notices)
        self._notices.clear()
        return notices


_worker = _Worker()


def _get(reference: "ObjectRef[Any]") -> Any:
    """The result of a task; raises the worker's EdvrError, or a DeviceError with Ray's reason."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EdvrError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        first = first_line(error)
        raise DeviceError(f"The cluster lost a segment {_MAX_RETRIES} times: {first}") from error


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
        except ConnectionError:  # No cluster runs on this machine.
            ray.init(include_dashboard=False, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        first = first_line(error)
        raise DeviceError(f"No Ray cluster answers at {address}: {first}") from error
