"""Channels of residual blocks that no longer do anything, found and brought back.

A ReLU whose input is never positive puts out zeros and lets no gradient through: whatever the training, its channel
stays dead. One step that was too long is enough. The first `edvr-s-deblur` shipped with every channel of every residual
block dead; its loss had fallen all the same, and nothing showed it.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.network.edvr import EDVR, ResBlock

__all__ = ["dead_channels", "living_channels", "revive"]


@torch.no_grad()
def living_channels(model: EDVR, run: Callable[[], object]) -> dict[str, Tensor]:
    """Which channels inside each residual block of ``model`` are positive anywhere while ``run`` runs it: (C,) bool.

    Blocks that ``run`` does not reach are left out.
    """
    found: dict[str, Tensor] = {}

    def look(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            alive = (inputs[0] > 0).any(dim=3).any(dim=2).any(dim=0)
            found[name] = found[name] | alive if name in found else alive

        return hook

    hooks = [block.conv2.register_forward_pre_hook(look(name)) for name, block in _blocks(model)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def dead_channels(model: EDVR, run: Callable[[], object]) -> tuple[int, int]:
    """How many channels inside residual blocks do nothing while ``run`` runs ``model``, and how many there are."""
    return _counted(living_channels(model, run))


@torch.no_grad()
def revive(model: EDVR, run: Callable[[], object], generator: torch.Generator | None = None) -> tuple[int, int]:
    """Give the dead channels of residual blocks new first weights; what the network puts out stays as it is.

    ``run`` runs ``model`` on windows like those that it is to be trained on; ``generator`` is one of the CPU. Returns
    how many channels were dead, and how many were looked at.
    """
    living = living_channels(model, run)
    dead = {name: ~alive for name, alive in living.items() if not bool(alive.all())}
    hooks = []
    for name, block in _blocks(model):
        if name not in dead:
            continue
        # A dead channel adds nothing, and the new one must not at first.
        block.conv2.weight[:, dead[name]] = 0
        # Drawn on the CPU, so that a seed means the same on every device.
        fresh = torch.empty(block.conv1.weight.shape)
        nn.init.kaiming_normal_(fresh, generator=generator)
        block.conv1.weight[dead[name]] = fresh.to(block.conv1.weight)[dead[name]]
        hooks.append(block.conv1.register_forward_pre_hook(_center(dead[name])))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return _counted(living)


def _counted(living: Mapping[str, Tensor]) -> tuple[int, int]:
    channels = sum(map(len, living.values()))
    return channels - sum(int(alive.sum()) for alive in living.values()), channels


def _center(channels: Tensor) -> Callable[[nn.Conv2d, tuple[Tensor, ...]], None]:
    """Set the bias of ``channels`` (C,) so that they are zero in the mean: positive somewhere, whatever comes in."""

    def hook(conv: nn.Conv2d, inputs: tuple[Tensor, ...]) -> None:
        assert conv.bias is not None
        response = F.conv2d(inputs[0].to(conv.weight), conv.weight[channels], padding=conv.padding)
        conv.bias[channels] = -response.mean(dim=(0, 2, 3)).to(conv.bias)

    return hook


def _blocks(model: EDVR) -> Iterator[tuple[str, ResBlock]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, ResBlock))
