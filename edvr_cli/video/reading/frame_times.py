"""Frame times: the source's where they are usable, else between those of the neighbors."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

from av.video.frame import VideoFrame

from edvr_cli.video.reading.info import VideoInfo

__all__ = ["FrameTimes", "TimedFrame"]

TimedFrame = tuple[VideoFrame, int, int | None]
"""A frame, its time and its duration (None: unknown), in ticks."""

# Frames looked at to see whether their presentation times rise, and frames without a time that are placed together.
_LOOKAHEAD = 8
# Presentation times that step back more often than once in so many frames are libav's guesses, as in AVI.
_TRUSTED_PER_FAULT = 10


class FrameTimes:
    """Gives the frames of one source their times; these rise.

    A frame whose time does not come after its predecessor's is placed between that one and the next that has a
    usable time, which keeps its own: no repair delays what follows it. A frame without a time comes one frame later.
    """

    def __init__(self, info: VideoInfo, on_warning: Callable[[str], None]) -> None:
        self._warn = on_warning
        self._frames: Iterator[VideoFrame] = iter(())
        self._ahead: deque[VideoFrame] = deque()
        self._step = max(1, round(1 / ((info.average_rate or Fraction(25)) * info.time_base)))
        self._last: int | None = None
        self._presentation, self._decoding = _Counter(), _Counter()
        self._placed = self._untimed = 0

    def give(self, frames: Iterable[VideoFrame]) -> Iterator[TimedFrame]:
        """The frames, which are in display order, each with its time."""
        self._frames = iter(frames)
        self._look_ahead()
        while (frame := self._next()) is not None:
            time = self._time(frame)
            if time is None:
                self._untimed += frame.pts is None
                yield self._at(frame, 0 if self._last is None else self._last + self._step)
            elif self._last is None or time > self._last:
                yield self._at(frame, time)
            else:
                yield from self._place(frame, self._last)

    def report(self) -> None:
        """Warn of repairs, with their number."""
        if self._untimed:
            self._warn(f"{self._untimed} frames had no usable time in the source; they follow at the frame rate.")
        if self._placed:
            self._warn(f"{self._placed} frames came with the time of an earlier one; they are placed behind it.")

    def _place(self, first: VideoFrame, last: int) -> Iterator[TimedFrame]:
        """Place frames whose times do not come after ``last`` before the next one whose time does."""
        surplus = [first]
        room: int | None = None
        ended = False
        while len(surplus) < _LOOKAHEAD:
            frame = self._next()
            if frame is None:
                ended = True
                break
            time = self._time(frame)
            if time is not None and time > last:
                self._ahead.appendleft(frame)
                room = time - last
                break
            surplus.append(frame)
        if room is None:
            # Behind the last usable time there is room for all; where times stay behind, they catch up.
            room = self._step * (len(surplus) + 1) if ended else 0
        self._placed += len(surplus)
        for number, frame in enumerate(surplus, start=1):
            assert self._last is not None
            yield self._at(frame, max(self._last + 1, last + room * number // (len(surplus) + 1)))

    def _time(self, frame: VideoFrame) -> int | None:
        """What the source says; decoding times where they were wrong less often than presentation times."""
        faults, frames = self._presentation.faults, self._presentation.count
        often = faults > max(1, self._decoding.faults) and faults * _TRUSTED_PER_FAULT > frames
        if often and self._decoding.count * 2 > frames:
            return frame.dts
        return frame.pts if frame.pts is not None else frame.dts

    def _at(self, frame: VideoFrame, time: int) -> TimedFrame:
        duration = frame.duration or None
        self._last = time
        self._step = duration or self._step
        return frame, time, duration

    def _look_ahead(self) -> None:
        for frame in self._frames:
            self._count(frame)
            self._ahead.append(frame)
            # Pictures and pipes have no decoding times to choose instead.
            if frame.dts is None or len(self._ahead) == _LOOKAHEAD:
                return

    def _next(self) -> VideoFrame | None:
        if self._ahead:
            return self._ahead.popleft()
        frame = next(self._frames, None)
        if frame is not None:
            self._count(frame)
        return frame

    def _count(self, frame: VideoFrame) -> None:
        self._presentation.add(frame.pts)
        self._decoding.add(frame.dts)


class _Counter:
    """Counts times that do not rise."""

    def __init__(self) -> None:
        self.count = self.faults = 0
        self._last: int | None = None

    def add(self, time: int | None) -> None:
        if time is None:
            return
        self.count += 1
        self.faults += self._last is not None and time <= self._last
        self._last = time
