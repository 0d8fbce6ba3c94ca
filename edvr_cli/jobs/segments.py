"""A video as a row of closed segments: where one ends, and what another run needs to go on from there.

Where segments end depends on the frames since the last end alone, so that a run that starts anywhere cuts the
rest of the video as any other run does.
"""

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["START", "Lengths", "Mark", "Position", "Segment"]

_MOST_FRAMES = 300  # in a segment, whatever the frame rate: so many may have to be restored again


@dataclass(frozen=True)
class Mark:
    """What a source frame is recognized by, and whether it starts a shot."""

    pts: int
    checksum: int
    starts_shot: bool


@dataclass(frozen=True)
class Position:
    """The place between two frames at which a segment begins.

    ``before`` are the last frames before it, a window's worth at most: windows reach back so far. ``motion`` is
    what the cut detector remembers there.
    """

    frame: int
    before: tuple[Mark, ...] = ()
    motion: tuple[float, ...] = ()


START = Position(0)


@dataclass(frozen=True)
class Segment:
    """A finished segment: the file ``name`` of ``frame_count`` encoded frames from number ``first`` on.

    ``first_pts`` and ``last_duration`` are in ticks of the source; ``end`` is where the next segment begins.
    """

    name: str
    first: int
    frame_count: int
    first_pts: int
    last_duration: int
    size: int
    sha256: str
    end: Position


@dataclass(frozen=True)
class Lengths:
    """A segment ends at the first cut from ``shortest`` frames on, and at ``longest`` in any case."""

    shortest: int
    longest: int

    @classmethod
    def of(cls, seconds: float, rate: Fraction | None) -> "Lengths":
        """For segments of ``seconds`` at most, at ``rate`` frames a second (None: unknown)."""
        longest = min(_MOST_FRAMES, max(1, round(seconds * float(rate or 25))))
        return cls(max(1, longest // 2), longest)

    def ends(self, length: int, starts_shot: bool) -> bool:
        """Whether a segment of ``length`` frames ends before a frame that does or does not start a shot."""
        return length >= self.longest or (starts_shot and length >= self.shortest)
