"""Streams added to a target unchanged, with what FFmpeg's ``-c copy`` adds and PyAV leaves out.

PyAV refuses sound for which Matroska has no name, for example Windows Media, G.711, ADPCM or AMR. Matroska holds
it as ``A_MS/ACM``, with the header that a WAV file has for it. Such a track is written under a name of the same length
that PyAV takes, with this header, and gets its true name when the file is complete.
"""

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import OutputContainer
from av.stream import Stream

__all__ = ["StreamCopier"]

# libav's own guesses for sound that says how many channels it has and not which.
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_MP3_TAG = 0x55
_ACM, _STAND_IN = b"A_MS/ACM\0", b"A_MPEG/L3"
_SEGMENT, _TRACKS, _TRACK, _CODEC_ID, _CODEC_PRIVATE = 0x18538067, 0x1654AE6B, 0xAE, 0x86, 0x63A2
_HEADER_BYTES = 1 << 20  # tracks are among the first of them


class StreamCopier:
    """Adds streams to one target before its header is written; call `finish` when it is closed."""

    def __init__(self, output: OutputContainer, format_name: str) -> None:
        self.output = output
        self._format = format_name
        self._wave_headers: list[bytes] = []

    def add(self, template: Stream) -> Stream:
        """A stream like ``template``. Raises ValueError or av.FFmpegError where the target has no place for it."""
        try:
            copy = self.output.add_stream_from_template(template, opaque=True)
        except av.FFmpegError:
            raise
        except ValueError as refusal:
            header = _wave_header(template) if self._format == "matroska" else None
            if header is None:
                raise refusal
            copy = self._add_by_wave_header(template, header)
        _guess_layout(copy)
        return copy

    def finish(self, path: Path) -> None:
        """Give tracks that were written under another name their own. Raises OSError where that fails."""
        if not self._wave_headers:
            return
        with path.open("rb+") as file:
            for place in _stand_ins(file.read(_HEADER_BYTES), self._wave_headers):
                file.seek(place)
                file.write(_ACM)

    def _add_by_wave_header(self, template: Stream, header: bytes) -> Stream:
        context = template.codec_context
        assert isinstance(context, AudioCodecContext)
        bits = struct.unpack_from("<H", header, 14)[0]
        fields = (_MP3_TAG, context.channels, context.sample_rate, 0, 1, bits, len(header))
        chunk = struct.pack("<HHIIHHH", *fields) + header
        body = b"WAVEfmt " + struct.pack("<I", len(chunk)) + chunk + b"data" + struct.pack("<I", 4096) + bytes(4096)
        with av.open(io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body), format="wav") as stand_in:
            copy = self.output.add_stream_from_template(stand_in.streams.audio[0], opaque=True)
        self._wave_headers.append(header)
        return copy


def _guess_layout(stream: Stream) -> None:
    context = stream.codec_context
    if isinstance(context, AudioCodecContext) and context.layout.name == f"{context.channels} channels":
        layout = _LAYOUTS.get(context.channels)
        if layout is not None:
            context.layout = layout


def _wave_header(template: Stream) -> bytes | None:
    """What a WAV file says of this sound; None for what is no sound, or has no number there."""
    if template.type != "audio":
        return None
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format="wav") as wave:
            _guess_layout(wave.add_stream_from_template(template, opaque=True))
            wave.start_encoding()
    except (av.FFmpegError, ValueError):
        return None
    data = memory.getvalue()
    begin = data.index(b"fmt ")
    (size,) = struct.unpack_from("<I", data, begin + 4)
    return data[begin + 8 : begin + 8 + size].ljust(18, b"\0")


def _stand_ins(data: bytes, headers: list[bytes]) -> Iterator[int]:
    """Where a Matroska file names the tracks that have one of ``headers``."""
    for name, begin, end in _elements(data, 0, len(data)):
        if name in (_SEGMENT, _TRACKS):
            yield from (begin + place for place in _stand_ins(data[begin:end], headers))
        elif name == _TRACK:
            parts = {part: (first, last) for part, first, last in _elements(data, begin, end)}
            first, last = parts.get(_CODEC_PRIVATE, (0, 0))
            place, stop = parts[_CODEC_ID]
            if data[place:stop] == _STAND_IN and data[first:last] in headers:
                yield place


def _elements(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(name, first byte, byte behind the last) of each EBML element, as far as ``data`` has them."""
    while begin < end and data[begin]:
        length = 9 - data[begin].bit_length()
        name = int.from_bytes(data[begin : begin + length], "big")
        begin += length
        if begin >= end or not data[begin]:
            return
        length = 9 - data[begin].bit_length()
        size = int.from_bytes(data[begin : begin + length], "big") & ((1 << 7 * length) - 1)
        begin += length
        # An unknown size, all bits set, is that of everything that follows.
        stop = end if size == (1 << 7 * length) - 1 else min(end, begin + size)
        yield name, begin, stop
        begin = stop
