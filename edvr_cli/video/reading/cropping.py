"""Borders that a container says are not shown, cut off decoded frames: Matroska's crop, MP4's clean aperture."""

import re
from dataclasses import dataclass, field
from typing import Any

from av.container import InputContainer
from av.filter import Graph
from av.stream import Stream
from av.video.frame import VideoFrame

from edvr_cli.video.filters import filter_graph
from edvr_cli.video.stream_text import stream_text

__all__ = ["Cropper", "container_cropper"]

_CROPPING = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)
_WITH_CROPPING = ("mov", "matroska")


@dataclass
class Cropper:
    """Cuts borders off the frames of one stream."""

    left: int
    right: int
    top: int
    bottom: int
    _graph: Graph | None = field(default=None, init=False)
    _shape: tuple[Any, ...] = field(default=(), init=False)

    def cut(self, frame: VideoFrame) -> VideoFrame:
        """What is shown of a frame; all of one that is smaller than its borders."""
        width, height = frame.width - self.left - self.right, frame.height - self.top - self.bottom
        if width <= 0 or height <= 0:
            return frame
        shape = (frame.width, frame.height, frame.format.name, frame.time_base)
        if self._graph is None or shape != self._shape:
            self._graph, self._shape = filter_graph(frame, "crop", f"{width}:{height}:{self.left}:{self.top}"), shape
        self._graph.push(frame)
        shown = self._graph.pull()
        assert isinstance(shown, VideoFrame)
        return shown


def container_cropper(container: InputContainer, stream: Stream) -> Cropper | None:
    """What cuts a stream's borders off; None where its container names none."""
    if not container.format.name.startswith(_WITH_CROPPING):
        return None
    found = _CROPPING.search(stream_text(container, stream))
    edges = [int(edge) for edge in found.groups()] if found else []
    return Cropper(*edges) if any(edges) else None
