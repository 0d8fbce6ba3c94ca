"""Fragments of a source: the packets that some of its frames need, copied into a small file in memory."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from edvr_cli.video.containers import main_video, open_source
from edvr_cli.video.reading.info import VideoInfo

__all__ = ["PacketExtractor", "SourceFragment"]

# Packets kept from before a fragment: a decoder may have to start with them.
_MAX_KEPT = 1500


@dataclass(frozen=True)
class SourceFragment:
    """The bytes of a small file; its milliseconds stand for ticks of the source, counted from ``origin``."""

    data: bytes
    origin: int


class PacketExtractor:
    """Extracts fragments, in order of time, from a source's video stream; close it at the end.

    A fragment may not be enough to decode its frames exactly (damaged streams, streams without key frames): whoever
    decodes it must compare the frames.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._container = open_source(info.path)
        self._stream = main_video(self._container, info.path)
        for stream in self._container.streams:
            if stream is not self._stream and stream.type in ("video", "audio", "subtitle"):
                stream.discard = Discard.all
        self._clock = info.source.clock
        self._packets = self._read()
        self._kept: list[Packet] = []

    def close(self) -> None:
        """Close the source."""
        self._packets.close()  # type: ignore[attr-defined]
        self._container.close()

    def extract(self, first: int, last: int) -> SourceFragment | None:
        """The packets of the frames shown from tick ``first`` to tick ``last``; None where they are unknown."""
        # A frame is never shown before it is decoded: no packet after this one is needed.
        while not self._kept or self._kept[-1].dts is None or self._kept[-1].dts <= last:
            packet = next(self._packets, None)
            if packet is None:
                break
            self._kept.append(packet)
        times = [packet.pts for packet in self._kept if packet.pts is not None]
        if len(self._kept) > _MAX_KEPT or len(times) < len(self._kept):
            return None
        # Frames shown from a key frame on need nothing from before it.
        keys = [number for number, time in enumerate(times) if self._kept[number].is_keyframe and time <= first]
        if not keys:
            return None
        del self._kept[: keys[-1]]
        origin = min(times[keys[-1] :])
        try:
            return SourceFragment(_file(self._stream, self._kept, origin), origin)
        except (av.FFmpegError, ValueError):  # Matroska does not hold this codec.
            return None

    def _read(self) -> Iterator[Packet]:
        for packet in self._clock.demux(self._container, [self._stream]):
            if packet.size:
                yield packet


def _file(stream: VideoStream, packets: list[Packet], origin: int) -> bytes:
    """A Matroska file, which holds any codec; its milliseconds stand for ticks, so that it holds any of these."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as output:
        copy = output.add_stream_from_template(stream, opaque=True)
        output.start_encoding()
        for packet in packets:
            # A copy: muxing moves a packet's times to the target's clock.
            moved = Packet(bytes(packet))
            moved.pts = None if packet.pts is None else packet.pts - origin
            moved.dts = None if packet.dts is None else packet.dts - origin
            moved.is_keyframe, moved.time_base = packet.is_keyframe, Fraction(1, 1000)
            moved.stream = copy
            output.mux_one(moved)
    return memory.getvalue()
