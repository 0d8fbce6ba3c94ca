"""The optimizer: Adam as published, or Muon for the convolutions.

Muon gives every direction of a layer's update the same size; Adam's updates are ruled by the few directions in which
gradients are large, and what else there is to learn comes late. docs/lab/training.md has what that was worth.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from edvr_cli.errors import EdvrError
from edvr_cli.train.recipe import Recipe

__all__ = ["MixedOptimizer", "make_optimizer"]

_BETAS = (0.9, 0.99)  # of Adam, as published
_MOMENTUM = 0.95


class MixedOptimizer:
    """Muon for ``kernels`` and Adam for ``others``, behind one interface."""

    def __init__(self, kernels: Sequence[nn.Parameter], others: Sequence[nn.Parameter]) -> None:
        self._kernels = list(kernels)
        self._matrices = [nn.Parameter(_matrix(kernel.detach(), kernel)) for kernel in kernels]
        self._parts: dict[str, torch.optim.Optimizer] = {}
        if others:
            self._parts["adam"] = torch.optim.Adam(others, betas=_BETAS)
        if kernels:
            self._parts["muon"] = torch.optim.Muon(
                self._matrices, weight_decay=0.0, momentum=_MOMENTUM, adjust_lr_fn="match_rms_adamw"
            )

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in chain.from_iterable(part.param_groups for part in self._parts.values()):
            group["lr"] = rate

    def step(self) -> None:
        """Apply the gradients that the parameters hold."""
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad, kernel)
        for part in self._parts.values():
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore that state."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])


def make_optimizer(recipe: Recipe, parameters: Sequence[nn.Parameter]) -> MixedOptimizer:
    """The optimizer of ``recipe`` for ``parameters``. Raises EdvrError where this PyTorch lacks it."""
    if recipe.optimizer == "adam":
        return MixedOptimizer([], parameters)
    if not hasattr(torch.optim, "Muon"):
        raise EdvrError(f"PyTorch {torch.__version__} has no Muon: update it to 2.9 or newer, or train with adam")
    return MixedOptimizer([p for p in parameters if p.dim() == 4], [p for p in parameters if p.dim() != 4])


def _matrix(tensor: Tensor, kernel: Tensor) -> Tensor:
    """``tensor`` of the shape of ``kernel`` (O, I, k, k) as (O, I·k·k); of the kernel's own memory, a view of it."""
    # Muon does not mind in which order the columns are, so the kernel's memory decides.
    return tensor.flatten(1) if kernel.is_contiguous() else tensor.permute(0, 2, 3, 1).flatten(1)
