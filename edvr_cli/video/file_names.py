"""File names: containers by suffix, standard input and output."""

import os
from pathlib import Path
from typing import Literal

from edvr_cli.errors import OutputError

__all__ = ["FORMATS", "RAW", "STANDARD_INPUT", "STANDARD_OUTPUT", "Y4M", "PipeFormat", "container_format"]

STANDARD_INPUT = STANDARD_OUTPUT = Path("-")

Y4M, RAW = "y4m", "raw"
PipeFormat = Literal["y4m", "raw"]
"""What is written to standard output: YUV4MPEG2, or samples without a header."""

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""libav's name of each container that can be written, by suffix."""

_REASONS = {
    ".avi": " AVI keeps no frame times and no HDR",
    ".gif": " A GIF has 256 colors and no audio",
}


def container_format(target: str | os.PathLike[str]) -> str:
    """libav's name of the container that a file name's suffix asks for. Raises OutputError for other suffixes."""
    suffix = Path(target).suffix.lower()
    if suffix not in FORMATS:
        from edvr_cli.video.image_sequences import ENCODERS  # noqa: PLC0415 (it imports PyAV, which help does without)

        usual = ", ".join(FORMATS)
        what = f"the suffix {suffix!r}" if suffix else "a name without a suffix"
        pictures = ", ".join(ENCODERS)
        raise OutputError(
            f"{target}: no container is known for {what}; use one of {usual} (.mkv holds anything), "
            f"or for pictures one of {pictures}, as in frames/%06d.png.{_REASONS.get(suffix, '')}",
            hint="avi" if suffix == ".avi" else "gif" if suffix == ".gif" else None,
        )
    return FORMATS[suffix]
