"""The settings of one phase of training on the device."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Phase"]


@dataclass(frozen=True)
class Phase:
    """Settings of a phase. Its network has the dimensions of ``start``."""

    name: str
    start: str  # a model, or the name of an earlier phase whose last weights it continues from
    seconds: float
    task: Literal["sr", "deblur"] = "sr"
    rate: float = 5e-4
    trunk_rate: float = 1.0  # factor of the rate for the residual blocks
    schedule: Literal["constant", "cosine"] = "cosine"
    optimizer: Literal["muon", "adam"] = "muon"
    degraded: float = 0.0  # share of compressed samples
    supervision: float = 0.0  # weight of the offsets' distance from the known motion, fading to nothing
    taught: float = 0.0  # share of the teacher's frames in the target; the truth has the rest
    sharpen: float = 0.0  # strength of an unsharp mask on the truth
    batch: int = 16
    singles: int = 0  # samples of one frame in each step, besides the batch of windows; a third of a window's cost
    patch: int = 64  # input pixels, a multiple of 16
    bias_rate: float = 1.0  # factor of the rate for biases: a step too long makes a ReLU zero for good
    leak: float = 0.0  # share of the gradient that zeros of the residual blocks' ReLU pass: dead channels come back
    relative: bool = False  # each sample's loss is divided by that of the unrestored frame
    slight: float = 0.002  # a loss of the unrestored frame at which there is little to gain, where relative
    average: float = 0.998  # of the weights, per step
    warm_up: int = 50  # steps
    keep: bool = True  # whether the average is written
    keep_every: float = 0.0  # seconds after which it is written during the phase; 0: at its end only
    steps: int = 0  # number of steps instead of the time, for a dry run; 0: the time decides
