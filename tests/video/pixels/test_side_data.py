"""Side data of decoded frames: found by its kind, whichever PyAV holds it, and no danger to the process."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from edvr_cli.video.pixels.side_data import side_data

_READ_OFTEN = """
import gc, sys
from edvr_cli.video.reading.reader import VideoReader
for _ in range(30):
    with VideoReader(sys.argv[1]) as reader:
        assert sum(1 for _ in reader) == 1
    gc.collect()
"""


class Piece(bytes):
    """A piece of side data: its bytes and its kind."""

    type: Any

    @classmethod
    def of(cls, kind: str, content: bytes) -> "Piece":
        """A piece of ``kind``."""
        piece = cls(content)
        piece.type = SimpleNamespace(name=kind)
        return piece


class ByKind(dict[str, Piece]):
    """PyAV 19's container: as long as it has kinds, although a kind may have several pieces."""


PIECES = [Piece.of("SEI", b"a"), Piece.of("SEI", b"b"), Piece.of("LIGHT", b"level")]


@pytest.mark.parametrize("every", [PIECES, ByKind((piece.type.name, piece) for piece in PIECES)])
def test_a_piece_is_found_behind_others_of_one_kind(every: Any):
    frame: Any = SimpleNamespace(side_data=every)
    assert side_data(frame, "LIGHT") == b"level"
    assert side_data(frame, "MISSING") is None


def test_color_profile_of_a_png_is_found(tmp_path):
    """The profile, byte for byte."""
    with av.open(str(_png_with_profile(tmp_path / "screenshot.png"))) as container:
        frame = next(container.decode(video=0))
        assert side_data(frame, "ICC_PROFILE") == _profile()
        assert side_data(frame, "DISPLAYMATRIX") is None


def test_color_profile_of_a_png_does_not_end_the_process(tmp_path):
    """Screenshots and pictures from editors have one; PyAV frees its name twice, once the garbage is collected."""
    picture = _png_with_profile(tmp_path / "screenshot.png")
    command = [sys.executable, "-c", _READ_OFTEN, str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _png_with_profile(path: Path) -> Path:
    """A gray-blue picture of 16×16 pixels whose profile has a name."""
    rows = b"".join(b"\0" + bytes((90, 100, 130)) * 16 for _ in range(16))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
        + _chunk(b"iCCP", b"Display P3\0\0" + zlib.compress(_profile()))
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _profile() -> bytes:
    """The header of a profile without tags; FFmpeg passes it on as it is."""
    return struct.pack(">I", 132).ljust(36, b"\0") + b"acsp".ljust(92, b"\0") + struct.pack(">I", 0)
