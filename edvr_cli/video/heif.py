"""Pictures in the format of an mp4: HEIF and AVIF (ISO/IEC 23008-12, and 23000-22 about their colors)."""

import os
import struct
from pathlib import Path

from av.container import InputContainer

__all__ = ["UNREADABLE", "is_heif", "is_still", "tiles_refused"]

_BRANDS = frozenset((b"mif1", b"mif2", b"mif3", b"msf1", b"heic", b"heix", b"avif", b"avis"))
_MAX_BRANDS = 4096  # bytes of a first box that are looked at
_AS_PNG = "make a PNG of it first (heif-convert, or Preview on a Mac)"

UNREADABLE = f"is a HEIF or AVIF picture of a kind that cannot be read here, or is damaged: {_AS_PNG}."
"""What is said of one that FFmpeg does not open, after its name."""


def tiles_refused(path: str | os.PathLike[str], tiles: int) -> str:
    """What is said of one in several tiles, each of which is a stream for FFmpeg."""
    return f"{path} is a photo in {tiles} tiles, as phones store them, which are not joined here: {_AS_PNG}."


def is_still(container: InputContainer) -> bool:
    """Whether an open file is a picture, or several."""
    return "mif1" in container.metadata.get("compatible_brands", "")


def is_heif(path: Path) -> bool:
    """Whether a file says in its first box that it is a picture, whether or not FFmpeg can open it."""
    try:
        with path.open("rb") as file:
            size, kind = struct.unpack(">I4s", file.read(8))
            content = file.read(min(size, _MAX_BRANDS) - 8) if kind == b"ftyp" and size > 8 else b""
    except (OSError, struct.error):
        return False
    # The brand, its version, and the brands that it is compatible with.
    brands = {content[:4], *(content[at : at + 4] for at in range(8, len(content), 4))}
    return not brands.isdisjoint(_BRANDS)
