"""Pictures turned as a viewer shows them: cameras store how they were held, and not the pixels in that order."""

import struct
from fractions import Fraction

from av.filter import Graph
from av.video.frame import VideoFrame

from edvr_cli.video.pixels.side_data import side_data

__all__ = ["upright"]


def upright(frame: VideoFrame) -> VideoFrame:
    """The picture turned and mirrored as it says; itself where it says nothing."""
    data = side_data(frame, "DISPLAYMATRIX")
    filters = [] if data is None else _filters(struct.unpack_from("9i", data), -frame.rotation % 360)
    if not filters:
        return frame
    graph = Graph()
    unit = Fraction(1, 25)
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=unit)
    for name, argument in filters:
        following = graph.add(name, argument)
        last.link_to(following)
        last = following
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    tags = frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc
    graph.push(frame)
    turned = graph.pull()
    assert isinstance(turned, VideoFrame)
    turned.colorspace, turned.color_range, turned.color_primaries, turned.color_trc = tags
    return turned


def _filters(matrix: tuple[int, ...], clockwise: int) -> list[tuple[str, str]]:
    """FFmpeg's filters for a display matrix that turns by a multiple of 90 degrees."""
    if clockwise == 90:
        return [("transpose", "cclock_flip" if matrix[3] > 0 else "clock")]
    if clockwise == 270:
        return [("transpose", "clock_flip" if matrix[3] < 0 else "cclock")]
    across, down = matrix[0] < 0, matrix[4] < 0
    return [*([("hflip", "")] if across else []), *([("vflip", "")] if down else [])]
