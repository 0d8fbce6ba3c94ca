"""The wanted size of a result: named in pixels, and turned into an enlargement for each source."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from edvr_cli.errors import OutputError, wrong_usage
from edvr_cli.size import Size

__all__ = ["NAMED_SIZES", "TargetSize", "exceeds_4k", "parse_scale", "two_runs"]

NAMED_SIZES = {
    "720p": Size(1280, 720),
    "1080p": Size(1920, 1080),
    "1440p": Size(2560, 1440),
    "2160p": Size(3840, 2160),
    "4k": Size(3840, 2160),
}
"""Sizes of screens."""

_4K = Size(4096, 2160)  # of cinemas; that of screens is less wide


@dataclass(frozen=True)
class TargetSize:
    """A width, a height, or a box that the result fits in, in pixels as shown; the shape of the picture is kept.

    ``turns`` fits portrait video into the box turned upright.
    """

    width: int | None = None
    height: int | None = None
    turns: bool = False

    def __str__(self) -> str:
        if self.width is None or self.height is None:
            return f"{self.width} pixels wide" if self.height is None else f"{self.height} pixels high"
        return f"{self.width}×{self.height}"

    def scale(self, shown: Size) -> Fraction:
        """The enlargement of a source that is ``shown`` in this size."""
        width, height = self.width, self.height
        if self.turns and shown.height > shown.width:
            width, height = height, width
        wanted = zip((width, height), shown, strict=True)
        return min(Fraction(side // 2 * 2, now) for side, now in wanted if side is not None)

    @wrong_usage()
    def output_size(self, path: Path, size: Size, shown: Size, max_scale: float) -> Size:
        """Size of the result of a source that is stored in ``size`` and ``shown`` in another; both sides even.

        Raises OutputError where the source is larger already, and where ``max_scale`` is too little.
        """
        scale = self.scale(shown)
        if scale < 1:
            raise OutputError(f"{path} is {shown} already: {self} would shrink it.", hint="target_size")
        if scale > max_scale:
            too_large = f"{self} is {float(scale):.3g} times that, and the model enlarges {max_scale:g} times"
            raise OutputError(f"{path} is {shown}: {too_large}. {two_runs(float(scale), max_scale)}")
        return Size(*(max(2, round(side * scale / 2) * 2) for side in size))


def two_runs(scale: float, max_scale: float = 4) -> str:
    """How two runs enlarge more than one can, and what the second one costs."""
    if scale > max_scale**2:
        return f"Two runs enlarge {max_scale**2:g} times at most."
    first = math.ceil(scale / max_scale * 2) / 2
    return (
        f"Run twice: enlarge {first:g} times first, then that result to the full size. "
        f"The second run takes about {first**2:.2g} times as long as the first."
    )


def exceeds_4k(size: Size) -> bool:
    """Whether a picture is larger than 4K, upright or not."""
    return max(size) > _4K.width or min(size) > _4K.height


def parse_scale(text: str) -> float | TargetSize | None:
    """What ``2``, ``2x``, ``1080p`` or ``4k`` mean; None where the text means nothing."""
    name = text.strip().lower()
    if name in NAMED_SIZES:
        return TargetSize(*NAMED_SIZES[name], turns=True)
    match = re.fullmatch(r"[x×]?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})[x×]?", name, re.ASCII)
    return None if match is None else float(match[1])
