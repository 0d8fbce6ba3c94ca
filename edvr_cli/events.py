"""Progress events of a restoration: typed values for a progress bar, a log or a script."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edvr_cli.errors import Hint
from edvr_cli.size import Size

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
    """All checks have passed; the work begins."""

    source: Path
    target: Path
    size: Size  # of the source
    output_size: Size
    total: int | None  # frames, an estimate; None: unknown
    model: str
    device: str
    precision: str
    tile: int  # largest side of a tile; 0: whole frames
    resized: bool  # the network's output is resized, as another scale than the model's is wanted
    kept: int = 0  # frames that an earlier run restored
    segment_frames: int = 0  # of the longest segment; 0: nothing is kept
    seconds_per_frame: float | None = None  # expected, of all workers together, where it was measured
    workers: int = 1  # that restore segments at the same time
    strength: float = 1.0  # share of the network's output in a frame
    sharpen: float = 0.0  # of that output
    tta: int = 1  # outputs that are averaged


@dataclass(frozen=True)
class FrameRestored:
    """One more frame is restored; ``done`` includes those of earlier runs."""

    done: int
    total: int | None
    unsaved: int = field(default=0, compare=False)  # frames that stopping at once would lose


@dataclass(frozen=True)
class Notice:
    """A sentence for the user, and the kind of option that would help; the work continues."""

    message: str
    hint: Hint | None = None


@dataclass(frozen=True)
class Joining:
    """Every frame is restored; the segments and the source's other streams are being joined and verified."""

    frames: int


@dataclass(frozen=True)
class Paused:
    """The work ends early, on request or after an error, and can be continued: ``done`` frames are kept."""

    done: int
    total: int | None
    directory: Path


@dataclass(frozen=True)
class Finished:
    """The output is complete, verified, and in its place."""

    target: Path
    frames: int
    seconds: float
    restored: int = 0  # frames that this run restored; earlier runs restored the others
    promised: int | None = None  # frames that the source promises, where it breaks off before these


@dataclass(frozen=True)
class FileBegun:
    """The next file of a batch begins; ``count`` is the number of files, None where it is unknown."""

    number: int
    count: int | None
    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """The result of one file of a batch; ``message`` says why it failed or was skipped, ``size`` is in bytes."""

    source: Path
    target: Path
    status: Literal["done", "skipped", "failed"]
    frames: int = 0
    restored: int = 0
    seconds: float = 0.0
    size: int = 0
    message: str = ""
    hint: Hint | None = None
    trace: str = ""  # traceback of an unexpected exception


@dataclass(frozen=True)
class BatchEnded:
    """The batch is finished, or was stopped."""

    outcomes: tuple[Outcome, ...]


Event = Started | FrameRestored | Notice | Joining | Paused | Finished | FileBegun | Outcome | BatchEnded
OnEvent = Callable[[Event], None]
