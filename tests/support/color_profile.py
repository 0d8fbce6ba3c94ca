"""A color profile made up for tests."""

import struct

__all__ = ["profile"]


def profile(name: str = "Display P3", samples: bytes = b"RGB ", size: int = 0) -> bytes:
    """A profile that says its name, for ``samples``, filled up to ``size`` bytes."""
    text = name.encode("utf-16-be")
    value = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    table = struct.pack(">I4sII", 1, b"desc", 144, len(value))
    header = bytearray(128)
    header[16:20], header[36:40] = samples, b"acsp"
    whole = (bytes(header) + table + value).ljust(size, b"\7")
    return struct.pack(">I", len(whole)) + whole[4:]
