"""A small network inside a larger one."""

from dataclasses import replace

import pytest
import torch

from edvr_cli.errors import ModelError
from edvr_cli.network.edvr import EDVR, EDVRConfig
from edvr_cli.train.teacher.widening import channel_places, widen
from tests.support.networks import TINY, random_network

LARGE = replace(TINY, features=32, extraction_blocks=3, reconstruction_blocks=2, tail=24)


def widened(small: EDVR, config: EDVRConfig = LARGE) -> EDVR:
    torch.manual_seed(1)
    large = EDVR(config).eval().requires_grad_(False)
    for name, parameter in large.named_parameters():
        if name.endswith("bias"):
            parameter.normal_(std=0.1)  # zero in a fresh network: a bias that is left behind must show
    widen(small, large)
    return large


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tsa": False},
        {"cascade": False},
        {"levels": 1},
        {"predeblur": True},
        {"predeblur": True, "hr_in": True},
        {"levels": 1, "tsa": False, "cascade": False},
    ],
    ids=str,
)
def test_a_widened_network_computes_what_the_small_one_does(changes):
    """With more features, blocks and tail, and offsets of several pixels."""
    small = random_network(**changes)
    for parameter in small.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.02)
    large = widened(small, replace(LARGE, **changes))
    window = torch.rand(1, 5, 3, 16, 32)
    with torch.no_grad():
        expected = small(window)
        assert (large(window) - expected).abs().max() < 1e-5
        frame = torch.nn.functional.interpolate(window[:, 2], expected.shape[-2:], mode="bilinear")
        assert (expected - frame).abs().mean() > 1e-3  # the network does something


def test_free_channels_learn():
    """Their weights are random, and the loss has a gradient for what lets them into the output."""
    small = random_network()
    large = widened(small).requires_grad_(True)
    large(torch.rand(1, 5, 3, 16, 16)).square().mean().backward()
    free = sorted(set(range(32)) - set(channel_places(16, 32, 4).tolist()))
    assert (large.conv_first.weight[free].abs().flatten(1).amax(dim=1) > 0).all()
    assert (large.upconv1.weight.grad[:, free].abs().amax(dim=(0, 2, 3)) > 0).all()
    assert (large.conv_last.weight.grad[:, small.config.tail :].abs().amax(dim=(0, 2, 3)) > 0).all()


def test_channels_stay_in_their_deformable_groups():
    """Channel 4g + j of 32 in 8 groups becomes channel 8g + j of 64."""
    places = channel_places(32, 64, 8)
    assert places[:6].tolist() == [0, 1, 2, 3, 8, 9]
    assert places[-1] == 8 * 7 + 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tsa": False}, "tsa is True and False"),
        ({"groups": 8}, "groups is 4 and 8"),
        ({"features": 8}, "features shrinks from 16 to 8"),
        ({"tail": 4}, "tail shrinks"),
    ],
)
def test_networks_that_do_not_fit_are_refused(changes, reason):
    """With the first difference as the reason."""
    with pytest.raises(ModelError, match=reason):
        widened(random_network(), replace(LARGE, **changes))
