"""Convolutions found in closed form: least squares from maps to maps.

Shapes: N maps, I input channels, O output channels, k kernel, h w pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ConvRegression"]

_RIDGE = 1e-5  # of the inputs' mean variance


class ConvRegression:
    """The ``k`` × ``k`` convolution that maps inputs to outputs best. Maps are added one after another.

    Only sums are kept, so the memory does not depend on how much is added.
    """

    def __init__(self, kernel: int, *, stride: int = 1, margin: int = 0) -> None:
        self._kernel, self._stride, self._margin = kernel, stride, margin
        self._xx: Tensor | None = None  # (I·k·k + 1, I·k·k + 1), float64
        self._xy: Tensor
        self._y: Tensor  # sums of the outputs and of their squares, (2, O)

    def add(self, inputs: Tensor, outputs: Tensor) -> None:
        """Count these maps: inputs (N, I, H, W), outputs (N, O, h, w), those of a padded convolution.

        A border of half a kernel, where the convolution would see padding, or of ``margin`` is left out.
        """
        if inputs.device.type == "mps":  # which has no double precision
            inputs, outputs = inputs.cpu(), outputs.cpu()
        k, border = self._kernel, max(self._margin, -(-(self._kernel // 2) // self._stride))
        x = F.unfold(inputs.float(), k, padding=k // 2, stride=self._stride).unflatten(2, outputs.shape[-2:])
        inner = slice(border, -border or None)
        x = x[..., inner, inner].permute(0, 2, 3, 1).flatten(0, 2)
        y = outputs.float()[..., inner, inner].permute(0, 2, 3, 1).flatten(0, 2).double()
        x = torch.cat((x, x.new_ones(len(x), 1)), dim=1).double()
        sums = x.T @ x, x.T @ y, torch.stack((y.sum(dim=0), y.square().sum(dim=0)))
        if self._xx is None:
            self._xx, self._xy, self._y = sums
        else:
            self._xx, self._xy, self._y = self._xx + sums[0], self._xy + sums[1], self._y + sums[2]

    def solve(self) -> tuple[Tensor, Tensor, float]:
        """The weight (O, I, k, k), the bias (O,), and R²: the share of the outputs' variance that they explain."""
        assert self._xx is not None  # nothing to solve before anything is added
        count = self._xx[-1, -1]
        # Of the variance: a constant that inputs share must not make the penalty large.
        variances = self._xx.diagonal()[:-1] - self._xx[-1, :-1].square() / count
        ridge = _RIDGE * variances.mean().clamp(min=1e-12)
        penalty = torch.diag(torch.cat((ridge.expand(len(self._xx) - 1), ridge.new_zeros(1))))
        solution = torch.linalg.solve(self._xx + penalty, self._xy)
        left = self._y[1] - 2 * (solution * self._xy).sum(dim=0) + (solution * (self._xx @ solution)).sum(dim=0)
        variance = self._y[1] - self._y[0].square() / count
        explained = 1 - left.sum() / variance.sum().clamp(min=1e-12)
        weight = solution[:-1].T.unflatten(1, (-1, self._kernel, self._kernel))
        return weight.float(), solution[-1].float(), float(explained)
