"""Decoded frames of a file in display order, each with the time its source gives it."""

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame
from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.video.pixels.color import UNSPECIFIED, ColorSpec
from edvr_cli.video.pixels.layout import PixelLayout
from edvr_cli.video.pixels.planes import is_opaque, to_planes
from edvr_cli.video.reading.decoder import Warn
from edvr_cli.video.reading.describe import color_in, layout_in
from edvr_cli.video.reading.frame_times import FrameTimes
from edvr_cli.video.reading.info import Source, VideoInfo
from edvr_cli.video.reading.pictures import ImageSource
from edvr_cli.video.reading.sources import as_source


@dataclass(frozen=True)
class SourceFrame:
    """One decoded frame.

    ``planes`` are integer tensors on the CPU, owned by the frame, of the shapes that
    `PixelLayout.plane_shapes` gives. ``pts`` and ``duration`` count ticks of ``time_base`` seconds. ``index``
    counts from 0 at the first frame that the reader hands out. ``color`` is what the samples mean: in spliced videos
    it may change.
    """

    planes: tuple[Tensor, ...]
    layout: PixelLayout
    index: int
    pts: int
    time_base: Fraction
    duration: int | None
    color: ColorSpec


class VideoReader:
    """Reads the frames of a file, pictures or a pipe; a context manager and an iterable of `SourceFrame`.

    ``start`` (inclusive) and ``end`` (exclusive) are seconds from the file's own beginning, as players show
    them; ``max_frames`` bounds the count, ``threads`` the decoder's threads (0: one per core). Frame times are
    the source's; only where it has none, or one not after its predecessor's, is one made up: see `FrameTimes`.
    ``on_transparency`` receives the seconds of the first frame that is not opaque.
    ``on_warning`` receives sentences about these repairs and about damage. No frame that decodes is left out. Where a
    video changes its size midway, as spliced broadcasts do, frames are scaled to the size of the first, with a warning.

    Iterating raises InputError where one of several pictures has another size, and where nothing, or nothing more,
    decodes.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Source,
        *,
        start: Fraction | None = None,
        end: Fraction | None = None,
        max_frames: int | None = None,
        threads: int = 0,
        info: VideoInfo | None = None,
        on_warning: Warn | None = None,
        on_transparency: Callable[[Fraction], None] | None = None,
    ) -> None:
        same = info is not None and isinstance(source, str | os.PathLike) and Path(source) == info.path
        self.source = info.source if info is not None and same else as_source(source)
        self.info = info if info is not None else self.source.describe()
        self._from = None if start is None else start + self.info.start_time
        self._until = None if end is None else end + self.info.start_time
        self._max_frames = max_frames
        self._threads = threads
        self._warn: Warn = on_warning if on_warning is not None else _ignore
        self._on_transparency = on_transparency
        self._frames: Generator[SourceFrame, None, None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[SourceFrame]:
        """Start at the first wanted frame; a second call starts over and ends the first."""
        self.close()
        self._frames = self._read()
        return self._frames

    def close(self) -> None:
        """Stop decoding and close the file; harmless when repeated."""
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.close()

    def _read(self) -> Generator[SourceFrame, None, None]:
        info = self.info
        count = corrupt = 0
        resized = recolored = False
        frames = self.source.frames(instant=self._from, threads=self._threads, on_warning=self._warn)
        times = FrameTimes(info, self._warn)
        for frame, pts, duration in times.give(frames):
            seconds = pts * info.time_base
            if self._from is not None and seconds < self._from:
                continue
            if self._until is not None and seconds >= self._until:
                break
            corrupt += frame.is_corrupt
            if (frame.width, frame.height) != (info.width, info.height):
                if not resized:
                    self._report_size(frame, seconds)
                resized = True
            if self._on_transparency is not None and not is_opaque(frame):
                self._on_transparency(seconds - info.start_time)
                self._on_transparency = None
            layout, color = layout_in(info, frame), color_in(info, frame)
            if not recolored and _is_shown_otherwise(color, info.color):
                recolored = True
                at = float(seconds - info.start_time)
                self._warn(f"The color changes to {color.describe()} at {at:.3f} s; the output does not say so.")
            planes = to_planes(frame, layout, info.size)
            yield SourceFrame(planes, layout, count, pts, info.time_base, duration, color)
            count += 1
            if count == self._max_frames:
                break
        times.report()
        if corrupt:
            self._warn(f"{corrupt} of {count} frames are damaged in the source and may show it.")
        if count == 0:
            between = "" if self._from is None and self._until is None else " in the chosen range"
            raise InputError(f"{info.path}: no frame decodes{between}.")

    def _report_size(self, frame: VideoFrame, seconds: Fraction) -> None:
        """Raises InputError where the frame is one of several pictures: it is there by mistake."""
        info = self.info
        before, now = f"{info.width}x{info.height}", f"{frame.width}x{frame.height}"
        if isinstance(self.source, ImageSource):
            picture = self.source.pictures[frame.pts or 0]
            raise InputError(f"{picture} is {now}, the first picture {before}; pictures must be of one size.")
        at = float(seconds - info.start_time)
        self._warn(f"The picture changes from {before} to {now} at {at:.3f} s; from there on it is scaled to {before}.")


def _is_shown_otherwise(color: ColorSpec, before: ColorSpec) -> bool:
    """Whether primaries or transfer are others: unlike matrix and range, these are not converted."""
    pairs = ((color.primaries, before.primaries), (color.transfer, before.transfer))
    return any(new != old and UNSPECIFIED not in (new, old) for new, old in pairs)


def _ignore(message: str) -> None:
    """Drop a warning."""
