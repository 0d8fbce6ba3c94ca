"""Turns of a picture."""

from itertools import product

import pytest
import torch

from edvr_cli.image.turns import TURNS, UNTURNED, Turn

PICTURE = torch.arange(3 * 4 * 6).view(3, 4, 6)


def test_they_are_all_eight_and_can_be_undone():
    """No two give the same picture."""
    results = {tuple(turn.apply(PICTURE).flatten().tolist()) + tuple(turn.apply(PICTURE).shape) for turn in TURNS}
    assert len(results) == len(TURNS) == 8
    for turn in TURNS:
        assert torch.equal(turn.undo(turn.apply(PICTURE)), PICTURE)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_the_first_ones_are_groups(count: int):
    """One after the other makes another of them."""
    results = [turn.apply(PICTURE) for turn in TURNS[:count]]
    for one, other in product(TURNS[:count], repeat=2):
        both = one.apply(other.apply(PICTURE))
        assert any(both.shape == result.shape and torch.equal(both, result) for result in results)


ONE = 1 << 16


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        ((ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), (0, 0)),
        ((0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30), (0, -1)),  # a quarter turn clockwise: the first pixel is top right
        ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30), (-1, -1)),
        ((0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), (-1, 0)),
        ((-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), (0, -1)),
        ((0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), (0, 0)),
    ],
)
def test_a_display_matrix_is_a_turn(matrix: tuple[int, ...], corner: tuple[int, int]):
    """The pixel that is stored first is shown in the corner that the matrix says."""
    turn = Turn.of_display_matrix(matrix)
    assert turn is not None
    shown = turn.apply(PICTURE)
    assert shown.shape[1:] == ((6, 4) if matrix[0] == 0 else (4, 6))
    assert shown[0][corner] == PICTURE[0, 0, 0]
    assert (turn == UNTURNED) == (matrix[0] == matrix[4] == ONE)


@pytest.mark.parametrize("matrix", [(46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30), (0,) * 9])
def test_other_angles_are_none(matrix: tuple[int, ...]):
    """Half a right angle, and nothing."""
    assert Turn.of_display_matrix(matrix) is None
