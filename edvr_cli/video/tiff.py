"""The first directory of a TIFF file (TIFF 6.0, section 2)."""

import struct

__all__ = ["holds_jpeg", "is_tiff", "tiff_entries"]

_COMPRESSION = 259
_JPEG = (6, 7)  # the old way and the new


def is_tiff(picture: bytes) -> bool:
    """Whether a file begins as TIFF does, in either byte order."""
    return picture.startswith((b"II*\0", b"MM\0*"))


def tiff_entries(picture: bytes) -> tuple[str, int, list[bytes]]:
    """Byte order as `struct` writes it, place of the first directory, and its entries of 12 bytes.

    Raises struct.error where the file is cut short.
    """
    order = "<" if picture.startswith(b"II") else ">"
    (at,) = struct.unpack_from(order + "I", picture, 4)
    (count,) = struct.unpack_from(order + "H", picture, at)
    return order, at, [picture[at + 2 + 12 * n : at + 14 + 12 * n] for n in range(count)]


def holds_jpeg(picture: bytes) -> bool:
    """Whether a TIFF file's samples are compressed as JPEG."""
    try:
        order, _, entries = tiff_entries(picture)
        found = (struct.unpack(order + "HHIH2x", entry) for entry in entries)
        return any(tag == _COMPRESSION and value in _JPEG for tag, _, _, value in found)
    except struct.error:
        return False
