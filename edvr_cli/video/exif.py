"""Whether a picture has Exif data: camera, place and time, which are not written here."""

import struct

from edvr_cli.video.heif import is_heif
from edvr_cli.video.jpeg import JPEG, jpeg_segments

__all__ = ["has_exif"]

_JPEG_APP1, _EXIF = 0xE1, b"Exif\0\0"
_ITEM = b"infe"  # of a HEIF file: its number, and what it is


def has_exif(picture: bytes) -> bool:
    """Whether the file ``picture``, a JPEG, PNG, WebP, HEIF or AVIF, has Exif data (CIPA DC-008)."""
    if picture.startswith(JPEG):
        try:
            segments = list(jpeg_segments(picture))
        except (struct.error, IndexError):  # cut short
            return False
        return any(marker == _JPEG_APP1 and picture.startswith(_EXIF, begin) for marker, begin, _ in segments)
    if picture.startswith(b"\x89PNG"):
        return b"eXIf" in picture
    if is_heif(picture):
        return any(part[8:12] == b"Exif" for part in picture.split(_ITEM)[1:])
    return picture[8:12] == b"WEBP" and b"EXIF" in picture
