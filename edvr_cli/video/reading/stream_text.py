"""What libav says of a stream in words: PyAV has no attribute for some of it."""

import re

import av
from av.container import InputContainer
from av.stream import Stream

from edvr_cli.video.libav_log import log_level

__all__ = ["stream_text"]


def stream_text(container: InputContainer, stream: Stream) -> str:
    """The lines in which libav describes a stream."""
    with log_level(av.logging.INFO, detail=av.logging.VERBOSE):
        text = container.dumps_format()  # type: ignore[attr-defined]
    lines = re.search(rf"Stream #0:{stream.index}\b.*?(?=\n  Stream #|\Z)", text, re.DOTALL)
    return lines.group() if lines else ""
