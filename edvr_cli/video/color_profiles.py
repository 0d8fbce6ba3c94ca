"""ICC color profiles of pictures: what their numbers mean where that is not sRGB, as of phones' and editors' pictures.

FFmpeg's decoders give a profile as side data and its encoders write none, so here they are taken from one file and put
into another, byte for byte, without decoding either. Formats: PNG 3rd edition 11.3.2.3, ICC.1:2022 annex B (JPEG,
TIFF), WebP's container specification.
"""

import struct
import zlib
from collections.abc import Iterator

from edvr_cli.video import heif
from edvr_cli.video.jpeg import JPEG, jpeg_segments
from edvr_cli.video.tiff import is_tiff, tiff_entries

__all__ = ["HOLD_PROFILES", "profile_in", "profile_name", "samples_of", "whole_profile", "with_profile"]

HOLD_PROFILES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
"""Suffixes of the pictures whose files have a place for one."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_COLOR = (b"sRGB", b"gAMA", b"cHRM", b"cICP", b"iCCP")  # what viewers would take before or beside a profile
_JPEG_MARK = b"ICC_PROFILE\0"
_JPEG_PART = 65_519  # bytes of a profile in one segment, whose length is a 16-bit number
_JPEG_APP0, _JPEG_APP1, _JPEG_APP2 = 0xE0, 0xE1, 0xE2
_TIFF_PROFILE, _TIFF_UNDEFINED = 34_675, 7  # a tag, and the kind of its value
_MAX_PROFILE = 16 << 20  # bytes; a PNG's is compressed, and could unpack to any size
_HEADER = 128  # bytes of a profile before its table of tags


def profile_in(picture: bytes) -> bytes | None:
    """The color profile in the file ``picture``: PNG, JPEG, TIFF, WebP, HEIF, AVIF; None for none, or a damaged one."""
    try:
        profile = _extracted(picture)
    except (struct.error, zlib.error, IndexError):  # cut short or damaged; whether it can be shown is the decoder's say
        return None
    return whole_profile(profile)


def whole_profile(profile: bytes | None) -> bytes | None:
    """``profile``, or None where it is damaged or something else."""
    if profile is None or len(profile) < _HEADER or profile[36:40] != b"acsp":
        return None
    return profile if int.from_bytes(profile[:4]) <= len(profile) else None


def with_profile(picture: bytes, profile: bytes) -> bytes:
    """The file ``picture``, a PNG, JPEG, TIFF or WebP as FFmpeg's encoders write them, with this color profile.

    A picture of another kind is returned as it is: those have no place for one.
    """
    if picture.startswith(_PNG):
        return _png_with(picture, profile)
    if picture.startswith(JPEG):
        return _jpeg_with(picture, profile)
    if is_tiff(picture):
        return _tiff_with(picture, profile)
    return _webp_with(picture, profile) if _is_webp(picture) else picture


def samples_of(profile: bytes) -> str:
    """What the samples are that ``profile`` is about: ``RGB``, ``GRAY``, ``CMYK``."""
    return profile[16:20].decode("latin-1").strip()


def profile_name(profile: bytes) -> str:
    """The name by which the profile describes itself, such as ``Display P3``, or "" where it has none."""
    try:
        for number in range(min(100, struct.unpack_from(">I", profile, _HEADER)[0])):
            tag, at, size = struct.unpack_from(">4sII", profile, _HEADER + 4 + 12 * number)
            if tag == b"desc":
                return _text(profile[at : at + size])
    except struct.error:
        pass
    return ""


def _text(value: bytes) -> str:
    """A description of version 2 (ASCII) or 4 (UTF-16, the first language)."""
    if value.startswith(b"mluc"):
        size, at = struct.unpack_from(">II", value, 20)
        return value[at : at + size].decode("utf-16-be", "replace").strip("\0")
    (length,) = struct.unpack_from(">I", value, 8)
    return value[12 : 12 + length].decode("latin-1").strip("\0")


def _extracted(picture: bytes) -> bytes | None:
    if picture.startswith(_PNG):
        data = next((body for kind, body in _png_chunks(picture) if kind == b"iCCP"), None)
        packed = data[data.index(0) + 2 :] if data is not None and 0 in data else None
        return None if packed is None else zlib.decompressobj().decompress(packed, _MAX_PROFILE)
    if picture.startswith(JPEG):
        return _from_jpeg(picture)
    if is_tiff(picture):
        return _from_tiff(picture)
    if heif.is_heif(picture):
        return heif.color_profile(picture)
    if _is_webp(picture):
        return next((body for kind, body in _webp_chunks(picture) if kind == b"ICCP"), None)
    return None


def _png_chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of each chunk before the samples."""
    at = len(_PNG)
    length, kind = struct.unpack_from(">I4s", picture, at)
    while kind != b"IDAT":
        yield kind, picture[at + 8 : at + 8 + length]
        at += 12 + length
        length, kind = struct.unpack_from(">I4s", picture, at)


def _png_with(picture: bytes, profile: bytes) -> bytes:
    chunks = list(_png_chunks(picture))
    samples = picture[len(_PNG) + sum(12 + len(content) for _, content in chunks) :]
    kept = [chunk for chunk in chunks if chunk[0] not in _PNG_COLOR]
    kept.insert(1, (b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))  # after the header
    written = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in kept
    )
    return _PNG + b"".join(written) + samples


def _from_jpeg(picture: bytes) -> bytes | None:
    parts: dict[int, bytes] = {}
    for marker, begin, end in jpeg_segments(picture):
        content = picture[begin:end]
        if marker == _JPEG_APP2 and content.startswith(_JPEG_MARK):
            parts[content[len(_JPEG_MARK)]] = content[len(_JPEG_MARK) + 2 :]
    return b"".join(parts[number] for number in sorted(parts)) or None


def _jpeg_with(picture: bytes, profile: bytes) -> bytes:
    at = 2
    for marker, _, end in jpeg_segments(picture):
        if marker in (_JPEG_APP0, _JPEG_APP1):  # JFIF and Exif want to be first
            at = end
    parts = [profile[begin : begin + _JPEG_PART] for begin in range(0, len(profile), _JPEG_PART)]
    segments = [
        struct.pack(">BBH", 0xFF, _JPEG_APP2, 16 + len(part)) + _JPEG_MARK + bytes((number, len(parts))) + part
        for number, part in enumerate(parts, start=1)
    ]
    return picture[:at] + b"".join(segments) + picture[at:]


def _from_tiff(picture: bytes) -> bytes | None:
    order, _, entries = tiff_entries(picture)
    for entry in entries:
        tag, _, size, at = struct.unpack(order + "HHII", entry)
        if tag == _TIFF_PROFILE:
            return picture[at : at + size]
    return None


def _tiff_with(picture: bytes, profile: bytes) -> bytes:
    """The profile and a new directory are appended; the old directory stays where it was, unused."""
    order, at, entries = tiff_entries(picture)
    following = picture[at + 2 + 12 * len(entries) :][:4]
    body = picture + bytes(len(picture) % 2)
    entries = [e for e in entries if struct.unpack(order + "H", e[:2])[0] != _TIFF_PROFILE]
    entries.append(struct.pack(order + "HHII", _TIFF_PROFILE, _TIFF_UNDEFINED, len(profile), len(body)))
    entries.sort(key=lambda entry: struct.unpack(order + "H", entry[:2])[0])
    body += profile + bytes(len(profile) % 2)
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + following
    return body[:4] + struct.pack(order + "I", len(body)) + body[8:] + directory


def _is_webp(picture: bytes) -> bool:
    return picture[:4] == b"RIFF" and picture[8:12] == b"WEBP"


def _webp_chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(picture):
        kind, length = struct.unpack_from("<4sI", picture, at)
        yield kind, picture[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _webp_with(picture: bytes, profile: bytes) -> bytes:
    chunks = [(kind, body) for kind, body in _webp_chunks(picture) if kind != b"ICCP"]
    if chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _webp_header(*chunks[0])))
    flags = chunks[0][1][0] | 0x20  # has a profile
    chunks[0] = b"VP8X", bytes((flags,)) + chunks[0][1][1:]
    chunks.insert(1, (b"ICCP", profile))
    content = b"".join(
        kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for kind, body in chunks
    )  # fmt: skip
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WEBP" + content


def _webp_header(kind: bytes, body: bytes) -> bytes:
    """The extended header for a picture that has none: whether it is transparent, its width and height."""
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", body, 1)
        width, height, transparent = packed & 0x3FFF, packed >> 14 & 0x3FFF, packed >> 28 & 1
    else:
        width, height = (size - 1 & 0x3FFF for size in struct.unpack_from("<HH", body, 6))
        transparent = 0
    return struct.pack("<I", transparent << 4) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
