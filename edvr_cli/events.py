"""What a restoration tells while it runs: typed values, for a progress bar, a log or a script to show."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edvr_cli.errors import Hint

__all__ = [
    "BatchEnded",
    "Event",
    "FileBegun",
    "Finished",
    "FrameRestored",
    "Joining",
    "Notice",
    "OnEvent",
    "Outcome",
    "Paused",
    "Started",
]


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
    kept: int = 0  # frames that an earlier run restored


@dataclass(frozen=True)
class FrameRestored:
    """One more frame went through the network; ``done`` counts those of earlier runs, too."""

    done: int
    total: int | None


@dataclass(frozen=True)
class Notice:
    """Something the user should know, as a sentence; the work goes on."""

    message: str


@dataclass(frozen=True)
class Joining:
    """Every frame is restored; they are being put together with the source's other streams, and verified."""

    frames: int


@dataclass(frozen=True)
class Paused:
    """The work ends before its time, by the user's wish or an error, and may go on: ``done`` frames are kept."""

    done: int
    total: int | None
    directory: Path


@dataclass(frozen=True)
class Finished:
    """The output is whole, verified, and under its final name."""

    target: Path
    frames: int
    seconds: float
    restored: int = 0  # frames that this run restored; others an earlier one
    promised: int | None = None  # frames that the source promises, where it breaks off before these


@dataclass(frozen=True)
class FileBegun:
    """The next file of a batch has its turn; ``count`` is of the whole batch, None where that is open."""

    number: int
    count: int | None
    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a file of a batch; ``message`` says why it failed or was skipped, ``size`` is in bytes."""

    source: Path
    target: Path
    status: Literal["done", "skipped", "failed"]
    frames: int = 0
    restored: int = 0
    seconds: float = 0.0
    size: int = 0
    message: str = ""
    hint: Hint | None = None
    trace: str = ""  # the traceback of an exception that nobody foresaw


@dataclass(frozen=True)
class BatchEnded:
    """The last file of a batch had its turn, or the work was stopped before."""

    outcomes: tuple[Outcome, ...]


Event = Started | FrameRestored | Notice | Joining | Paused | Finished | FileBegun | Outcome | BatchEnded
OnEvent = Callable[[Event], None]
