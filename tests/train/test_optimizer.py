"""Adam for all, or Muon for the convolutions."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from edvr_cli.errors import EdvrError
from edvr_cli.train.optimizer import MixedOptimizer, make_optimizer
from edvr_cli.train.recipe import Recipe
from tests.train.test_samples import TINY

MUON = replace(TINY, optimizer="muon")
INPUT = torch.randn(8, 4, 7, 7, generator=torch.Generator().manual_seed(1))


def layers(memory_format: torch.memory_format) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 2, 1)).to(memory_format=memory_format)


def descend(net: nn.Module, steps: MixedOptimizer, count: int = 3) -> None:
    """Some steps towards zero output."""
    steps.set_rate(0.01)
    for _ in range(count):
        net.zero_grad(set_to_none=True)
        net(INPUT).square().mean().backward()
        steps.step()


def begin(net: nn.Module, recipe: Recipe) -> MixedOptimizer:
    return make_optimizer(recipe, list(net.parameters()))


def test_muon_turns_every_direction_of_a_convolution_alike():
    """Its first step has singular values far more alike than the gradient's, and Adam's size; biases go with Adam."""
    net = layers(torch.contiguous_format)
    before = [p.detach().clone() for p in net.parameters()]
    descend(net, begin(net, MUON), 1)
    weight, bias, *_ = (after - old for after, old in zip(net.parameters(), before, strict=True))
    first, *_, last = torch.linalg.svdvals(weight.detach().flatten(1))
    largest, *_, smallest = torch.linalg.svdvals(net[0].weight.grad.flatten(1))
    assert 3 * first / last < largest / smallest
    assert weight.detach().square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.5)
    assert torch.allclose(bias.detach().abs(), torch.tensor(0.01), rtol=1e-3)


def test_the_layout_in_memory_does_not_matter():
    """Channels last, as training has it: the same steps."""
    nets = [layers(form) for form in (torch.contiguous_format, torch.channels_last)]
    for net in nets:
        descend(net, begin(net, MUON))
    for first, second in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.allclose(first, second, atol=2e-5)


@pytest.mark.parametrize("recipe", [TINY, MUON], ids=["adam", "muon"])
def test_a_state_taken_up_again_goes_on_where_it_was(recipe):
    """With it, the second half of six steps is what it is in one run; without it, another."""
    whole, resumed, forgetful = (layers(torch.channels_last) for _ in range(3))
    descend(whole, begin(whole, recipe), 6)
    for net in (resumed, forgetful):
        steps = begin(net, recipe)
        descend(net, steps)
        later = begin(net, recipe)
        if net is resumed:
            later.load_state_dict(steps.state_dict())
        descend(net, later)
    assert equal(whole, resumed)
    assert not equal(whole, forgetful)


def equal(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_an_older_pytorch_is_told_what_to_do(monkeypatch):
    """It has no Muon."""
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(EdvrError, match=r"2\.9 or newer, or train with adam"):
        make_optimizer(MUON, [])
    assert begin(layers(torch.contiguous_format), TINY).state_dict()
