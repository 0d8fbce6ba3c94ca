"""Errors that a user can act on: what is wrong, in which file, and a hint for the remedy."""

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
]

Hint = Literal[
    "codec",
    "crf",
    "device",
    "end",
    "fresh",
    "model",
    "name",
    "no_codec",
    "no_resume",
    "overwrite",
    "pix_fmt",
    "precision",
    "preset",
    "raw",
    "size",
    "strict",
    "vmaf",
]
"""The kind of option that would help; the command names its flag."""


class EdvrError(Exception):
    """Base of all errors that this package raises on purpose; ``hint`` is the option that would help, if any."""

    def __init__(self, message: str = "", *, hint: Hint | None = None) -> None:
        super().__init__(message)
        self.hint = hint


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
