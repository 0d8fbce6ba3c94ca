"""Videos and folders of images as pictures to look at: upright, 8-bit RGB, each with its time.

Shapes: H W pixels of an upright picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.resample import resize
from edvr_cli.video.color import planes_to_rgb
from edvr_cli.video.probe import VideoInfo, probe
from edvr_cli.video.reader import VideoReader

__all__ = ["Footage", "Picture", "to_size"]

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
_FOLDER_RATE = Fraction(25)


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame: ``rgb`` (3, H, W) uint8, seconds since the file's beginning, and its number from 0."""

    rgb: Tensor
    seconds: float
    index: int


@dataclass(frozen=True)
class Footage:
    """A video, or a folder of images in the order of their names: 25 a second, for want of another rate.

    ``size`` is (width, height) in pixels, turned upright. ``count`` and ``duration`` (seconds) are what the file
    claims, None where it does not. ``timed``: whether its times mean anything.
    """

    path: Path
    info: VideoInfo
    images: tuple[Path, ...] = ()

    @classmethod
    def open(cls, path: Path) -> "Footage":
        """Look into it. Raises InputError where it is neither."""
        if not path.is_dir():
            return cls(path, probe(path))
        images = tuple(sorted(file for file in path.iterdir() if file.suffix.lower() in _IMAGES))
        if not images:
            raise InputError(f"{path} holds no images: give a video, or a folder of PNG, JPEG, TIFF, BMP or WebP files")
        return cls(path, probe(images[0]), images)

    @property
    def timed(self) -> bool:
        """False for images."""
        return not self.images

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a picture."""
        size = self.info.width, self.info.height
        return (size[1], size[0]) if self.info.rotation % 180 else size

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        return _FOLDER_RATE if self.images else self.info.average_rate or _FOLDER_RATE

    @property
    def count(self) -> int | None:
        """Frames, as far as the file tells."""
        return len(self.images) or self.info.frame_count

    @property
    def duration(self) -> float | None:
        """Seconds, as far as the file tells."""
        if self.images or self.info.duration is None:
            return None if self.count is None else float(self.count / self.rate)
        return self.info.duration

    def pictures(self, *, start: float | None = None, most: int | None = None) -> Iterator[Picture]:
        """The frames from ``start`` seconds on, at most ``most``, numbered from the first one yielded."""
        if self.images:
            first = 0 if start is None else max(0, round(start * self.rate))
            last = None if most is None else first + most
            for index, image in enumerate(self.images[first:last]):
                with VideoReader(image, max_frames=1) as reader:
                    for frame in reader:
                        rgb = planes_to_rgb(frame.planes, frame.layout, reader.info.color)
                        yield Picture(_upright(rgb, 0), float((first + index) / self.rate), index)
            return
        instant = None if start is None else Fraction(max(0.0, start)).limit_denominator(1_000_000)
        with VideoReader(self.path, start=instant, max_frames=most, info=self.info) as reader:
            for frame in reader:
                seconds = float(frame.pts * frame.time_base - self.info.start_time)
                rgb = planes_to_rgb(frame.planes, frame.layout, self.info.color)
                yield Picture(_upright(rgb, self.info.rotation), seconds, frame.index)


def to_size(rgb: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, H, W) uint8 brought to ``size`` (width, height) by bicubic interpolation, antialiased where it shrinks."""
    width, height = size
    if tuple(rgb.shape[1:]) == (height, width):
        return rgb
    return resize(rgb.float(), (height, width)).round().clamp(0, 255).byte()


def _upright(rgb: Tensor, rotation: int) -> Tensor:
    """(3, H, W) float in [0, 1] as uint8, turned as a player turns it."""
    pixels = (rgb * 255).round().clamp(0, 255).to(torch.uint8)
    return torch.rot90(pixels, rotation // 90, dims=(1, 2)).contiguous() if rotation % 360 else pixels
