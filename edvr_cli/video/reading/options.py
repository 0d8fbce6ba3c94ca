"""Options of the input: what the file does not say, and which part of it is read."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

__all__ = ["Deinterlace", "InputOptions", "RawFormat"]

Deinterlace = Literal["frame", "field"]
"""One progressive frame per interlaced frame, or one per field."""


@dataclass(frozen=True)
class RawFormat:
    """Size and pixel format of headerless samples on a pipe."""

    width: int
    height: int
    pix_fmt: str


@dataclass(frozen=True)
class InputOptions:
    """How the input is read.

    Attributes:
        rate: frames per second of pictures and raw samples; None: 25.
        raw: format of a pipe without a header.
        allow_network: let a file refer to other files and to the network.
        deinterlace: make interlaced video progressive.
        hwaccel: decoding device (``cuda``, ``vaapi``, ...; ``auto``: the first available).
        start, end: range to restore in seconds; ``end`` is exclusive.
        max_frames: limit of the number of frames.
    """

    rate: Fraction | None = None
    raw: RawFormat | None = None
    allow_network: bool = False
    deinterlace: Deinterlace | None = None
    hwaccel: str | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    max_frames: int | None = None
