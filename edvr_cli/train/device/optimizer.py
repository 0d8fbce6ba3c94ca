"""Muon for many kernels at once: those of one shape are stacked, so that a step is a few large products.

``torch.optim.Muon`` takes kernel after kernel: some 3,000 small launches for a network of 200 convolutions. The same
mathematics (momentum 0.95, Nesterov, five Newton-Schulz iterations, steps of the size of Adam's) in a few dozen.
Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the scale is that of
J. Liu et al., "Muon is scalable for LLM training" (2025).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["StackedOptimizer"]

_MOMENTUM = 0.95
_BETAS = (0.9, 0.99)
_EPSILON = 1e-8
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class StackedOptimizer:
    """Steps kernels (O, I, k, k) by Muon or Adam and all other parameters by Adam, each with a factor of the rate.

    ``parameters`` maps each parameter to the factor of its rate. Gradients are clipped to a norm of ``clip``; where the
    norm is not finite nothing is stepped. Nothing waits for the device.
    """

    def __init__(
        self, parameters: Mapping[nn.Parameter, float], *, kind: Literal["muon", "adam"] = "muon", clip: float = 1.0
    ) -> None:
        self._clip = clip
        self._all = list(parameters)
        stacks: defaultdict[tuple[tuple[int, ...], float], list[nn.Parameter]] = defaultdict(list)
        flat: defaultdict[float, list[nn.Parameter]] = defaultdict(list)
        for parameter, factor in parameters.items():
            if kind == "muon" and parameter.dim() == 4:
                O, I, k, _ = parameter.shape
                stacks[(O, k * k * I), factor].append(parameter)
            else:
                flat[factor].append(parameter)
        self._stacks = [_Stack(group, shape, factor) for (shape, factor), group in stacks.items()]
        self._flat = [_Adam(group, factor) for factor, group in flat.items()]
        self.refused = torch.zeros((), device=self._all[0].device)  # steps left out, on the device

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Apply the gradients that the parameters hold, and forget them."""
        gradients = [p.grad for p in self._all if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        fine = norm.isfinite()
        self.refused += (~fine).float()
        scale = torch.where(fine, (self._clip / (norm + 1e-6)).clamp(max=1.0), 0.0)
        for stack in self._stacks:
            stack.step(rate, scale, fine)
        for flat in self._flat:
            flat.step(rate, scale, fine)
        for parameter in self._all:
            parameter.grad = None


class _Stack:
    """Kernels of one shape (O, I·k·k)."""

    def __init__(self, parameters: Sequence[nn.Parameter], shape: tuple[int, ...], factor: float) -> None:
        self.parameters, self.factor = list(parameters), factor
        self.momentum = torch.zeros(len(self.parameters), *shape, device=parameters[0].device)
        self.size = 0.2 * max(shape) ** 0.5

    def step(self, rate: float, scale: Tensor, fine: Tensor) -> None:
        zero = torch.zeros_like(self.momentum[0])
        rows = [zero if p.grad is None else _rows(p.grad) for p in self.parameters]
        gradient = torch.where(fine, torch.stack(rows).float() * scale, 0.0)
        self.momentum.lerp_(gradient, 1 - _MOMENTUM)
        direction = _orthogonal(gradient.lerp(self.momentum, _MOMENTUM))
        update = direction * (-rate * self.factor * self.size) * fine
        torch._foreach_add_([_rows(p.data) for p in self.parameters], list(update.unbind()))


class _Adam:
    """Adam for parameters of any shapes."""

    def __init__(self, parameters: Sequence[nn.Parameter], factor: float) -> None:
        self.parameters, self.factor, self.count = list(parameters), factor, 0
        self.mean = [torch.zeros_like(p) for p in self.parameters]
        self.square = [torch.zeros_like(p) for p in self.parameters]

    def step(self, rate: float, scale: Tensor, fine: Tensor) -> None:
        self.count += 1
        gradients = [
            torch.where(fine, torch.zeros_like(p) if p.grad is None else p.grad * scale, 0.0) for p in self.parameters
        ]
        first, second = _BETAS
        torch._foreach_lerp_(self.mean, gradients, 1 - first)
        torch._foreach_mul_(self.square, second)
        torch._foreach_addcmul_(self.square, gradients, gradients, 1 - second)
        size = torch._foreach_sqrt(torch._foreach_div(self.square, 1 - second**self.count))
        torch._foreach_add_(size, _EPSILON)
        step = -rate * self.factor / (1 - first**self.count)
        torch._foreach_addcdiv_([p.data for p in self.parameters], self.mean, size, step)


def _rows(kernel: Tensor) -> Tensor:
    """(O, I, k, k) → (O, k·k·I), a view of a kernel whose memory is channels_last."""
    return kernel.permute(0, 2, 3, 1).flatten(1)


def _orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices (N, O, M) with singular values near one, by Newton-Schulz iterations in bfloat16."""
    a, b, c = _NEWTON_SCHULZ
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    x = x if wide else x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.mT).float()
