"""Detection of divergence: deformable convolutions can explode in training, which must not spoil the weights."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

__all__ = ["DivergenceGuard", "StepStats"]

_MEMORY = 100  # steps from which the usual loss and offset are known
_FARTHER = 10.0  # times the usual mean |offset|: motion never grows that much between two batches
_SMALL = 5.0  # pixels; smaller offsets never count as diverging


class StepStats(NamedTuple):
    """Loss and offsets of the present weights on one batch."""

    loss: float
    offset: float  # mean |offset|, pixels
    doing_nothing: float = 1.0  # the loss of the unrestored frame


@dataclass
class DivergenceGuard:
    """Judges weights by their results on a batch, before they are trained further or saved.

    An offset is too far above ``offset_alarm`` pixels, or at ten times the median of the last 100. Samples are not
    equally hard, so a loss is divided by that of the unrestored frame on the same batch: a ratio above
    ``spike`` times the median of the last 100 is an explosion, too.
    """

    offset_alarm: float
    spike: float
    trusted: int = 20  # batches that tell what is usual
    _shares: deque[float] = field(default_factory=lambda: deque(maxlen=_MEMORY))
    _offsets: deque[float] = field(default_factory=lambda: deque(maxlen=_MEMORY))

    def reason_to_reject(self, reading: StepStats) -> str | None:
        """Why weights with these statistics must be rejected, or None."""
        loss, offset, doing_nothing = reading
        if not math.isfinite(loss) or not math.isfinite(offset):
            return "the loss or the offsets are not finite"
        alarm = min(self.offset_alarm, max(_SMALL, _FARTHER * self._usual(self._offsets)))
        if offset > alarm:
            return f"the mean offset is {offset:.1f} pixels (alarm at {alarm:.3g})"
        share = loss / doing_nothing
        usual = self._usual(self._shares)
        if share > self.spike * usual:
            return f"the loss is {loss:.4g}, {share / usual:.1f} times the usual on such a batch"
        return None

    def add(self, reading: StepStats) -> None:
        """Add these statistics to the usual ones."""
        self._shares.append(reading.loss / reading.doing_nothing)
        self._offsets.append(reading.offset)

    def recall(self) -> list[tuple[float, float]]:
        """The loss ratios and offsets that it compares with, for a checkpoint."""
        return list(zip(self._shares, self._offsets, strict=True))

    def restore(self, memory: Iterable[tuple[float, float]]) -> None:
        """Compare with these loss ratios and offsets; with none at a new stage, where others are usual."""
        self._shares.clear()
        self._offsets.clear()
        for share, offset in memory:
            self._shares.append(share)
            self._offsets.append(offset)

    def _usual(self, values: deque[float]) -> float:
        return median(values) if len(values) >= self.trusted else math.inf
