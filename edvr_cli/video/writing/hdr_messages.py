"""HDR10's static metadata as messages in an HEVC stream, for encoders that write none.

Encoders in hardware have no options for the mastering display and the content light level. Both messages are a few
bytes that ITU-T H.265 describes (D.2.28 and D.2.35), so they can be put into the encoder's packets.
"""

import struct
from collections.abc import Iterator

from av.packet import Packet

from edvr_cli.video.pixels.hdr import HdrMetadata

__all__ = ["HdrMessages", "is_byte_stream"]

_START = b"\x00\x00\x01"  # before every unit of a byte stream (Annex B)
_LAST_SLICE_TYPE = 31  # units up to this type hold picture data
_PREFIX_SEI = 39
_MASTERING_DISPLAY = 137
_CONTENT_LIGHT = 144


def is_byte_stream(headers: bytes) -> bool:
    """Whether an encoder with these headers separates units by start codes; others put lengths before them (hvcC)."""
    return not headers or headers.startswith((_START, b"\x00" + _START))


class HdrMessages:
    """Puts into an encoder's key frames the messages about ``hdr`` that it did not write itself."""

    def __init__(self, hdr: HdrMetadata) -> None:
        self._missing = {}
        if hdr.mastering is not None:
            self._missing[_MASTERING_DISPLAY] = _mastering_display(hdr)
        if hdr.content_light is not None:
            self._missing[_CONTENT_LIGHT] = struct.pack(">2H", *(min(level, 65535) for level in hdr.content_light))

    def found_in(self, stream: bytes) -> None:
        """Look through a piece of the encoder's byte stream, such as its headers, for messages of its own."""
        for kind, start, stop in _units(stream):
            if kind == _PREFIX_SEI:
                for message in _message_types(stream[start + 2 : stop]):
                    self._missing.pop(message, None)

    def added_to(self, packet: Packet) -> Packet:
        """``packet``, an HEVC picture as a byte stream; if it is a key frame, with what is missing."""
        if not self._missing or not packet.is_keyframe:
            return packet
        stream = bytes(packet)
        self.found_in(stream)
        slices = (start for kind, start, _ in _units(stream) if kind <= _LAST_SLICE_TYPE)
        place = next(slices, None)
        if not self._missing or place is None:
            return packet
        place -= len(_START)
        units = b"".join(_START + _unit(kind, content) for kind, content in self._missing.items())
        changed = Packet(stream[:place] + units + stream[place:])
        changed.stream, changed.time_base = packet.stream, packet.time_base
        changed.pts, changed.dts, changed.duration = packet.pts, packet.dts, packet.duration
        changed.is_keyframe = True
        return changed


def _mastering_display(hdr: HdrMetadata) -> bytes:
    """Green, blue, red, white in 1/50000, then the greatest and the least luminance in 1/10000 cd/m²."""
    assert hdr.mastering is not None
    red, green, blue, white = (hdr.mastering[n : n + 2] for n in range(0, 8, 2))
    places = (min(round(value * 50000), 65535) for value in (*green, *blue, *red, *white))
    low, high = (round(value * 10000) for value in hdr.mastering[8:])
    return struct.pack(">8H2I", *places, high, low)


def _unit(kind: int, content: bytes) -> bytes:
    """A unit of type 39 (layer 0, temporal id 1) with one message, and its end mark."""
    return bytes((_PREFIX_SEI << 1, 1)) + _escaped(bytes((kind, len(content))) + content + b"\x80")


def _units(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, start and stop of every unit, without the start codes."""
    start = stream.find(_START)
    while start >= 0:
        start += len(_START)
        following = stream.find(_START, start)
        stop = following if following >= 0 else len(stream)
        if start < stop:
            yield stream[start] >> 1 & 63, start, stop
        start = following


def _message_types(content: bytes) -> list[int]:
    """Types of the messages in an SEI unit, from its ``content`` after the header."""
    content = content.replace(b"\x00\x00\x03", b"\x00\x00").rstrip(b"\x00")
    found, at = [], 0
    while at + 2 < len(content):  # the end mark is one byte
        numbers = []
        for _ in range(2):  # type and size, each 255 for every full byte and a rest
            number = 0
            while at < len(content) - 1 and content[at] == 255:
                number, at = number + 255, at + 1
            numbers.append(number + content[at] if at < len(content) else number)
            at += 1
        found.append(numbers[0])
        at += numbers[1]
    return found


def _escaped(content: bytes) -> bytes:
    """Keep start codes out of ``content``: a 3 goes between two zero bytes and a byte of at most 3."""
    escaped = bytearray()
    for byte in content:
        if byte <= 3 and escaped[-2:] == b"\x00\x00":
            escaped.append(3)
        escaped.append(byte)
    return bytes(escaped)
