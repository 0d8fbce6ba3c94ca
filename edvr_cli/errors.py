"""Errors that a user can act on, each with a hint for the remedy; the operating system's errors as sentences."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import Literal

__all__ = [
    "DeviceError",
    "DownloadError",
    "EdvrError",
    "Hint",
    "InputError",
    "ModelError",
    "OutputError",
    "StoppedError",
    "lacks_memory",
    "raised_as",
    "reason_of",
    "sentence_of",
    "unforeseen",
    "wrong_usage",
]


Hint = Literal[
    "avi",
    "codec",
    "crf",
    "denoise",
    "device",
    "end",
    "fresh",
    "gif",
    "model",
    "name",
    "network",
    "no_codec",
    "no_resume",
    "overwrite",
    "pix_fmt",
    "precision",
    "preset",
    "raw",
    "size",
    "smaller",
    "strict",
    "target_size",
    "vmaf",
]
"""The kind of option that would help; the command names its flag."""


class EdvrError(Exception):
    """Base of all errors that this package raises on purpose.

    ``hint`` is the option that would help, if any; ``wrong_usage`` says that the request itself cannot be met, whatever
    the machine does.
    """

    def __init__(self, message: str = "", *, hint: Hint | None = None, wrong_usage: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.wrong_usage = wrong_usage


class InputError(EdvrError):
    """An input that cannot be read: missing, not a video, encrypted, or damaged."""


class OutputError(EdvrError):
    """An output that cannot be written: it exists, is the input, or does not fit the codec or container."""


class ModelError(EdvrError):
    """A model that is unknown, damaged, incomplete, or not for the task."""


class DeviceError(EdvrError):
    """A device that is missing, out of memory even with the smallest tiles, or computing wrongly."""


class DownloadError(EdvrError):
    """A file that cannot be downloaded: no network, refused, cut off, or damaged on the way."""


class StoppedError(EdvrError):
    """The work stopped on request, at a point where it can continue."""


# What helps against what the system says in few words.
_REMEDIES = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some space, or write elsewhere",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.ENAMETOOLONG: "choose a name of 255 bytes at most",
    errno.EROFS: "write elsewhere",
    errno.EIO: "check the disk or the connection to it",
    errno.ESTALE: "check the connection to the disk",
    errno.ENOMEM: "free some memory",
}


def reason_of(error: OSError) -> str:
    """What the system says, with what helps: ``No space left on device; free some space, or write elsewhere``."""
    text = error.strerror or str(error) or type(error).__name__
    remedy = _REMEDIES.get(error.errno) if error.errno is not None else None
    return text.rstrip(".") + (f"; {remedy}" if remedy else "")


def sentence_of(error: BaseException) -> str:
    """An error in one sentence: its own if it has one, else which file and what the system says."""
    if isinstance(error, OSError) and not isinstance(error, EdvrError):
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        return f"{' → '.join([*names])}{': ' if names else ''}{reason_of(error)}."
    return str(error) or type(error).__name__


# What libraries say where memory is lacking: torch, Triton and "CUDA error"; cuBLAS and cuDNN by their status; torch's
# allocators for processors, Linux's among them; oneDNN, which gives no reason; C++; and libav.
_OUT_OF_MEMORY = (
    "out of memory",
    "ALLOC_FAILED",
    "not enough memory",
    "can't allocate memory",
    "could not create a primitive",
    "could not create a memory",
    "bad_alloc",
    "Cannot allocate memory",
)


def lacks_memory(error: BaseException) -> bool:
    """Whether memory was lacking, whichever library noticed it."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def unforeseen(error: BaseException) -> str:
    """An unexpected exception in a sentence: what it is, where it was raised, and where to report it."""
    if lacks_memory(error):
        return "Out of memory: close other programs, or choose a smaller input, a smaller --tile or fewer --threads."
    place = next((f" ({Path(f.filename).name}:{f.lineno})" for f in reversed(extract_tb(error.__traceback__))), "")
    first, *_ = [*str(error).splitlines(), ""]
    what = f"{type(error).__name__}{': ' if first else ''}{first[:200]}"
    return (
        f"This is a fault of edvr: {what}{place}. Please report it where edvr came from, with the command, and with "
        "what edvr --log-level debug and edvr doctor --json say."
    )


@contextmanager
def raised_as(kind: type[EdvrError]) -> Iterator[None]:
    """Turn an operating system's error into one of this package's, in a sentence; also works as a decorator."""
    try:
        yield
    except OSError as error:
        raise kind(sentence_of(error)) from error


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Mark errors as those of a request that cannot be met; also works as a decorator."""
    try:
        yield
    except EdvrError as error:
        error.wrong_usage = True
        raise
