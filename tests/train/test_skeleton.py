"""A network without alignment, and its way into one with alignment."""

import pytest
import torch

from edvr_cli.train.alignment import prepare
from edvr_cli.train.skeleton import carry_through, restore_alone, skeleton_parameters
from edvr_cli.train.stages import Stage, trained
from tests.support.networks import random_network


@pytest.mark.parametrize(
    "changes", [{}, {"cascade": False}, {"levels": 1}, {"predeblur": True}, {"predeblur": True, "hr_in": True}], ids=str
)
def test_an_alignment_is_added_that_changes_nothing(changes):
    """Of a still window: every frame's features arrive, whatever their sign."""
    model = random_network(tsa=False, **changes)
    frame = torch.rand(2, 3, 32, 32)
    prepare(model, frame[:, None].expand(-1, 5, -1, -1, -1).contiguous())
    carry_through(model, frame)
    window = frame[:1, None].expand(-1, 5, -1, -1, -1).contiguous()
    alone = restore_alone(model, frame[:1])
    assert torch.allclose(model(window), alone, atol=1e-4)
    base = torch.nn.functional.interpolate(frame[:1], alone.shape[-2:], mode="bilinear")
    assert (alone - base).abs().mean() > 1e-3  # the skeleton does something


def test_neighbors_have_a_small_share_of_a_moving_window():
    """A neighbor can change the output, so that training can use it."""
    model = random_network(tsa=False)
    window = torch.rand(1, 5, 3, 16, 16)
    carry_through(model, window[:, 2])
    before = model(window)
    window[:, 1] = 0
    change = (model(window) - before).abs().mean()
    assert 0 < change < (before - torch.nn.functional.interpolate(window[:, 2], scale_factor=4)).abs().mean()


def test_attention_starts_undecided():
    """Features that its activation lets pass arrive in full."""
    model = random_network(cascade=False)
    for name in ("temporal_attn1", "spatial_attn5", "spatial_attn_add2"):
        for parameter in getattr(model.fusion, name).parameters():
            parameter.zero_()
    carry_through(model, torch.rand(1, 3, 16, 16))
    features = torch.rand(1, 1, 16, 8, 8)
    assert torch.allclose(model.fuse(features.expand(-1, 5, -1, -1, -1)), features[:, 0], atol=1e-5)


def test_the_skeleton_stage_trains_what_it_uses():
    """Each parameter that it trains has a gradient, and alignment and fusion stay as they are."""
    model = random_network()
    chosen = trained(model, Stage("skeleton", 0, 10))
    assert {id(p) for p in chosen} == {id(p) for p in skeleton_parameters(model)}
    restore_alone(model, torch.rand(1, 3, 16, 16)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in chosen)
    frozen = {name.split(".")[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"conv_l2_1", "conv_l2_2", "conv_l3_1", "conv_l3_2", "pcd_align", "fusion"}
