"""Progress events of a training run: typed values for a bar, a log or a script."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Event", "Finished", "Notice", "OnEvent", "Progress", "RolledBack", "Validated"]


@dataclass(frozen=True)
class Notice:
    """Something the user should know, as a sentence."""

    message: str


@dataclass(frozen=True)
class Progress:
    """One more step is done."""

    step: int  # steps done
    steps: int  # in all
    stage: str
    loss: float
    learning_rate: float
    offset: float  # mean |offset| in pixels
    samples_per_second: float
    waiting: float  # share of the time spent waiting for data
    seconds_left: float  # until the last step, at the present pace


@dataclass(frozen=True)
class Validated:
    """Quality on footage held out of training, of the averaged weights, in dB of RGB PSNR."""

    step: int
    psnr: float
    gain: float  # over the same network fed copies of the reference frame: the gain from neighboring frames


@dataclass(frozen=True)
class RolledBack:
    """Training diverged; it continues from the last good checkpoint with a smaller learning rate."""

    step: int
    to: int
    reason: str
    rate_factor: float


@dataclass(frozen=True)
class Finished:
    """The model file is written; ``complete`` is False where the time budget ended first."""

    target: Path
    step: int
    complete: bool
    samples_per_second: float = field(default=0.0, compare=False)  # of this call, including validation


Event = Notice | Progress | Validated | RolledBack | Finished
OnEvent = Callable[[Event], None]
