"""libav's log level, which is global."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import av

__all__ = ["log_level"]

_LOCK = RLock()


@contextmanager
def log_level(level: int, detail: int | None = None) -> Iterator[None]:
    """Pass messages up to ``level`` to Python in the block; ``detail`` is the level that libav believes to be set.

    One thread at a time, else two would restore each other's level. Free no decoder in the block or right after it: if
    one of its threads waits for the interpreter's lock to log something, both wait forever.
    """
    with _LOCK:
        before = av.logging.get_level()
        av.logging.set_level(level)
        if detail is not None:
            av.logging.set_libav_level(detail)
        try:
            yield
        finally:
            av.logging.set_level(before)
            if detail is not None:
                av.logging.set_libav_level(av.logging.INFO)
