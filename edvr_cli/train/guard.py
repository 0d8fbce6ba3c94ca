"""The watch over a run: deformable training explodes, and must be caught before it spoils the weights."""

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median

__all__ = ["Guard"]

_MEMORY = 100  # losses that say what is usual
_TRUSTED = 20  # of them, before a spike can be told


@dataclass
class Guard:
    """Judges each step by its loss and its mean |offset|.

    ``offset_alarm`` is in pixels. Samples are not equally hard, so a loss counts by its share of what doing nothing
    would lose on the same batch: a share above ``spike`` times the median of the last 100 is an explosion, too.
    """

    offset_alarm: float
    spike: float
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_MEMORY))

    def objection(self, loss: float, offset: float, doing_nothing: float = 1.0) -> str | None:
        """Why the step must not stand, or None: then it counts as usual from now on."""
        if not math.isfinite(loss) or not math.isfinite(offset):
            return "the loss or the offsets are not finite"
        if offset > self.offset_alarm:
            return f"the mean offset is {offset:.1f} pixels (alarm at {self.offset_alarm:g})"
        usual = median(self._recent) if len(self._recent) >= _TRUSTED else None
        share = loss / doing_nothing
        if usual is not None and share > self.spike * usual:
            return f"the loss is {loss:.4g}, {share / usual:.1f} times the usual on such a batch"
        self._recent.append(share)
        return None

    def recall(self) -> list[float]:
        """The shares that it judges by, for a checkpoint."""
        return list(self._recent)

    def restore(self, shares: list[float]) -> None:
        """Judge by these shares; none at a new stage, where others are usual."""
        self._recent.clear()
        self._recent.extend(shares)
