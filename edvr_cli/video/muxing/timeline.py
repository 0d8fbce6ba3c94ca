"""The timeline of a video: when each frame is shown and decoded, over all segments."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from edvr_cli.errors import OutputError
from edvr_cli.video.containers import reason
from edvr_cli.video.writing.writer import EncodedVideo


@dataclass(frozen=True)
class AudioSpan:
    """When an audio stream, by its number among these, begins and ends, in seconds."""

    number: int
    begin: Fraction
    end: Fraction


@dataclass(frozen=True)
class Timeline:
    """Times of all frames and audio streams in a joined video.

    Its frames are shown at ``ticks`` of ``time_base``; those of the numbers ``beginnings`` begin a segment.
    ``audio_spans`` are when each copied audio stream begins and ends, by the source's clock.
    """

    time_base: Fraction
    ticks: Sequence[int]
    beginnings: frozenset[int]
    audio_spans: tuple[AudioSpan, ...] = ()


class VideoClock:
    """The times of a video's frames, read ahead from its segments, and its packets with these times.

    ``begin`` and ``end`` bound the video in seconds of the source's clock. Raises OutputError where a segment
    does not hold the frames that it should.
    """

    def __init__(self, segments: Sequence[EncodedVideo]) -> None:
        self._segments = segments
        self.time_base = segments[0].time_base
        stored = array("q")
        _check_alike(segments)
        latest = 0
        for segment in segments:
            before = len(stored)
            stored.extend(packet.pts or 0 for packet in segment_packets(segment))
            if len(stored) - before != segment.frame_count:
                found = len(stored) - before
                raise OutputError(f"{segment.path} holds {found} frames instead of {segment.frame_count}.")
            if before and min(stored[before:]) <= latest:
                raise OutputError(f"{segment.path} does not follow on the segment before it.", hint="fresh")
            latest = max(stored[before:])
        self._shown = array("q", sorted(stored))
        self._beginnings = frozenset(accumulate((segment.frame_count for segment in segments[:-1]), initial=0))
        self._delay = _reorder_delay(stored, self._shown)
        self._end = self._shown[-1] + segments[-1].last_duration
        self.begin: Fraction = self._shown[0] * self.time_base
        self.end: Fraction = self._end * self.time_base

    def timeline(self, shift: Fraction, audio_spans: tuple[AudioSpan, ...] = ()) -> Timeline:
        """The frames' times, moved by ``shift`` seconds, with the ``audio_spans`` of the same target."""
        ticks = round(shift / self.time_base)
        return Timeline(
            self.time_base, array("q", (time + ticks for time in self._shown)), self._beginnings, audio_spans
        )

    def packets(self, stream: Stream, shift: Fraction) -> Iterator[tuple[Fraction, int, Packet]]:
        """(decoding time in seconds, -1, packet for ``stream``) of each packet, moved by ``shift`` seconds."""
        ticks = round(shift / self.time_base)  # Nothing is rounded: a cut begins at a frame.
        number = 0
        for segment in self._segments:
            for packet in segment_packets(segment):
                assert packet.pts is not None
                packet.duration = self._duration(packet.pts)
                decoded = self._decoded(number) + ticks
                packet.pts, packet.dts = packet.pts + ticks, decoded
                packet.time_base = self.time_base
                packet.stream = stream
                number += 1
                yield decoded * self.time_base, -1, packet

    def _duration(self, time: int) -> int:
        following = bisect_left(self._shown, time) + 1
        return (self._shown[following] if following < len(self._shown) else self._end) - time

    def _decoded(self, number: int) -> int:
        """The decoding time of a packet by its place in storage: these rise, and none is after its frame's time."""
        place = number - self._delay
        if place >= 0:
            return self._shown[place]
        return self._shown[0] + place * self._duration(self._shown[0])


def segment_packets(segment: EncodedVideo) -> Iterator[Packet]:
    """The packets of one segment, their times on the source's clock."""
    with _opened(segment) as container:
        for packet in container.demux(video=0):
            if packet.size and packet.pts is not None:
                packet.pts += segment.first_pts
                yield packet


@contextmanager
def _opened(segment: EncodedVideo) -> Iterator[InputContainer]:
    """A segment's file. Raises OutputError where it cannot be read, now or within the block."""
    try:
        with av.open(f"file:{segment.path}") as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise OutputError(f"{segment.path} cannot be read: {reason(error)}.") from error


def _check_alike(segments: Sequence[EncodedVideo]) -> None:
    """All segments must be encoded alike: a decoder gets one header for all of them."""
    headers = set()
    for segment in segments:
        with _opened(segment) as container:
            headers.add(bytes(container.streams.video[0].codec_context.extradata or b""))
    if len(headers) > 1:
        directory = segments[0].path.parent
        raise OutputError(f"Different encoders made the segments in {directory}.", hint="fresh")


def _reorder_delay(stored: Sequence[int], shown: Sequence[int]) -> int:
    """By how many frames decoding must run ahead, so that each frame is decoded when it is shown."""
    delay = 0
    for number, time in enumerate(stored):
        while number >= delay and shown[number - delay] > time:
            delay += 1
    return delay
