"""An unsharp mask: what is flat stays, edges overshoot, nothing is known beyond the ends."""

import pytest
import torch

from edvr_cli.image.sharpen import sharpened


@pytest.mark.parametrize("shape", [(3, 12, 17), (1, 1, 9), (3, 2, 2)])
def test_nothing_becomes_of_a_flat_picture_or_no_amount(shape):
    """Also where the picture is smaller than the mask."""
    flat = torch.full(shape, 0.3)
    torch.testing.assert_close(sharpened(flat, 1.0, 1.5), flat)
    picture = torch.rand(shape)
    torch.testing.assert_close(sharpened(picture, 0.0, 1.5), picture)


def test_an_edge_overshoots_in_proportion():
    """On both sides, far away not at all, and alike along both axes."""
    edge = torch.zeros(1, 20, 40)
    edge[..., 20:] = 1
    little, much = (sharpened(edge, amount, 1.5) for amount in (0.5, 1.0))
    torch.testing.assert_close(much - edge, 2 * (little - edge))
    assert much[0, 5, 20] > 1.2
    assert much[0, 5, 19] < -0.2
    torch.testing.assert_close(much[..., :10], edge[..., :10])
    turned = sharpened(edge.transpose(1, 2), 1.0, 1.5).transpose(1, 2)
    torch.testing.assert_close(turned, much)
