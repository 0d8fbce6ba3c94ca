"""Trim the other streams to the restored range: each packet kept whole, in part, or not at all.

Sound is cut to the sample where that needs no encoding: PCM anywhere, because its packets can be divided; the rest in
mp4 and mov, whose edit lists say from which sample on a packet is heard, and up to which sample it lasts. Matroska and
WebM have a word for samples to discard at the end, but for the beginning only the decoder's delay: there a cut's sound
begins with the first whole packet after it.
"""

import re
import struct
from dataclasses import dataclass
from fractions import Fraction

from av.audio.codeccontext import AudioCodecContext
from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal
from av.stream import Stream

from edvr_cli.video.pyav import time_base

__all__ = ["PacketTrimmer", "TrimRange", "trimmer_for"]

# PCM whose packets are samples alone, interleaved: those of discs have headers.
_PLAIN_PCM = re.compile(r"pcm_(?:[suf](8|16|24|32|64)(?:le|be)?|alaw|mulaw)")
# Most decoders need what comes before to arrive at the right samples: Opus asks for 80 ms, the others for less.
_PREROLL = Fraction(1, 10)


@dataclass(frozen=True)
class TrimRange:
    """The part of the source that the video covers, in seconds of its clock; None is without bound."""

    start: Fraction | None
    end: Fraction | None
    shift: Fraction
    """What is added to the source's times."""

    def holds(self, begin: Fraction, end: Fraction) -> bool:
        """Whether something shown from ``begin`` to ``end`` is visible."""
        return (self.start is None or end > self.start) and (self.end is None or begin < self.end)

    def holds_instant(self, instant: Fraction) -> bool:
        """Whether ``instant`` lies in the cut; its end does not."""
        return (self.start is None or instant >= self.start) and (self.end is None or instant < self.end)

    def bounded(self, begin: Fraction, end: Fraction) -> tuple[Fraction, Fraction]:
        """The part of ``begin`` to ``end`` that lies in the range."""
        begin = begin if self.start is None else max(begin, self.start)
        return begin, end if self.end is None else min(end, self.end)


class PacketTrimmer:
    """Trims the packets of one stream; this one keeps those that begin in the range, whole."""

    def __init__(self, cut: TrimRange) -> None:
        self._cut = cut

    def __call__(self, packet: Packet, pts: int) -> tuple[Packet, int] | None:
        """What is left of a packet shown at ``pts`` (ticks of its time base), and its time; None for nothing."""
        return (packet, pts) if self._cut.holds_instant(pts * time_base(packet)) else None


def trimmer_for(stream: Stream, cut: TrimRange, format_name: str) -> PacketTrimmer:
    """The trimmer for the packets of ``stream``, for a container."""
    if stream.type == "subtitle":
        return _SubtitleTrimmer(cut)
    context = stream.codec_context
    if isinstance(context, AudioCodecContext) and context.sample_rate and context.channels:
        return _AudioTrimmer(cut, context, format_name)
    return PacketTrimmer(cut)


class _SubtitleTrimmer(PacketTrimmer):
    """Keeps what is visible in the range, for as long as it is."""

    def __call__(self, packet: Packet, pts: int) -> tuple[Packet, int] | None:
        """The packet, its time and duration bounded."""
        unit = time_base(packet)
        begin, end = pts * unit, (pts + (packet.duration or 0)) * unit
        if not self._cut.holds(begin, end):
            return None
        begin, end = self._cut.bounded(begin, end)
        packet.duration = round((end - begin) / unit)
        return packet, round(begin / unit)


class _AudioTrimmer(PacketTrimmer):
    """Keeps what is audible in the range, exact to the sample where ``format_name`` and the codec allow it."""

    def __init__(self, cut: TrimRange, context: AudioCodecContext, format_name: str) -> None:
        super().__init__(cut)
        codec = context.codec
        self._rate = context.sample_rate
        self._sample_size = _sample_size(codec.canonical_name, context.channels)
        # FFmpeg heeds an edit list for all codecs but Vorbis.
        self._edit_list = format_name in ("mp4", "mov") and codec.canonical_name != "vorbis"
        alone = codec.intra_only and codec.lossless and not codec.lossy
        self._preroll = Fraction(0) if alone else _PREROLL
        # Players leave out the decoder's delay, which Matroska's muxer writes since FFmpeg 9 (PyAV 19): it covers
        # samples from before the cut.
        delay = getattr(context, "initial_padding", 0) if format_name in ("matroska", "webm") else 0
        self._delay = Fraction(delay, context.sample_rate)
        self._counted: Fraction | None = None  # where the last packet of PCM ended, by its samples

    def __call__(self, packet: Packet, pts: int) -> tuple[Packet, int] | None:
        """The packet, divided if it is PCM; else with the word that its container has for what is not heard."""
        if self._sample_size is not None:
            return self._divided(packet, pts, self._sample_size)
        unit, cut = time_base(packet), self._cut
        begin = pts * unit
        end = begin + (packet.duration or 0) * unit
        early = cut.start is not None and (
            end <= cut.start - self._preroll if self._edit_list else begin < cut.start - self._delay
        )
        if early or (cut.end is not None and begin >= cut.end):
            return None
        if cut.end is not None and end > cut.end:
            packet.duration = round((cut.end - begin) / unit)
            _discard_at_end(packet, round((end - cut.end) * self._rate))
        return packet, pts

    def _divided(self, packet: Packet, pts: int, size: int) -> tuple[Packet, int] | None:
        """The samples of a packet that are in the cut; ``size`` bytes each."""
        unit, samples = time_base(packet), packet.size // size
        begin = pts * unit
        if self._counted is not None and abs(self._counted - begin) <= unit:
            begin = self._counted  # Matroska's milliseconds are coarser than samples.
        end = self._counted = begin + Fraction(samples, self._rate)
        first, last = self._cut.bounded(begin, end)
        skipped, dropped = round((first - begin) * self._rate), round((end - last) * self._rate)
        if skipped + dropped >= samples:
            return None
        if not skipped and not dropped:
            return packet, pts
        part = Packet(bytes(packet)[skipped * size : (samples - dropped) * size])
        part.time_base, part.is_keyframe = unit, packet.is_keyframe
        part.duration = round(Fraction(part.size // size, self._rate) / unit)
        return part, round(first / unit) if skipped else pts


def _sample_size(codec: str, channels: int) -> int | None:
    """Bytes of a sample of all channels, where packets are nothing but samples."""
    match = _PLAIN_PCM.fullmatch(codec)
    return None if match is None else int(match[1] or 8) // 8 * channels


def _discard_at_end(packet: Packet, samples: int) -> None:
    """Mark samples at the end as not audible, for decoders and for muxers that can store it."""
    kind = packet_sidedata_type_from_literal("skip_samples")
    word = PacketSideData(kind, 10)  # type: ignore[call-arg]  # of a size, which PyAV's stub leaves out
    before = bytes(packet.get_sidedata("skip_samples")) if packet.has_sidedata("skip_samples") else bytes(10)
    at_start, _, *kinds = struct.unpack("<IIBB", before)
    word.update(struct.pack("<IIBB", at_start, samples, *kinds))
    packet.set_sidedata(word)
