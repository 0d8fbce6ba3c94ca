"""Several devices of this machine as backend: a worker process each, on the segments of one job."""

import copy
import logging
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

import torch

from edvr_cli.errors import DeviceError
from edvr_cli.events import Notice, OnEvent
from edvr_cli.jobs.backends import Backend, LocalBackend
from edvr_cli.jobs.fingerprint import model_digest
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.jobs.task_backend import MAX_RETRIES, TaskBackend
from edvr_cli.jobs.tasks import SegmentTask
from edvr_cli.jobs.worker_engine import EngineFacts, EngineSetup, TaskResult
from edvr_cli.jobs.worker_process import Describe, Failure, Restore, receive, send, serve
from edvr_cli.network.model import Model
from edvr_cli.system.limits import available_memory
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["DeviceWorkers", "engine_setups"]

_LOG = logging.getLogger(__name__)
_PATIENCE = 5.0  # seconds for a process to end
_AT_ONCE = "was ended before it began"
_IN_A_PROGRAM = ' (Workers import the program that starts them: its work belongs below if __name__ == "__main__".)'


class DeviceWorkers:
    """Worker processes, one per device; call it for the backend of a plan. A context manager, which ends them.

    ``devices`` are names as ``cuda:1``; ``cpu`` may be there several times, and its threads and memory are shared
    then. The processes begin with the first video and stay for the next ones.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._workers = [_Worker(device) for device in devices]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()

    def __call__(self, plan: RestorePlan, emit: OnEvent) -> Backend:
        """The backend for a video: one device alone where its source cannot be divided."""
        if not plan.info.source.rereadable:
            local = LocalBackend(plan, emit)
            emit(Notice(f"{plan.info.path} can be read only once, in order: one device is used, {local.device}."))
            return local
        return TaskBackend(_ProcessPool(self._workers, plan, emit), emit)


def engine_setups(plan: RestorePlan, devices: Sequence[str]) -> list[EngineSetup]:
    """The setup of each device's engine: workers on the CPU share its threads and memory."""
    digest, threads = model_digest(plan.model), plan.job.threads or torch.get_num_threads()
    setups = []
    for device in devices:
        sharing = sum(other == device for other in devices)
        inference = plan.inference
        if sharing > 1:
            inference = replace(inference, max_memory=(inference.max_memory or available_memory()) // sharing)
        setups.append(EngineSetup(digest, device, inference, max(1, threads // len(devices)), sharing))
    return setups


class _Worker:
    """A device, the process that has it, and the task it is at."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.task: SegmentTask | None = None
        self.connection: Connection | None = None
        self._process: Any = None

    def begin(self) -> Connection:
        """The connection to the process, started where there is none."""
        if self.connection is None:
            context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
            self.connection, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs,), name=f"edvr on {self.device}", daemon=True)
            with _ignoring_ctrl_c():
                process.start()
            theirs.close()
            self._process = process
        return self.connection

    def end(self) -> None:
        """End the process, whatever it does."""
        process, connection = self._process, self.connection
        self._process = self.connection = self.task = None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            process.join(_PATIENCE)


class _ProcessPool:
    """The workers at one video; see `TaskPool`."""

    here = True

    def __init__(self, workers: list[_Worker], plan: RestorePlan, emit: OnEvent) -> None:
        self._workers = workers
        self._setups = dict(zip(workers, engine_setups(plan, [worker.device for worker in workers]), strict=True))
        self._model = pickle.dumps(_on_cpu(plan.model))
        self._info = plan.info
        self._emit = emit
        self._encoders: dict[_Worker, EncoderPlan] = {}
        self._losses: dict[int, int] = {}  # of the task with this first frame

    @property
    def workers(self) -> int:
        """One per device."""
        return len(self._workers)

    @property
    def capacity(self) -> int:
        """One task each: the next is ready when a worker is."""
        return len(self._workers)

    def describe(self) -> Sequence[EngineFacts]:
        """What each engine chose, now that all processes have begun."""
        for worker in self._workers:
            worker.begin()  # all at once: each loads torch for seconds
        try:
            for worker in self._workers:
                self._introduce(worker)
            return [self._facts(worker) for worker in self._workers]
        except BaseException:
            for worker in self._workers:  # An answer that nobody waits for would be taken for the next one's.
                worker.end()
            raise

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""
        for worker, setup in self._setups.items():
            self._setups[worker] = replace(setup, inference=replace(setup.inference, tile=tile))

    def send(self, task: SegmentTask, encoder: EncoderPlan) -> None:
        """Give a task to a worker that has none."""
        worker = next(worker for worker in self._workers if worker.task is None)
        worker.task, self._encoders[worker] = task, encoder
        try:
            if worker.connection is None:  # Its process was ended with an earlier range.
                worker.begin()
                self._introduce(worker)
                self._facts(worker)
            send(worker.begin(), Restore(self._setups[worker], task, encoder))
        except OSError:
            self._replace(worker)

    def wait(self, seconds: float) -> Iterator[tuple[SegmentTask, int | TaskResult]]:
        """News of tasks; see `TaskPool`."""
        busy = {worker.connection: worker for worker in self._workers if worker.task is not None}
        for connection in wait([connection for connection in busy if connection is not None], seconds):
            worker = busy[connection]  # type: ignore[index]  # the same objects
            task = worker.task
            if task is None or worker.connection is not connection:
                continue
            try:
                news = receive(worker.begin())
            except (EOFError, OSError):
                self._replace(worker)
                continue
            if isinstance(news, TaskResult):
                worker.task = None
            yield task, self._checked(news, worker)

    def cancel(self) -> None:
        """Drop every task that runs: its process ends, and begins again when it is needed."""
        for worker in self._workers:
            if worker.task is not None:
                worker.end()

    def _introduce(self, worker: _Worker) -> None:
        """Send what a worker must know of the video."""
        try:
            send(worker.begin(), Describe(self._setups[worker], self._model, self._info))
        except OSError as error:
            raise self._lost(worker, _AT_ONCE) from error

    def _facts(self, worker: _Worker) -> EngineFacts:
        try:
            facts: EngineFacts = self._checked(receive(worker.begin()), worker)
        except (EOFError, OSError) as error:
            raise self._lost(worker, _AT_ONCE) from error
        return facts

    def _checked(self, news: Any, worker: _Worker) -> Any:
        """What a worker sent; raises its error."""
        if not isinstance(news, Failure):
            return news
        _LOG.debug("the worker on %s failed:\n%s", worker.device, news.trace)
        worker.task = None
        if isinstance(news.error, DeviceError) and len({each.device for each in self._workers}) > 1:
            news.error.add_note(f"That was on {worker.device}.")
        raise news.error

    def _replace(self, worker: _Worker) -> None:
        """Begin a lost process again, and its task."""
        task, encoder = worker.task, self._encoders[worker]
        assert task is not None
        worker.end()
        losses = self._losses[task.begin] = self._losses.get(task.begin, 0) + 1
        if losses > MAX_RETRIES:
            raise self._lost(worker, f"was ended {losses} times over one segment")
        self._emit(Notice(f"The worker on {worker.device} ended before its time; its segment is begun again."))
        self.send(task, encoder)

    def _lost(self, worker: _Worker, how: str) -> DeviceError:
        worker.end()
        return DeviceError(
            f"The worker on {worker.device} {how}, perhaps by the system for lack of memory: use fewer devices, or "
            f"smaller tiles.{_IN_A_PROGRAM if how is _AT_ONCE else ''}"
        )


def _on_cpu(model: Model) -> Model:
    """The model for sending, not bound to a device of this process."""
    return model if model.device.type == "cpu" else replace(model, network=copy.deepcopy(model.network).to("cpu"))


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """A process that is started in the block ignores Ctrl-C from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
