"""Folders of clips: videos, and folders of numbered pictures, as frames."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.image.convert import to_uint8
from edvr_cli.video.pixels.color import planes_to_rgb
from edvr_cli.video.reading.reader import VideoReader

__all__ = ["read_frames", "sources_in"]

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
_VIDEOS = {".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".ts", ".m2ts", ".mpg", ".mpeg", ".flv", ".3gp", ".y4m"}


def sources_in(folder: Path) -> list[Path]:
    """Videos below ``folder`` and folders of images in it, in order. Raises InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give a folder of videos, or of folders of frames")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in _VIDEOS and path.is_file()]
    found += [path for path in (folder, *folder.rglob("*")) if path.is_dir() and _images(path)]
    if not found:
        raise InputError(f"{folder} holds neither videos nor folders of images")
    return sorted(found)


def read_frames(source: Path, *, max_frames: int | None = None) -> Iterator[Tensor]:
    """Frames of a video or of a folder of images, in order: (3, H, W) RGB, float32, 0 to 255, rounded."""
    if source.is_dir():
        for path in _images(source)[:max_frames]:
            yield from _decode(path, 1)
    else:
        yield from _decode(source, max_frames)


def _decode(path: Path, max_frames: int | None) -> Iterator[Tensor]:
    with VideoReader(path, max_frames=max_frames) as reader:
        for frame in reader:
            rgb = planes_to_rgb(frame.planes, frame.layout, frame.color)
            yield to_uint8(rgb).float()


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGES)
