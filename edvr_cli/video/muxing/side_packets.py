"""The packets of a source's other streams on their way into the target: trimmed, moved, and with times that rise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from edvr_cli.video.muxing.subtitles import SubtitleConverter
from edvr_cli.video.muxing.timeline import AudioSpan
from edvr_cli.video.muxing.trim import PacketTrimmer, TrimRange
from edvr_cli.video.pyav import time_base
from edvr_cli.video.reading.source_clock import SourceClock

__all__ = ["Route", "TimedPacket", "audio_spans", "side_packets"]

TimedPacket = tuple[Fraction, int, Packet]
"""(decoding time in seconds, tie break, packet): what packets are interleaved by."""

# How far past the end of a cut the source is read, in seconds: streams may be interleaved this loosely.
_INTERLEAVING = 30


@dataclass
class Route:
    """Where the packets of one source stream go.

    ``min_step`` is by how many ticks of the target packets are moved apart that overlap, as in spliced broadcasts,
    None where they may. ``begin`` and ``end`` are when the stream is heard or seen, by the mended clock of the source.
    """

    stream: Stream
    trimmer: PacketTrimmer
    min_step: int | None
    converter: SubtitleConverter | None = None
    begin: Fraction | None = field(default=None, init=False)
    end: Fraction = field(default=Fraction(0), init=False)

    def record(self, begin: Fraction, duration: Fraction) -> None:
        """Note when a packet is due."""
        self.end = begin + duration if self.begin is None else max(self.end, begin + duration)
        self.begin = begin if self.begin is None else min(self.begin, begin)


def side_packets(
    source: InputContainer, routes: Mapping[int, Route], cut: TrimRange, clock: SourceClock
) -> Iterator[TimedPacket]:
    """The packets of the kept streams, in the file's order, for a target whose header is written."""
    if not routes:
        return
    latest: dict[int, int] = {}  # in ticks of the source
    written: dict[int, int] = {}  # in ticks of the target
    for packet in clock.demux(source, [source.streams[index] for index in routes]):
        if not packet.size:
            continue
        index = packet.stream_index
        route, unit = routes[index], time_base(packet)
        shown, decoded = _times(packet, latest.get(index, -1) + 1)
        latest[index] = decoded
        if cut.end is not None and decoded * unit > cut.end + _INTERLEAVING:
            return
        kept = route.trimmer(packet, shown)
        if kept is None:
            continue
        part, begin = kept
        begin += round(cut.shift / unit)
        decoded += begin - shown
        route.record(begin * unit, (part.duration or 0) * unit)
        part.pts, part.dts = max(begin, decoded), decoded
        if route.converter is None and route.min_step is not None:
            _move_apart(part, unit, time_base(route.stream), written.get(index), route.min_step)
            written[index] = part.dts
        sent = part if route.converter is None else route.converter.convert(part)
        if sent is not None:
            sent.stream = route.stream
            yield decoded * unit, index, sent


def audio_spans(routes: Mapping[int, Route]) -> tuple[AudioSpan, ...]:
    """When the audio that was written begins and ends."""
    streams = sorted((route for route in routes.values() if route.stream.type == "audio"), key=_place)
    return tuple(
        AudioSpan(number, route.begin, route.end) for number, route in enumerate(streams) if route.begin is not None
    )


def _place(route: Route) -> int:
    return route.stream.index


def _move_apart(packet: Packet, unit: Fraction, tick: Fraction, before: int | None, min_step: int) -> None:
    """Count a packet's times in the target's ticks, in which they must rise: those of the source may be finer."""
    assert packet.pts is not None
    assert packet.dts is not None
    decoded = round(packet.dts * unit / tick)
    if before is not None:
        decoded = max(decoded, before + min_step)
    packet.pts, packet.dts = max(round(packet.pts * unit / tick), decoded), decoded
    packet.duration = round((packet.duration or 0) * unit / tick)
    packet.time_base = tick


def _times(packet: Packet, following: int) -> tuple[int, int]:
    """(pts, dts); where the file has neither, as it rarely happens, just after the stream's last packet."""
    decoded = packet.dts if packet.dts is not None else packet.pts if packet.pts is not None else following
    return packet.pts if packet.pts is not None else decoded, decoded
