"""What libav says of a stream in words: PyAV has no attribute for some of it."""

import re
from threading import Lock

import av
from av.container import InputContainer
from av.stream import Stream

__all__ = ["stream_text"]

# libav's log level is global: of two threads that raise it, each must restore what it was before both.
_LOG_LEVEL = Lock()


def stream_text(container: InputContainer, stream: Stream) -> str:
    """The lines in which libav describes a stream."""
    with _LOG_LEVEL:
        level = av.logging.get_level()
        av.logging.set_libav_level(av.logging.VERBOSE)
        av.logging.set_level(av.logging.VERBOSE)
        try:
            text = container.dumps_format()  # type: ignore[attr-defined]
        finally:
            av.logging.set_level(level)
            av.logging.set_libav_level(av.logging.INFO)
    lines = re.search(rf"Stream #0:{stream.index}\b.*?(?=\n  Stream #|\Z)", text, re.DOTALL)
    return lines.group() if lines else ""
