"""Muon for many kernels at once: those of one shape are stacked, so that a step is a few large products.

``torch.optim.Muon`` takes kernel after kernel: some 3,000 small launches for a network of 200 convolutions. The same
mathematics (momentum 0.95, Nesterov, five Newton-Schulz iterations, steps of the size of Adam's) in a few dozen, with
the rate on the device, so that a step can be recorded in a CUDA graph.
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
        others: defaultdict[float, list[nn.Parameter]] = defaultdict(list)
        for parameter, factor in parameters.items():
            if kind == "muon" and parameter.dim() == 4:
                O, I, k, _ = parameter.shape
                stacks[(O, k * k * I), factor].append(parameter)
            else:
                others[factor].append(parameter)
        self._parts: list[_Stack | _Adam] = [_Stack(group, shape, factor) for (shape, factor), group in stacks.items()]
        self._parts += [_Adam(group, factor) for factor, group in others.items()]
        self.refused = torch.zeros((), device=self._all[0].device)  # steps left out, on the device

    @torch.no_grad()
    def step(self, rate: Tensor) -> None:
        """Apply the gradients that the parameters hold, and forget them. ``rate`` is a scalar on the device."""
        for parameter in self._all:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._all if p.grad is not None])
        fine = norm.isfinite()
        self.refused += (~fine).float()
        scale = torch.where(fine, (self._clip / (norm + 1e-6)).clamp(max=1.0), 0.0)
        for part in self._parts:
            part.step(rate, scale, fine)
        for parameter in self._all:
            parameter.grad = None

    @torch.no_grad()
    def forget(self) -> None:
        """Begin anew: without momentum. What a recorded step works on stays where it is."""
        for part in self._parts:
            for state in part.state:
                state.zero_()


class _Stack:
    """Kernels of one shape (O, I·k·k), by Muon."""

    def __init__(self, parameters: Sequence[nn.Parameter], shape: tuple[int, ...], factor: float) -> None:
        self.parameters = list(parameters)
        self.momentum = torch.zeros(len(self.parameters), *shape, device=parameters[0].device)
        self.factor = factor * 0.2 * max(shape) ** 0.5
        self.state = [self.momentum]

    def step(self, rate: Tensor, scale: Tensor, fine: Tensor) -> None:
        gradient = torch.stack([_rows(_gradient(p)) for p in self.parameters]).float()
        gradient = torch.where(fine, gradient * scale, 0.0)
        self.momentum.lerp_(gradient, 1 - _MOMENTUM)
        direction = _orthogonal(gradient.lerp(self.momentum, _MOMENTUM))
        update = direction * (rate * fine * -self.factor)
        torch._foreach_add_([_rows(p.data) for p in self.parameters], list(update.unbind()))


class _Adam:
    """Parameters of any shapes, as one vector, by Adam."""

    def __init__(self, parameters: Sequence[nn.Parameter], factor: float) -> None:
        self.parameters, self.factor = list(parameters), factor
        device = parameters[0].device
        self.mean = torch.zeros(sum(p.numel() for p in parameters), device=device)
        self.square = torch.zeros_like(self.mean)
        self.count = torch.zeros((), device=device)
        self.state = [self.mean, self.square, self.count]

    def step(self, rate: Tensor, scale: Tensor, fine: Tensor) -> None:
        gradient = torch.cat([_gradient(p).flatten() for p in self.parameters]).float()
        gradient = torch.where(fine, gradient * scale, 0.0)
        first, second = _BETAS
        self.count += 1
        self.mean.lerp_(gradient, 1 - first)
        self.square.lerp_(gradient.square(), 1 - second)
        size = (self.square / (1 - second**self.count)).sqrt() + _EPSILON
        update = self.mean / size * (rate * fine * -self.factor / (1 - first**self.count))
        parts = update.split([p.numel() for p in self.parameters])
        shaped = [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]
        torch._foreach_add_([p.data for p in self.parameters], shaped)


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


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
        # a x + (b gram + c gram²) x
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).float()
