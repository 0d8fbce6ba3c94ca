"""What a restoration tells while it runs: typed values, for a progress bar, a log or a script to show."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Event", "Finished", "FrameRestored", "Notice", "OnEvent", "Started"]


@dataclass(frozen=True)
class Started:
    """Everything that can be checked beforehand is in order; the work begins."""

    source: Path
    target: Path
    size: tuple[int, int]  # width, height of the source in pixels
    output_size: tuple[int, int]
    total: int | None  # frames, an estimate; None where the source does not tell
    model: str
    device: str
    precision: str
    tile: int  # largest side of a tile's core; 0: whole frames
    resized: bool  # the model's own scale is another, the output is brought to size afterwards


@dataclass(frozen=True)
class FrameRestored:
    """One more frame went through the network."""

    done: int
    total: int | None


@dataclass(frozen=True)
class Notice:
    """Something the user should know, as a sentence; the work goes on."""

    message: str


@dataclass(frozen=True)
class Finished:
    """The output is whole, verified, and under its final name."""

    target: Path
    frames: int
    seconds: float


Event = Started | FrameRestored | Notice | Finished
OnEvent = Callable[[Event], None]
