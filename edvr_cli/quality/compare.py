"""Compare two videos, frame by frame: PSNR, SSIM and VMAF.

Frames are matched by time, counted from each file's first frame; folders of images by number. Measured are 8-bit
pictures without borders cropped, as published figures are (:mod:`edvr_cli.image.metrics`).

Shapes: H W pixels.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.image.metrics import figures
from edvr_cli.quality.footage import Footage, Picture, to_size
from edvr_cli.size import Size
from edvr_cli.video.vmaf import Vmaf, vmaf_available

__all__ = ["METRICS", "CommonSize", "Comparison", "FrameScore", "Metric", "OnPair", "common_size", "compare"]

Metric = Literal["psnr", "ssim", "psnr_y", "ssim_y", "vmaf"]
METRICS: dict[Metric, str] = {
    "psnr": "PSNR RGB", "ssim": "SSIM RGB", "psnr_y": "PSNR Y", "ssim_y": "SSIM Y", "vmaf": "VMAF",
}  # fmt: skip
CommonSize = Literal["larger", "smaller"] | Size
"""The larger or the smaller of two sizes, or another one."""

_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class FrameScore:
    """The result for one frame; ``index`` and ``seconds`` (since the beginning) are those of its truth.

    PSNR in dB, infinite where both are equal.
    """

    index: int
    seconds: float
    psnr: float
    ssim: float
    psnr_y: float  # of MATLAB's luma
    ssim_y: float
    vmaf: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The result of comparing a video with another, the truth."""

    image: Footage
    truth: Footage
    size: Size  # that both were measured at
    frames: tuple[FrameScore, ...]
    unmatched: tuple[int, int]  # frames of image and of truth without one at the same time in the other

    def values(self, metric: Metric) -> list[float]:
        """The metric's value for each frame; empty where it was not measured."""
        return [value for frame in self.frames if (value := getattr(frame, metric)) is not None]

    def mean(self, metric: Metric) -> float | None:
        """Mean over the frames; None where it was not measured."""
        values = self.values(metric)
        return fmean(values) if values else None

    def worst(self, metric: Metric) -> FrameScore:
        """The frame with the lowest value."""
        return min(self.frames, key=lambda frame: getattr(frame, metric))

    def best(self, metric: Metric) -> FrameScore:
        """The frame with the highest value."""
        return max(self.frames, key=lambda frame: getattr(frame, metric))


OnPair = Callable[[FrameScore, Tensor, Tensor], None]
"""Called with a frame's score, without VMAF as yet, and both pictures, (3, H, W) uint8 of one size."""


def compare(
    image: Footage,
    truth: Footage,
    *,
    size: CommonSize = "larger",
    vmaf: bool = True,
    max_frames: int | None = None,
    on_pair: OnPair | None = None,
) -> Comparison:
    """Measure ``image`` against ``truth``, at most ``max_frames`` frames, both brought to one size (bicubic).

    VMAF is left out where the FFmpeg binary cannot measure it. Raises InputError where the shapes or the times
    have nothing in common, or frames are too small for SSIM.
    """
    measured = common_size(image, truth, size)
    if min(measured) < 11:
        raise InputError(f"{measured} is too small to compare: SSIM looks at 11×11 pixels")
    meter = Vmaf(*measured, truth.info.color) if vmaf and vmaf_available() else None
    scores: list[FrameScore] = []
    unmatched = [0, 0]
    try:
        for a, b in _matched(image, truth, max_frames, unmatched):
            x, y = to_size(a.rgb, measured), to_size(b.rgb, measured)
            score = FrameScore(b.index, b.seconds, *figures(x, y))
            scores.append(score)
            if meter is not None:
                meter.add(x, y)
            if on_pair is not None:
                on_pair(score, x, y)
        if not scores:
            raise InputError(f"{image.path} and {truth.path} have no frame at the same time")
        if meter is not None:
            scores = [replace(score, vmaf=value) for score, value in zip(scores, meter.scores(), strict=True)]
    finally:
        if meter is not None:
            meter.__exit__(None, None, None)
    return Comparison(image, truth, measured, tuple(scores), (unmatched[0], unmatched[1]))


def common_size(image: Footage, truth: Footage, size: CommonSize = "larger") -> Size:
    """The size that two videos are compared at. Raises InputError where their shapes differ."""
    if isinstance(size, tuple):
        return Size(*size)
    a, b = image.size, truth.size
    if abs(math.log(a.width * b.height / (a.height * b.width))) > _ASPECT_TOLERANCE:
        raise InputError(
            f"{image.path} is {a}, {truth.path} {b}: different shapes cannot be compared",
            hint="size",
        )
    return max(a, b) if size == "larger" else min(a, b)


def _matched(
    image: Footage, truth: Footage, max_frames: int | None, unmatched: list[int]
) -> Iterator[tuple[Picture, Picture]]:
    """Pairs of frames of the same time. ``unmatched`` counts the frames of each that have no partner."""
    by_time = image.timed and truth.timed
    # Times less than half a frame apart count as the same: containers round them, Matroska to the millisecond.
    tolerance = 0.5 / float(max(image.rate, truth.rate))
    sources = image.pictures(), truth.pictures()
    a, b = next(sources[0], None), next(sources[1], None)
    begun = (a.seconds if a else 0.0) - (b.seconds if b else 0.0)
    pairs = 0
    while a is not None and b is not None:
        apart = a.seconds - b.seconds - begun if by_time else float(a.index - b.index)
        if abs(apart) < (tolerance if by_time else 0.5):
            yield a, b
            pairs += 1
            if pairs == max_frames:
                return
            a, b = next(sources[0], None), next(sources[1], None)
        elif apart < 0:
            unmatched[0] += 1
            a = next(sources[0], None)
        else:
            unmatched[1] += 1
            b = next(sources[1], None)
    for number, left in enumerate((a, b)):
        if left is not None:
            unmatched[number] += 1 + sum(1 for _ in sources[number])
