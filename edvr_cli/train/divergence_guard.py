"""The watch over a run: deformable training explodes, and must be caught before it spoils the weights."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

__all__ = ["Guard", "Reading"]

_MEMORY = 100  # steps that say what is usual
_TRUSTED = 20  # of them, before a jump can be told
_FARTHER = 10.0  # times the usual mean |offset|: no motion grows so between two batches
_SMALL = 5.0  # pixels: below, no offset is far


class Reading(NamedTuple):
    """What the weights, as they are, make of one batch."""

    loss: float
    offset: float  # mean |offset|, pixels
    doing_nothing: float = 1.0  # the loss of leaving the batch as it is


@dataclass
class Guard:
    """Judges weights by what they make of a batch, before they are trained on or kept.

    An offset is too far above ``offset_alarm`` pixels, or at ten times the median of the last 100. Samples are not
    equally hard, so a loss counts by its share of what doing nothing would lose on the same batch: a share above
    ``spike`` times the median of the last 100 is an explosion, too.
    """

    offset_alarm: float
    spike: float
    _shares: deque[float] = field(default_factory=lambda: deque(maxlen=_MEMORY))
    _offsets: deque[float] = field(default_factory=lambda: deque(maxlen=_MEMORY))

    def objection(self, reading: Reading) -> str | None:
        """Why weights with this reading must not stand, or None."""
        loss, offset, doing_nothing = reading
        if not math.isfinite(loss) or not math.isfinite(offset):
            return "the loss or the offsets are not finite"
        alarm = min(self.offset_alarm, max(_SMALL, _FARTHER * _usual(self._offsets)))
        if offset > alarm:
            return f"the mean offset is {offset:.1f} pixels (alarm at {alarm:.3g})"
        share = loss / doing_nothing
        if share > self.spike * _usual(self._shares):
            return f"the loss is {loss:.4g}, {share / _usual(self._shares):.1f} times the usual on such a batch"
        return None

    def add(self, reading: Reading) -> None:
        """Count this reading as usual from now on."""
        self._shares.append(reading.loss / reading.doing_nothing)
        self._offsets.append(reading.offset)

    def recall(self) -> list[tuple[float, float]]:
        """The shares and offsets that it judges by, for a checkpoint."""
        return list(zip(self._shares, self._offsets, strict=True))

    def restore(self, memory: Iterable[tuple[float, float]]) -> None:
        """Judge by these shares and offsets; none at a new stage, where others are usual."""
        self._shares.clear()
        self._offsets.clear()
        for share, offset in memory:
            self._shares.append(share)
            self._offsets.append(offset)


def _usual(values: deque[float]) -> float:
    return median(values) if len(values) >= _TRUSTED else math.inf
