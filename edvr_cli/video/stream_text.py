"""What libav says of a stream in words: PyAV has no attribute for some of it."""

import re

import av
from av.container import InputContainer
from av.stream import Stream

from edvr_cli.video.libav_log import log_level

__all__ = ["file_text", "stream_text"]


def file_text(container: InputContainer) -> str:
    """All lines in which libav describes an open file."""
    with log_level(av.logging.INFO, detail=av.logging.VERBOSE):
        return container.dumps_format()  # type: ignore[attr-defined]


def stream_text(container: InputContainer, stream: Stream) -> str:
    """The lines in which libav describes a stream."""
    lines = re.search(rf"Stream #0:{stream.index}\b.*?(?=\n  Stream #|\Z)", file_text(container), re.DOTALL)
    return lines.group() if lines else ""
