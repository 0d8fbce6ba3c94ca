"""Scene cut detection: sudden changes of a thumbnail of the luma."""

from collections import deque
from collections.abc import Iterable
from statistics import median

import torch.nn.functional as F
from torch import Tensor

__all__ = ["CutDetector"]

_GRID = (18, 32)  # coarse enough that motion within a shot moves little
_JUMP = 0.08  # mean absolute luma difference below which nothing is a cut
_RATIO = 3.0  # how many times the shot's recent differences a cut must stand out
_MEMORY = 8  # recent differences remembered
_UNKNOWN = 0.04  # taken for the usual difference before any is known


class CutDetector:
    """Detects, frame by frame and in order, whether a frame starts a new shot.

    A cut is a thumbnail difference that is large by itself and against what the shot's motion has been:
    steady fast motion, fades and flicker are not cuts, nor are cuts less than three frames apart. Being wrong
    is cheap on either side: a missed cut leaves the work to the network's temporal attention, a false one
    costs a few frames their neighbors.
    """

    def __init__(self) -> None:
        self._last: Tensor | None = None
        self._recent: deque[float] = deque(maxlen=_MEMORY)

    @property
    def motion(self) -> tuple[float, ...]:
        """Recent motion of the shot: the state of the detector, together with the last frame."""
        return tuple(self._recent)

    def resume(self, luma: Tensor, motion: Iterable[float]) -> None:
        """Restore the state after a frame with this luma and ``motion``."""
        self._last = _thumbnail(luma)
        self._recent = deque(motion, maxlen=_MEMORY)

    def starts_shot(self, luma: Tensor) -> bool:
        """Whether the next frame, given by its luma (H, W) in [0, 1], starts a shot; False for the first one."""
        thumbnail = _thumbnail(luma)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        difference = float((thumbnail - last).abs().mean())
        usual = median(self._recent) if self._recent else _UNKNOWN
        cut = difference > max(_JUMP, _RATIO * usual)
        if cut:
            self._recent.clear()  # the new shot moves in its own way
        self._recent.append(difference)
        return cut


def _thumbnail(luma: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(luma[None, None].float(), _GRID)
