"""Residual blocks whose dead channels can come back: in training, zeros of their ReLU pass some gradient.

Where a channel is zero on every picture its weights get no gradient, and nothing brings it back; with small batches of
blur, hundreds of channels end that way. What the network computes stays as it is. Using another gradient than ReLU's
own has been studied by C. Horuz et al., "The Resurrection of the ReLU" (2025).
"""

from typing import Any

import torch
from torch import Tensor

from edvr_cli.network.edvr import EDVR, ResBlock

__all__ = ["leak"]


def leak(model: EDVR, share: float) -> None:
    """Let the residual blocks of ``model`` pass ``share`` of the gradient where their ReLU is zero; 0 undoes it."""

    def forward(block: ResBlock, x: Tensor) -> Tensor:
        hidden: Tensor = _LeakingReLU.apply(block.conv1(x), share)  # type: ignore[no-untyped-call]
        result: Tensor = block.conv2(hidden, add=x)
        return result

    for module in model.modules():
        if isinstance(module, ResBlock):
            vars(module).pop("forward", None)
            if share:
                module.forward = forward.__get__(module)  # type: ignore[method-assign]


class _LeakingReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        result = x.clamp(min=0)
        ctx.save_for_backward(result)
        ctx.share = share
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        return torch.where(result > 0, gradient, gradient * ctx.share), None
