"""Side data of a decoded frame is found by its kind, whichever PyAV holds it."""

from types import SimpleNamespace
from typing import Any

import pytest

from edvr_cli.video.pixels.hdr import side_data


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
