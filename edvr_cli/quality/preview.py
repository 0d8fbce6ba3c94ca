"""Restore a few moments of a video, to judge the result and the time beforehand.

Shapes: H W pixels of an upright source picture, s the model's scale, h w of a crop of the output.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.image.convert import bt709_luma, to_uint8
from edvr_cli.image.lettering import dot_for, label_above, label_in_corner
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.scene_cuts import CutDetector
from edvr_cli.quality.footage import Footage, Picture, to_size
from edvr_cli.size import Size

__all__ = [
    "LABELS",
    "Crop",
    "Restored",
    "contact_sheet",
    "difference_crop",
    "evenly_spaced",
    "restored_from",
    "restored_part",
    "split_screen",
]

LABELS = "bicubic", "EDVR"
"""What the two halves of a picture are called, unless the model has a name."""

_GAP, _WHITE = 8, 255
_PART = 3  # a third of height and width is magnified three times
_MOST_PICTURES = 6  # of a frame's size, in a picture of three columns
_MAX_PIXELS = 250_000_000  # FFmpeg encodes no pictures of more than 268 million
_SURROUNDINGS = 32  # input pixels that a part is restored with on each side


@dataclass(frozen=True, eq=False)
class Restored:
    """One frame, both ways at output size: ``before`` by bicubic, ``after`` by the network; (3, sH, sW) uint8.

    ``seconds`` is its time in the source; ``took`` the seconds that the network took.
    """

    before: Tensor
    after: Tensor
    seconds: float
    took: float

    @property
    def reduction(self) -> int:
        """How many times smaller than they are whole frames are drawn: 1, unless a file of them would be too large."""
        _, H, W = self.after.shape
        return math.ceil((_MOST_PICTURES * H * W / _MAX_PIXELS) ** 0.5)

    @cached_property
    def crop(self) -> "Crop":
        """The part that is magnified: where the two differ most."""
        return difference_crop(self.before, self.after, _PART * self.reduction)


@dataclass(frozen=True)
class Crop:
    """A part of a picture."""

    top: int
    left: int
    height: int
    width: int

    def of(self, picture: Tensor) -> Tensor:
        """(3, H, W) → (3, h, w)."""
        return picture[:, self.top : self.top + self.height, self.left : self.left + self.width]

    def reduced(self, times: int) -> "Crop":
        """The same part of a picture ``times`` smaller."""
        return Crop(self.top // times, self.left // times, self.height // times, self.width // times)


def evenly_spaced(footage: Footage, count: int) -> list[float]:
    """``count`` instants in seconds, spread evenly over its frames; its start where it has one or no known length."""
    if not footage.duration or footage.last is None or footage.count == 1:
        return [0.0]
    length = min(footage.duration, footage.last + 1 / float(footage.rate))
    return [length * (n + 0.5) / count for n in range(count)]


def restored_from(
    footage: Footage, engine: StreamingEDVR, instant: float, count: int, *, part: Crop | None = None
) -> Iterator[Restored]:
    """Restore ``count`` frames from ``instant`` (seconds) on, each in its own window, as a whole run would.

    ``part`` is the part of the source's picture to restore. Only the first frame computes the features of a whole
    window. Raises InputError where there is no frame.
    """
    instant = footage.shown_at(instant)
    config, rate = engine.config, float(footage.rate)
    part = part or Crop(0, 0, footage.size.height, footage.size.width)
    engine.prepare(part.height, part.width)
    half = 0.5 / rate
    lead = instant - (config.frames // 2) / rate - half
    # A shot's first and last windows borrow from up to a window's length away.
    pictures = footage.pictures(start=lead, max_frames=count + 3 * config.frames)
    scaled = Size(part.width, part.height).times(config.scale)
    found = 0
    labelled = ((picture, part.of(rgb), starts) for picture, rgb, starts in _labelled(pictures))
    for picture, window in engine.windows(labelled):
        if picture.seconds < instant - half:
            continue
        began = time.perf_counter()
        output = engine.restore(window)
        after = to_uint8(output).cpu()
        took = time.perf_counter() - began
        yield Restored(to_size(part.of(picture.rgb), scaled), after, picture.seconds, took)
        found += 1
        if found == count:
            return
    if not found:
        raise InputError(f"{footage.path} has no frame at {instant:.2f} s")


def restored_part(footage: Footage, engine: StreamingEDVR, instant: float, crop: Crop) -> tuple[Tensor, float | None]:
    """What ``engine`` makes of a part of the output, ``crop``, at ``instant``: (3, h, w) uint8.

    And the seconds that it takes for a whole frame, from a second frame of the part; None where there is no second.
    """
    scale, size = engine.config.scale, footage.size
    top, left = (max(0, first // scale - _SURROUNDINGS) for first in (crop.top, crop.left))
    bottom = min(size.height, -(-(crop.top + crop.height) // scale) + _SURROUNDINGS)
    right = min(size.width, -(-(crop.left + crop.width) // scale) + _SURROUNDINGS)
    part = Crop(top, left, bottom - top, right - left)
    first, *others = restored_from(footage, engine, instant, 2, part=part)
    inner = Crop(crop.top - top * scale, crop.left - left * scale, crop.height, crop.width)
    share = part.height * part.width / (size.height * size.width)
    return inner.of(first.after), others[0].took / share if others else None


def difference_crop(before: Tensor, after: Tensor, part: int = _PART) -> Crop:
    """Where two pictures (3, H, W) differ most: a ``part``-th of height and width."""
    _, H, W = after.shape
    h, w = max(1, H // part), max(1, W // part)
    difference = (after.float() - before.float()).abs().mean(dim=0)[None, None]
    step = max(1, min(h, w) // 16)
    score = F.avg_pool2d(difference, (h, w), stride=step)[0, 0]
    row, column = divmod(int(score.argmax()), score.shape[1])
    return Crop(row * step, column * step, h, w)


def contact_sheet(
    restored: Restored, labels: tuple[str, str] = LABELS, *, other: tuple[str, Tensor] | None = None
) -> Tensor:
    """One picture of both: whole frames side by side, before on the left, over the most different part magnified.

    Each pixel of the part becomes 3 × 3, so that nothing is smoothed. A white line around it marks it in the whole
    frames, which are reduced where they are huge, and ``labels`` stand above these. ``other`` is the same part
    (3, h, w) by another model, and its label: it stands on the right of the two. Returns (3, H', W') uint8.
    """
    _, H, W = restored.after.shape
    times = restored.reduction
    whole = Size(W // times, H // times)
    dot = dot_for(*whole.shape, *labels)
    crop = restored.crop
    columns = []
    for picture, label in zip((restored.before, restored.after), labels, strict=True):
        magnified = _magnified(crop.of(picture), _PART)
        right = whole.width - magnified.shape[2]
        outlined = _outlined(to_size(picture, whole), crop.reduced(times))
        rows = (outlined, _white(whole.width, _GAP), F.pad(magnified, (0, right), value=_WHITE))
        columns.append(label_above(torch.cat(rows, dim=1), label, dot))
    if other is not None:
        column = label_above(_magnified(other[1], _PART), other[0], dot)
        columns.append(F.pad(column, (0, 0, columns[0].shape[1] - column.shape[1], 0), value=_WHITE))
    gap = _white(_GAP, columns[0].shape[1])
    return torch.cat([piece for column in columns for piece in (gap, column)][1:], dim=2)


def split_screen(restored: Restored, labels: tuple[str, str] = LABELS) -> Tensor:
    """The left half before, the right half after, a white line between, labels in the corners: (3, sH, sW) uint8."""
    picture = restored.after.clone()
    middle = picture.shape[2] // 2
    picture[:, :, :middle] = restored.before[:, :, :middle]
    dot = dot_for(picture.shape[1], middle, *labels)
    picture = label_in_corner(label_in_corner(picture, labels[0], dot), labels[1], dot, right=True)
    picture[:, :, middle - 1 : middle + 1] = _WHITE
    return picture


def _labelled(pictures: Iterator[Picture]) -> Iterator[tuple[Picture, Tensor, bool]]:
    """Each picture, its RGB in [0, 1], and whether it starts a shot."""
    detector = CutDetector()
    for picture in pictures:
        rgb = picture.rgb.float() / 255
        yield picture, rgb, detector.starts_shot(bt709_luma(rgb))


def _magnified(picture: Tensor, times: int) -> Tensor:
    return picture.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)


def _outlined(picture: Tensor, crop: Crop) -> Tensor:
    drawn = picture.clone()
    part = crop.of(drawn)
    for edge in (part[:, :1], part[:, -1:], part[:, :, :1], part[:, :, -1:]):
        edge.fill_(_WHITE)
    return drawn


def _white(width: int, height: int) -> Tensor:
    return torch.full((3, height, width), _WHITE, dtype=torch.uint8)
