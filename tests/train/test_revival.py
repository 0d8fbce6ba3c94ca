"""Channels of residual blocks that do nothing are found, and get new weights that leave the output as it is."""

import pytest
import torch

from edvr_cli.network.edvr import EDVR, EDVRConfig
from edvr_cli.train.revival import living_channels, revive

TINY = EDVRConfig(features=8, groups=2, extraction_blocks=2, reconstruction_blocks=1, tail=4)


@pytest.fixture
def window() -> torch.Tensor:
    return torch.rand(1, 5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def network(window: torch.Tensor) -> EDVR:
    """A network whose first block is dead, and whose last has a dead channel."""
    torch.manual_seed(0)
    network = EDVR(TINY).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        network.feature_extraction[0].conv1.bias -= 100
        network.reconstruction[0].conv1.bias[3] -= 100
    return network


def test_dead_channels_are_found(network: EDVR, window: torch.Tensor):
    living = living_channels(network, lambda: network(window))
    assert set(living) == {"feature_extraction.0", "feature_extraction.1", "reconstruction.0"}
    assert not bool(living["feature_extraction.0"].any())
    assert not bool(living["reconstruction.0"][3])
    assert int(living["reconstruction.0"].sum()) >= 5


def test_a_channel_that_lives_on_one_window_of_several_is_alive(network: EDVR, window: torch.Tensor):
    dark = torch.zeros_like(window)
    either = living_channels(network, lambda: (network(dark), network(window)))
    first, second = (living_channels(network, lambda w=w: network(w)) for w in (dark, window))
    for name, alive in either.items():
        assert torch.equal(alive, first[name] | second[name])


@torch.no_grad()
def test_revived_channels_live_and_change_nothing(network: EDVR, window: torch.Tensor):
    before = network(window)
    alive = living_channels(network, lambda: network(window))["reconstruction.0"]
    kept = network.reconstruction[0].conv1.weight[alive].clone()
    dead, channels = revive(network, lambda: network(window), torch.Generator().manual_seed(0))
    assert 9 <= dead < channels == 24
    assert torch.allclose(network(window), before, atol=1e-6)
    assert torch.equal(network.reconstruction[0].conv1.weight[alive], kept)
    living = living_channels(network, lambda: network(window))
    assert bool(living["feature_extraction.0"].all())
    assert bool(living["reconstruction.0"][3])


def test_revived_channels_learn(network: EDVR, window: torch.Tensor):
    """Dead ones do not: without new weights their kernels get no gradient at all."""

    def gradient() -> float:
        network.zero_grad()
        network(window).square().mean().backward()
        found = network.feature_extraction[0].conv2.weight.grad
        assert found is not None
        return float(found.abs().max())

    assert gradient() == 0
    revive(network, lambda: network(window))
    assert gradient() > 0


def test_revival_under_autocast(network: EDVR, window: torch.Tensor):
    """As training runs it: the new bias is float32, whatever the convolution computes in."""

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            network(window)

    revive(network, run)
    assert bool(living_channels(network, run)["feature_extraction.0"].any())
    assert network.feature_extraction[0].conv1.bias.dtype == torch.float32
