"""Side data of decoded frames: found by its kind, whichever PyAV holds it, and no danger to the process."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from PIL import Image

from edvr_cli.video.pixels.side_data import side_data
from tests.support.color_profile import profile

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
    with av.open(str(_screenshot(tmp_path))) as container:
        frame = next(container.decode(video=0))
        assert side_data(frame, "ICC_PROFILE") == profile()
        assert side_data(frame, "DISPLAYMATRIX") is None


def test_color_profile_of_a_png_does_not_end_the_process(tmp_path):
    """Screenshots and pictures from editors have one; PyAV frees its name twice, once the garbage is collected."""
    command = [sys.executable, "-c", _READ_OFTEN, str(_screenshot(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _screenshot(folder: Path) -> Path:
    """A PNG whose color profile has a name."""
    path = folder / "screenshot.png"
    Image.new("RGB", (16, 16), (90, 100, 130)).save(path, icc_profile=profile())
    return path
