"""Filters of FFmpeg that take frames one by one."""

from av.filter.graph import Graph
from av.video.frame import VideoFrame

from edvr_cli.video.pyav import time_base

__all__ = ["filter_graph"]


def filter_graph(frame: VideoFrame, name: str, arguments: str) -> Graph:
    """A graph of one filter for frames like ``frame``: push frames into it, and pull the filtered ones."""
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base(frame))
    filtered = graph.add(name, arguments)
    sink = graph.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    graph.configure()
    return graph
