"""Stages of a stream in parallel threads, connected by bounded queues."""

import threading
from collections.abc import Callable, Generator, Iterable
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Generic, Self, TypeVar

__all__ = ["Drain", "asked_to_stop", "left_behind", "prefetch"]

T = TypeVar("T")

_POLL = 0.1  # seconds between looks at whether the other side has gone
_END = object()


_PATIENCE = 10.0  # seconds for a thread to end that is not wanted any more
_thread = threading.local()
_left: list[threading.Thread] = []


def asked_to_stop() -> bool:
    """Whether this thread should stop; code that may wait forever asks now and then."""
    stopped: threading.Event | None = getattr(_thread, "stopped", None)
    return stopped is not None and stopped.is_set()


def left_behind() -> bool:
    """Whether a thread still waits for data that are no longer needed, and may wait forever."""
    return any(thread.is_alive() for thread in _left)


def _leave(thread: threading.Thread) -> None:
    """Wait for a thread that was asked to stop, for a limited time."""
    thread.join(_PATIENCE)
    if thread.is_alive():
        _left.append(thread)


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yield ``items``, produced by a thread at most ``depth`` ahead.

    What they raise is raised here. When this generator is closed early, the thread is stopped and joined, and
    a generator it was reading is closed in that thread. One that does not stop in time is left behind.
    """
    queue: Queue[object] = Queue(depth)
    stopped = threading.Event()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                queue.put(item, timeout=_POLL)
            except Full:
                continue
            return True
        return False

    def produce() -> None:
        _thread.stopped = stopped
        try:
            for item in items:
                if not put(item):
                    break
            if close := getattr(items, "close", None):
                close()
            put(_END)
        except BaseException as error:  # handed over, and raised by the consumer
            put(_Failure(error))

    thread = threading.Thread(target=produce, name="edvr-prefetch", daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc]  # everything else in the queue is a T
    finally:
        stopped.set()
        _leave(thread)


class Drain(Generic[T]):
    """A thread that passes items to ``consume`` in order, at most ``depth`` behind; a context manager.

    Leaving the block normally waits until everything put is consumed; leaving it by an exception drops what is
    still waiting. Either way the thread is joined, unless it does not stop in time. What ``consume`` raises is raised
    by :meth:`put` or on leaving.
    """

    def __init__(self, consume: Callable[[T], None], depth: int) -> None:
        self._consume = consume
        self._queue: Queue[T] = Queue(depth)
        self._ending = threading.Event()  # nothing more will be put
        self._dropping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="edvr-drain", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._dropping.set()
        self._ending.set()
        if error is not None:
            _leave(self._thread)
        else:
            self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def put(self, item: T) -> None:
        """Queue one item; waits while ``depth`` others are queued."""
        while True:
            if self._error is not None:
                raise self._error
            try:
                return self._queue.put(item, timeout=_POLL)
            except Full:
                continue

    def _run(self) -> None:
        _thread.stopped = self._dropping
        try:
            while not self._dropping.is_set():
                try:
                    item = self._queue.get(timeout=_POLL)
                except Empty:
                    if self._ending.is_set() and self._queue.empty():
                        return
                    continue
                self._consume(item)
        except BaseException as error:  # kept, and raised by the producer
            self._error = error
