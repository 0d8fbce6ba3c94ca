"""The clock of a source, corrected where it jumps: in joined recordings, or captures whose clock was set.

A jump shows in each stream at its own packet, but it is one jump: all streams are moved by the same amount, so that
what belongs together stays together. Behind a jump the source continues where the longest of its streams ended, so
that no two parts overlap and nothing but a stream's own gap separates them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from edvr_cli.video.pyav import time_base

__all__ = ["STEADY", "SourceClock", "demux_once", "may_jump", "read_clock"]

# Seconds: a stream that pauses longer, or steps back further, has jumped. FFmpeg's command draws the same lines.
_MAX_PAUSE = 10.0
_MAX_STEP_BACK = 0.1
_MIN_JUMP = 0.5
# What follows a jump is looked for so many seconds around the time that other streams have reached behind it.
_MAX_INTERLEAVING = 10.0
# Frames may be stored in another order than they are shown: the earliest is among the first ones.
_REORDERED = 64
_TS_DISCONT = 512  # libav's flag of a format whose times may jump


@dataclass(frozen=True)
class SourceClock:
    """What is added to the times of each stream's packets.

    ``changes`` are, for each stream by its number, (packet, counted from 0, and the seconds added from it on).
    ``packets`` are counts for each stream, ``end`` is where the last stream ends, in seconds.
    """

    changes: Mapping[int, tuple[tuple[int, Fraction], ...]] = field(default_factory=dict)
    jumps: int = 0
    packets: Mapping[int, int] = field(default_factory=dict)
    end: Fraction | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about it for the user."""
        if not self.jumps:
            return ()
        times = "once" if self.jumps == 1 else f"{self.jumps} times"
        return (f"The clock of the input jumps {times}, as in joined recordings; its parts are joined.",)

    def demux(self, container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet]:
        """The packets of some streams of a container that was just opened, from its beginning, with mended times."""
        if not self.changes:
            yield from container.demux(list(streams))
            return
        waiting = {index: list(changes) for index, changes in self.changes.items()}
        counts = dict.fromkeys(waiting, 0)
        added = dict.fromkeys(waiting, Fraction(0))
        for packet in container.demux(list(streams)):
            index = packet.stream_index
            if packet.size and index in waiting:
                while waiting[index] and counts[index] >= waiting[index][0][0]:
                    added[index] = waiting[index].pop(0)[1]
                counts[index] += 1
                ticks = round(added[index] / time_base(packet))
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
            yield packet


STEADY = SourceClock()


def demux_once(container: InputContainer, stream: Stream) -> Iterator[Packet]:
    """The packets of one stream of a container that cannot be read twice, each jump mended where it shows."""
    if not may_jump(container):
        yield from container.demux(stream)
        return
    track, added = _Track(timed=True), 0.0
    for packet in container.demux(stream):
        ticks = packet.dts if packet.dts is not None else packet.pts
        if packet.size and ticks is not None:
            unit = time_base(packet)
            time = float(ticks * unit) + added
            if track.jumped(time):
                added += track.expected - time
                time = track.expected
            track.advance(time, float((packet.duration or 0) * unit))
            moved = round(added / unit)
            packet.pts = None if packet.pts is None else packet.pts + moved
            packet.dts = None if packet.dts is None else packet.dts + moved
        yield packet


def may_jump(container: InputContainer) -> bool:
    """Whether a container's format has no clock of its own that all times must keep to."""
    return bool(container.format.flags & _TS_DISCONT)


def read_clock(container: InputContainer) -> SourceClock:
    """Read all packets of a container that was just opened, and find where its clock jumps."""
    finder = _JumpFinder()
    try:
        for packet in container.demux():
            if packet.size:
                finder.add(packet)
    except av.FFmpegError:  # Where the file breaks off; the reader says so.
        pass
    return finder.clock()


@dataclass
class _Part:
    """What lies between two jumps, on the clock of the file: seconds."""

    latest: float
    begins: dict[int, float] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)


@dataclass
class _Track:
    """How far one stream has come, in seconds."""

    timed: bool
    """Whether it is sound or video, which have packets at all times."""
    part: int = 0
    count: int = 0
    count_in_part: int = 0
    last: float | None = None
    step: float = 0.0
    changes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def expected(self) -> float:
        """When the next packet is due."""
        return (self.last or 0.0) + self.step

    def jumped(self, time: float) -> bool:
        """Whether the next packet, at ``time``, is neither due nor after an ordinary pause."""
        if self.last is None:
            return False
        return time < self.last - _MAX_STEP_BACK or time - self.expected > _MAX_PAUSE

    def advance(self, time: float, duration: float) -> None:
        """Take the next packet."""
        if duration:
            self.step = duration
        elif self.last is not None and 0 < time - self.last <= _MAX_PAUSE:
            self.step = time - self.last
        self.last = time
        self.count_in_part += 1


class _JumpFinder:
    """Divides the packets of all streams into the parts between jumps."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._tracks: dict[int, _Track] = {}

    def add(self, packet: Packet) -> None:
        """Take the next packet of the file."""
        index = packet.stream_index
        track = self._tracks.get(index)
        if track is None:
            track = self._tracks[index] = _Track(packet.stream.type in ("video", "audio"))
            track.part = max((other.part for other in self._tracks.values()), default=0)
            if track.part:
                track.changes.append((0, track.part))
        ticks = packet.dts if packet.dts is not None else packet.pts
        if ticks is not None:
            unit = time_base(packet)
            per_second = unit.denominator / unit.numerator
            time = ticks / per_second
            shown = time if packet.pts is None else packet.pts / per_second
            shown = shown if abs(shown - time) < _MAX_PAUSE else time
            self._place(track, time)
            self._extend(index, track, time, shown, (packet.duration or 0) / per_second)
        track.count += 1

    def clock(self) -> SourceClock:
        """What is to be added to each stream's times."""
        offsets: list[float] = []
        ends: dict[int, float] = {}
        for part in self._parts:
            shared = [ends[index] - begin for index, begin in part.begins.items() if index in ends]
            if not offsets:
                offset = 0.0
            elif shared:
                offset = max(shared)
            else:
                offset = max(ends.values()) - min(part.begins.values()) if part.begins and ends else 0.0
            offsets.append(offset)
            for index, end in part.ends.items():
                ends[index] = max(ends.get(index, end + offset), end + offset)
        exact = [Fraction(round(offset * 90000), 90000) for offset in offsets]
        changes = {
            index: tuple((number, exact[part]) for number, part in track.changes)
            for index, track in self._tracks.items()
            if track.changes
        }
        return SourceClock(
            changes=changes,
            jumps=len(self._parts) - 1 if self._parts else 0,
            packets={index: track.count for index, track in self._tracks.items()},
            end=Fraction(max(ends.values())).limit_denominator(90000) if ends else None,
        )

    def _place(self, track: _Track, time: float) -> None:
        """Find the part that a packet belongs to; begin a new one where the clock jumps."""
        if not self._parts:
            self._parts.append(_Part(time))
        part = track.part
        if not track.timed:
            active = {other.part for other in self._tracks.values() if other.timed and other.part >= part}
            nearest = min(active, key=lambda number: abs(time - self._parts[number].latest), default=part)
            self._enter(track, nearest)
            return
        if track.last is None:
            return
        jumped = track.jumped(time)
        # A stream that was silent comes back to where the others are.
        returns = any(abs(time - other) <= _MAX_INTERLEAVING for other in self._others(track))
        if jumped and time > track.last and returns:
            return
        # A pause that is short enough is a jump where another stream was seen to jump to about the same time.
        pause = time - track.expected
        reach = _MAX_INTERLEAVING if jumped else pause / 2 if pause > _MIN_JUMP else 0.0
        following = range(part + 1, len(self._parts))
        nearest = min(following, key=lambda number: abs(time - self._parts[number].latest), default=part)
        if nearest > part and abs(time - self._parts[nearest].latest) < reach:
            self._enter(track, nearest)
        elif jumped:
            self._parts.append(_Part(time))
            self._enter(track, len(self._parts) - 1)

    def _others(self, track: _Track) -> Iterator[float]:
        """How far the other streams have come since the same jump."""
        for other in self._tracks.values():
            if other is not track and other.timed and other.part == track.part and other.last is not None:
                yield other.last

    def _enter(self, track: _Track, part: int) -> None:
        if part != track.part:
            track.part, track.count_in_part, track.last = part, 0, None
            track.changes.append((track.count, part))

    def _extend(self, index: int, track: _Track, time: float, shown: float, duration: float) -> None:
        part = self._parts[track.part]
        track.advance(time, duration)
        if track.timed:
            part.latest = time
            if track.count_in_part <= _REORDERED:
                part.begins[index] = min(part.begins.get(index, shown), shown)
            end = shown + track.step
            part.ends[index] = max(part.ends.get(index, end), end)
