"""A worker process of this machine: it gets tasks through a pipe, and answers with frame counts and results.

Messages are pickled here and not by the pipe: torch would move tensors into shared memory, of which containers have
little.
"""

import pickle
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from edvr_cli.errors import EdvrError, sentence_of, unforeseen
from edvr_cli.jobs.tasks import SegmentTask, run_task
from edvr_cli.jobs.worker_engine import EngineSetup, TaskResult, WorkerEngine
from edvr_cli.network.model import Model
from edvr_cli.system.gpu_errors import explanation
from edvr_cli.system.malloc import keep_memory
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["Describe", "Failure", "Restore", "receive", "send", "serve"]


@dataclass(frozen=True)
class Describe:
    """The request for what an engine chooses for a video; the model comes pickled."""

    setup: EngineSetup
    model: bytes
    info: VideoInfo


@dataclass(frozen=True)
class Restore:
    """The request for a segment of the video that was described last."""

    setup: EngineSetup
    task: SegmentTask
    encoder: EncoderPlan


@dataclass(frozen=True)
class Failure:
    """What went wrong with a request; ``trace`` is the worker's traceback, for the log."""

    error: EdvrError
    trace: str


def send(connection: Connection, message: object) -> None:
    """Send any message."""
    connection.send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))


def receive(connection: Connection) -> Any:
    """The next message; waits for it. Raises EOFError where the other side is gone."""
    return pickle.loads(connection.recv_bytes())


def serve(connection: Connection) -> None:
    """Answer requests until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the main one decides.
    keep_memory()
    answer = _Answers(connection)
    while True:
        try:
            request = receive(connection)
        except (EOFError, OSError):
            return
        try:
            reply = answer(request)
        except Exception as error:  # handed over, and raised by the main process
            reply = Failure(_portable(error), traceback.format_exc())
        try:
            send(connection, reply)
        except OSError:
            return


class _Answers:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._engine = WorkerEngine()
        self._model = b""
        self._info: VideoInfo | None = None

    def __call__(self, request: Describe | Restore) -> object:
        """The answer to a request."""
        if isinstance(request, Describe):
            self._model, self._info = request.model, request.info
            return self._engine.describe(request.setup, self._load, request.info)
        assert self._info is not None
        engine = self._engine.get(request.setup, self._load)
        result = run_task(request.task, self._info, engine, request.encoder, on_frame=self._counter())
        segment, data = result or (None, b"")
        return TaskResult(segment, data, self._engine.take_notices())

    def _load(self) -> Model:
        model: Model = pickle.loads(self._model)
        return model

    def _counter(self) -> Callable[[], None]:
        """A function that tells the main process of each frame of a task."""
        count = 0

        def on_frame() -> None:
            nonlocal count
            count += 1
            send(self._connection, count)

        return on_frame


def _portable(error: Exception) -> EdvrError:
    """The error as one that can be sent, in a sentence; of an unforeseen one it names the place."""
    if isinstance(error, EdvrError):
        return error
    known = explanation(error)
    if known is not None:
        return known
    return EdvrError(sentence_of(error) if isinstance(error, OSError) else unforeseen(error))
