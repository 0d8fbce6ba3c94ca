"""A video as a row of closed segments: where one ends, and what a later run needs to continue there.

Where a segment ends depends only on the frames since the previous end, so that a run that starts anywhere divides
the rest of the video as any other run does.
"""

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["START", "FrameId", "Position", "Segment", "SegmentLimits"]

_MAX_FRAMES = 300  # per segment, at any frame rate: an interruption costs at most these
_EACH = 2  # segments that a worker should get at least
_MIN_SHARED = 12  # frames of a segment, for that: a worker computes four more, which its windows reach


@dataclass(frozen=True)
class FrameId:
    """Identifies a source frame by its time and checksum, and says whether it starts a shot."""

    pts: int
    checksum: int
    starts_shot: bool


@dataclass(frozen=True)
class Position:
    """The place between two frames at which a segment begins.

    ``before`` are the frames just before it that windows reach back to; ``motion`` is the state of the cut detector.
    """

    frame: int
    before: tuple[FrameId, ...] = ()
    motion: tuple[float, ...] = ()


START = Position(0)


@dataclass(frozen=True)
class Segment:
    """A finished segment: the file ``name`` with ``frame_count`` encoded frames, the first one numbered ``first``.

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
class SegmentLimits:
    """A segment ends at the first scene cut after ``shortest`` frames, and after ``longest`` frames in any case."""

    shortest: int
    longest: int

    @classmethod
    def from_seconds(cls, seconds: float, rate: Fraction | None) -> "SegmentLimits":
        """Limits for segments of at most ``seconds``, at ``rate`` frames per second (None: unknown)."""
        longest = min(_MAX_FRAMES, max(1, round(seconds * float(rate or 25))))
        return cls(max(1, longest // 2), longest)

    def within(self, seconds: float, pace: float | None) -> "SegmentLimits":
        """The same, with at most ``seconds`` of work per segment at ``pace`` seconds per frame (None: unknown)."""
        return self if not pace else self.at_most(max(1, int(seconds / pace)))

    def at_most(self, frames: int) -> "SegmentLimits":
        """The same, with at most ``frames`` per segment."""
        longest = min(self.longest, frames)
        return SegmentLimits(min(self.shortest, max(1, longest // 2)), longest)

    def shared_by(self, workers: int, frames: int | None) -> "SegmentLimits":
        """The same, short enough for each of ``workers`` to get some of the ``frames`` (None: unknown)."""
        if workers == 1 or frames is None:
            return self
        return self.at_most(max(_MIN_SHARED, -(-frames // (_EACH * workers))))

    def end_before(self, length: int, starts_shot: bool) -> bool:
        """Whether a segment of ``length`` frames ends before a frame that does or does not start a shot."""
        return length >= self.longest or (starts_shot and length >= self.shortest)
