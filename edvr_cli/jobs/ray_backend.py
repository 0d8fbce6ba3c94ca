"""A Ray cluster as backend: the same segments on many devices and machines (extra ``cluster``).

A segment travels as the source packets that it needs and comes back encoded, so that workers share no disk; the
network is put into Ray's object store once. The tasks of a lost worker are given to another. Several
GPUs of one machine need no cluster: `device_workers`.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ray
import ray.exceptions
from ray import ObjectRef

from edvr_cli.errors import DeviceError, EdvrError
from edvr_cli.events import OnEvent
from edvr_cli.jobs.fingerprint import model_digest
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.jobs.task_backend import MAX_RETRIES, TaskBackend
from edvr_cli.jobs.tasks import SegmentTask, run_task
from edvr_cli.jobs.worker_engine import EngineFacts, EngineSetup, TaskResult, WorkerEngine
from edvr_cli.network.model import Model
from edvr_cli.system.text import first_line
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["RayCluster"]

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

    def __call__(self, plan: RestorePlan, emit: OnEvent) -> TaskBackend:
        """The backend for a video; the model is sent once per cluster."""
        digest = model_digest(plan.model)
        if digest not in self._models:
            self._models[digest] = ray.put(plan.model)
        resources = {"num_gpus": 1, "num_cpus": 1} if self._gpus else {"num_cpus": self._cpus}
        setup = EngineSetup(digest, "cuda" if self._gpus else "cpu", plan.inference, self._cpus)
        return TaskBackend(_RayPool(self, resources, setup, self._models[digest], plan.info), emit)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        ray.shutdown()


class _RayPool:
    """The workers of a cluster at one video; see `TaskPool`."""

    here = False

    def __init__(
        self,
        cluster: RayCluster,
        resources: dict[str, int],
        setup: EngineSetup,
        model: "ObjectRef[Model]",
        info: VideoInfo,
    ) -> None:
        self._cluster = cluster
        self._resources = {**resources, "max_retries": MAX_RETRIES}
        self._setup = setup
        self._model = [model]  # in a list, so that Ray passes the reference, not the network
        self._info = info
        self._running: dict[ObjectRef[TaskResult], SegmentTask] = {}

    @property
    def workers(self) -> int:
        """How many tasks the cluster can run at once, now."""
        return self._cluster.slots

    @property
    def capacity(self) -> int:
        """More than run at once, so that the next one is at the worker already."""
        return self.workers * _TASKS_PER_SLOT

    def describe(self) -> list[EngineFacts]:
        """What the engine of one worker chose; the others are taken to be alike."""
        return [_get(_describe.options(**self._resources).remote(self._setup, self._model, self._info))]

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""
        self._setup = replace(self._setup, inference=replace(self._setup.inference, tile=tile))

    def send(self, task: SegmentTask, encoder: EncoderPlan) -> None:
        """Give a task to the cluster."""
        restore = _restore.options(**self._resources)
        self._running[restore.remote(self._setup, self._model, task, self._info, encoder)] = task

    def wait(self, seconds: float) -> Iterator[tuple[SegmentTask, TaskResult]]:
        """Results; see `TaskPool`."""
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=seconds)
        for reference in ready:
            task = self._running.pop(reference)
            yield task, _get(reference)

    def cancel(self) -> None:
        """Drop every task that runs."""
        for reference in self._running:
            ray.cancel(reference, force=True)
        self._running.clear()


_engine = WorkerEngine()  # of this process, where it is a worker


@ray.remote
def _describe(setup: EngineSetup, model: "list[ObjectRef[Model]]", info: VideoInfo) -> EngineFacts:
    """What the engine of a worker chooses for this video."""
    return _engine.describe(setup, lambda: ray.get(model[0]), info)


@ray.remote
def _restore(
    setup: EngineSetup, model: "list[ObjectRef[Model]]", task: SegmentTask, info: VideoInfo, encoder: EncoderPlan
) -> TaskResult:
    result = run_task(task, info, _engine.get(setup, lambda: ray.get(model[0])), encoder)
    segment, data = result or (None, b"")
    return TaskResult(segment, data, _engine.take_notices())


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
        raise DeviceError(f"The cluster lost a segment {MAX_RETRIES} times: {first}") from error


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
