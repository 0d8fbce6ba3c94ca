"""Videos and folders of images as upright 8-bit RGB pictures with their times.

Shapes: H W pixels of an upright picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.image.convert import to_uint8
from edvr_cli.image.resize import resize
from edvr_cli.image.turns import UNTURNED
from edvr_cli.size import Size
from edvr_cli.video.pixels.color import planes_to_rgb
from edvr_cli.video.reading.frame_intervals import last_frame_time
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.pictures import DEFAULT_RATE, ImageSource
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import probe

__all__ = ["Footage", "Picture", "to_size"]


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame: ``rgb`` (3, H, W) uint8, seconds since the footage's beginning, and its number from 0."""

    rgb: Tensor
    seconds: float
    index: int


@dataclass(frozen=True)
class Footage:
    """A video, or a folder or pattern of numbered images, from ``begin`` (seconds) on."""

    path: Path
    info: VideoInfo
    begin: Fraction = Fraction(0)

    @classmethod
    def open(cls, path: Path, begin: Fraction = Fraction(0)) -> "Footage":
        """Open a video or pictures. Raises InputError where ``path`` is neither, or a pipe."""
        info = probe(path).measured()
        if not info.source.rereadable:
            raise InputError(f"{path} is a pipe, which can be read only once: write it to a file first")
        return cls(path, info, begin)

    @property
    def timed(self) -> bool:
        """Whether the frames have times; images have none."""
        return not isinstance(self.info.source, ImageSource)

    @property
    def size(self) -> Size:
        """Size of the upright pictures."""
        return self.info.turned(self.info.upright or UNTURNED).size

    @property
    def rate(self) -> Fraction:
        """Frames per second, on average."""
        return self.info.average_rate or DEFAULT_RATE

    @property
    def count(self) -> int | None:
        """Number of frames, as far as it is known."""
        count = self.info.frame_count
        return count and max(1, count - round(self.begin * self.rate))

    @property
    def duration(self) -> float | None:
        """Seconds, as far as they are known."""
        return None if self.info.duration is None else max(0.0, self.info.duration - float(self.begin))

    @cached_property
    def last(self) -> float | None:
        """When the last frame is shown, in seconds, as far as it is known; sound may go on longer."""
        last = last_frame_time(self.info)
        if last is None:
            return None if self.duration is None else max(0.0, self.duration - 1 / float(self.rate))
        return max(0.0, float(last - self.begin))

    def shown_at(self, instant: float) -> float:
        """``instant``, or the time of the last frame where that is still shown at ``instant``."""
        if self.last is None or self.duration is None or instant > self.duration:
            return instant
        return min(instant, self.last)

    def pictures(self, *, start: float | None = None, max_frames: int | None = None) -> Iterator[Picture]:
        """The frames from ``start`` seconds on, at most ``max_frames``, numbered from the first one yielded."""
        instant = self.begin + Fraction(max(0.0, start or 0.0)).limit_denominator(1_000_000)
        origin = self.begin + self.info.start_time
        turn = self.info.upright or UNTURNED
        with VideoReader(self.info.source, start=instant or None, max_frames=max_frames, info=self.info) as reader:
            for frame in reader:
                rgb = planes_to_rgb(frame.planes, frame.layout, frame.color)
                seconds = float(frame.pts * frame.time_base - origin)
                yield Picture(turn.apply(to_uint8(rgb)).contiguous(), seconds, frame.index)


def to_size(rgb: Tensor, size: Size) -> Tensor:
    """(3, H, W) uint8 brought to ``size`` by bicubic interpolation, antialiased where it shrinks."""
    if tuple(rgb.shape[1:]) == size.shape:
        return rgb
    return resize(rgb.float(), size.shape).round().clamp(0, 255).byte()
