"""Interruptible reading from and writing to pipes, whose other end may stall forever."""

import os
import select
from pathlib import Path

from edvr_cli.errors import StoppedError
from edvr_cli.system.threads import asked_to_stop

__all__ = ["PipeReader", "write_all"]

_POLL = 0.1  # seconds between looks at whether anybody still wants what comes
_ALWAYS_FITS = 4096  # bytes that a pipe takes at once where it says that it takes some (PIPE_BUF)


class PipeReader:
    """A pipe as a file object that libav reads from: signals are heeded while it waits, and so is the wish to stop."""

    def __init__(self, path: Path | None = None) -> None:
        """``path`` is a named pipe; None is standard input. Raises OSError where it cannot be opened."""
        self._stopped = False
        self.name = "standard input" if path is None else str(path)
        # To open a named pipe waits for somebody who writes; this way the waiting is done in `read`.
        self._handle = 0 if path is None else os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        if path is not None and hasattr(os, "set_blocking"):
            os.set_blocking(self._handle, True)

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end. Raises StoppedError where they are no longer needed."""
        try:
            while os.name == "posix" and not select.select([self._handle], [], [], _POLL)[0]:
                self._stopped |= asked_to_stop()
                if self._stopped:
                    break
            else:
                return os.read(self._handle, size)
        except KeyboardInterrupt:  # libav, through which it would have to go, knows errors only.
            self._stopped = True
        raise StoppedError(f"Nothing more is read from {self.name}.")

    def close(self) -> None:
        """Close a named pipe; standard input stays open."""
        handle, self._handle = self._handle, 0
        if handle:
            os.close(handle)


def write_all(handle: int, content: bytes | memoryview) -> None:
    """Write everything to a descriptor. Raises OSError where that fails, StoppedError where it is no longer needed."""
    left = memoryview(content)
    while left:
        while os.name == "posix" and not select.select([], [handle], [], _POLL)[1]:
            if asked_to_stop():
                raise StoppedError("Nothing more is written.")
        left = left[os.write(handle, left[:_ALWAYS_FITS]) :]
