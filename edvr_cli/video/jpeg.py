"""The segments of a JPEG file (ITU-T T.81, annex B)."""

import struct
from collections.abc import Iterator

__all__ = ["JPEG", "jpeg_segments"]

JPEG = b"\xff\xd8"
"""What every file begins with."""

_SCAN = 0xDA


def jpeg_segments(picture: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, begin and end of its content) of each segment before the samples.

    Raises struct.error or IndexError where the file ends before them.
    """
    at = len(JPEG)
    while picture[at] == 0xFF and picture[at + 1] != _SCAN:
        marker = picture[at + 1]
        (length,) = struct.unpack_from(">H", picture, at + 2)
        yield marker, at + 4, at + 2 + length
        at += 2 + length
