"""Interlaced video: detection, and conversion to progressive frames.

An interlaced picture holds two moments, one in its even and one in its odd lines. Where something moves between
them, edges look like combs: lines differ more from their neighbors, which belong to the other moment, than from the
lines after these. In progressive pictures it is the other way round.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import torch
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from torch import Tensor

from edvr_cli.video.filters import filter_graph
from edvr_cli.video.pyav import time_base
from edvr_cli.video.reading.decoder import Warn
from edvr_cli.video.reading.info import Source, VideoInfo
from edvr_cli.video.reading.options import Deinterlace
from edvr_cli.video.reading.source_clock import SourceClock

INTERLACED_NOTE = "The video is interlaced: interlacing artifacts will be enlarged, too, unless it is deinterlaced."


# A line stands out if the product of its differences from the lines above and below, in squared 8-bit codes, is more.
_STANDS_OUT = 100.0
# Measured over 35 real progressive files: 0.6 at most; over interlaced ones: 1.0 at least.
_COMBED_RATIO = 0.85
_MIN_SHARE = 0.004  # of the pixels; with less, nothing moves
_LEANING = 0.7  # measured: 0.6 at most where pictures are interlaced, 0.79 at least where they are not


def looks_interlaced(lumas: list[Tensor]) -> bool:
    """Whether most of the pictures, each luma (H, W) in [0, 1] and in order, show combs that come from motion.

    Dithering and fine patterns look like combs, too. Where each picture has two moments, its lines are closer in time
    to those of one neighbor than of the other; where a picture is one moment, both neighbors are as far away.
    """
    pictures = [luma.to(torch.float32) * 255 for luma in lumas]
    if not pictures or pictures[0].shape[0] < 16:
        return False
    combed = sum(_is_combed(codes) for codes in pictures)
    same_size = [(one, other) for one, other in pairwise(pictures) if one.shape == other.shape]
    moving = [leaning for one, other in same_size if (leaning := _leans(one, other)) is not None]
    return combed * 2 > len(pictures) and sum(moving) * 2 > len(moving) > 0


def _is_combed(codes: Tensor) -> bool:
    between, within = _standing_out(codes), _standing_out(codes[::2])
    return between > _MIN_SHARE and between > _COMBED_RATIO * within


def _leans(one: Tensor, other: Tensor) -> bool | None:
    """Whether a picture's fields are about as near to one of the next picture's fields as to each other.

    None where too little moves to tell.
    """
    within = (_standing_out(one) + _standing_out(other)) / 2
    crossed = [_standing_out(_woven(one, other)), _standing_out(_woven(other, one))]
    near, far = min(crossed) - within, max(crossed) - within
    return None if far < _MIN_SHARE else near < _LEANING * far


def _woven(even: Tensor, odd: Tensor) -> Tensor:
    """The even lines of one picture and the odd ones of another."""
    woven = odd.clone()
    woven[::2] = even[::2]
    return woven


@dataclass(frozen=True)
class DeinterlacedSource:
    """A source whose pictures go through FFmpeg's bwdif: as many frames, or two for each."""

    source: Source
    rate: Deinterlace

    @property
    def path(self) -> Path:
        """Path or label used in messages."""
        return self.source.path

    @property
    def rereadable(self) -> bool:
        """As the source is."""
        return self.source.rereadable

    def describe(self) -> VideoInfo:
        """The source without its interlacing, and with its new frame rate."""
        info = self.source.describe()
        times = 2 if self.rate == "field" else 1
        return replace(
            info,
            source=self,
            interlaced=False,
            time_base=info.time_base / times,
            average_rate=None if info.average_rate is None else info.average_rate * times,
            frame_count=None if info.frame_count is None else info.frame_count * times,
            notes=tuple(note for note in info.notes if note != INTERLACED_NOTE),
        )

    def frames(self, *, instant: Fraction | None, threads: int, on_warning: Warn) -> Iterator[VideoFrame]:
        """Progressive frames in display order."""
        unit: Fraction | None = None
        graph: Graph | None = None
        shape: tuple[int, int, str] | None = None
        for frame in self.source.frames(instant=instant, threads=threads, on_warning=on_warning):
            if graph is not None and shape != (frame.width, frame.height, frame.format.name):
                yield from _rest(graph, unit)
                graph = None
            if graph is None:
                shape = (frame.width, frame.height, frame.format.name)
                unit = time_base(frame) / (2 if self.rate == "field" else 1)
                graph = filter_graph(frame, "bwdif", f"mode=send_{self.rate}:parity=auto:deint=all")
            graph.push(frame)
            yield from _pull(graph, unit)
        if graph is not None:
            yield from _rest(graph, unit)

    @property
    def clock(self) -> SourceClock:
        """The source's."""
        return self.source.clock

    def files(self) -> tuple[Path, ...]:
        """The source's."""
        return self.source.files()

    def side_streams(self) -> AbstractContextManager[InputContainer | None]:
        """The source's."""
        return self.source.side_streams()


def _standing_out(codes: Tensor) -> float:
    line = codes[1:-1]
    return float(((codes[:-2] - line) * (codes[2:] - line) > _STANDS_OUT).float().mean())


def _rest(graph: Graph, unit: Fraction | None) -> Iterator[VideoFrame]:
    """The frames that are left at the end."""
    graph.push(None)
    yield from _pull(graph, unit)


def _pull(graph: Graph, unit: Fraction | None) -> Iterator[VideoFrame]:
    """The frames that are ready, their times in ticks of ``unit``."""
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, VideoFrame)
        assert unit is not None
        if frame.pts is not None and frame.time_base:
            frame.pts = round(frame.pts * time_base(frame) / unit)
        frame.time_base, frame.duration = unit, 0
        yield frame
