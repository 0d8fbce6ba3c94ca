"""Ctrl-C: once, stop after the current segment; twice, stop at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["immediate_interrupt", "patient_interrupt"]


@contextmanager
def patient_interrupt(on_first: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Within the block the first SIGINT only calls ``on_first``; a second one raises KeyboardInterrupt.

    Yields a function that tells whether there was one.
    """
    interrupted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        on_first()

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # As in a background job: whoever started it does not want it interrupted.
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def immediate_interrupt() -> Iterator[None]:
    """Within the block SIGINT raises KeyboardInterrupt, as where nothing has begun that could be lost."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
