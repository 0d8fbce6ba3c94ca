"""The deformable convolution for training on a GPU: samples by a Triton kernel, their product by torch.

The samples of all taps, nine times the features, are in memory here, unlike in the fused kernel: a matrix product
wants them for the weight's gradient, and the patches of training are small. The way back is one kernel more, which
samples again. The kernels are in :mod:`edvr_cli.ops.triton.deform_kernels`.
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from edvr_cli.ops.triton.deform_conv import grouped, pixels_first
from edvr_cli.ops.triton.deform_kernels import sample_grad_kernel, sample_kernel
from edvr_cli.ops.triton.devices import on_device_of

__all__ = ["deform_conv2d_packed_trained_triton"]

_PAIRS = 128  # of a program


def deform_conv2d_packed_trained_triton(
    x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None, negative_slope: float = 1.0
) -> Tensor:
    """:func:`~edvr_cli.ops.deform_conv.deform_conv2d_packed` on a GPU, differentiable once.

    C / G must be a power of two, and an image's samples fit 32-bit indexes. Sums of gradients are in no fixed order:
    two calls can differ by rounding. Returns the type of ``x``, channels_last.
    """
    N, C, H, W = x.shape
    O, _, k, _ = weight.shape
    G = packed.shape[1] // (3 * k * k)
    columns = _Columns.apply(x, packed, k)
    # Columns are in the order (group, tap, channel of the group).
    taps = weight.view(O, G, C // G, k * k).transpose(2, 3).reshape(O, -1)
    y = F.linear(columns, taps.to(x.dtype), None if bias is None else bias.to(x.dtype))
    y = y.view(N, H, W, O).permute(0, 3, 1, 2).to(x.dtype)
    return y if negative_slope == 1.0 else F.leaky_relu(y, negative_slope)


class _Columns(torch.autograd.Function):
    """x (N, C, H, W), packed (N, 3·G·K, H, W) → all samples times their masks, (N·H·W, C·K) in the type of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, kernel_size: int) -> Tensor:
        N, C, H, W = x.shape
        GK = packed.shape[1] // 3
        G = GK // kernel_size**2
        features, places = grouped(x, G), pixels_first(packed)
        columns = x.new_empty(N * H * W, C * kernel_size**2)
        ctx.sizes = {"G": G, "GROUP": C // G, "KERNEL": kernel_size, "PAIRS": _PAIRS}
        ctx.save_for_backward(features, places)
        with on_device_of(x):
            sample_kernel[_grid(features, GK)](features, places, columns, H, W, **ctx.sizes)
        return columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        features, places = ctx.saved_tensors
        N, _, H, W, _ = features.shape
        to_x, to_places = torch.zeros_like(features, dtype=torch.float32), torch.empty_like(places)
        with on_device_of(features):
            sample_grad_kernel[_grid(features, places.shape[-1] // 3)](
                features, places, gradient.contiguous(), to_x, to_places, H, W, **ctx.sizes
            )
        # (N, G, H, W, C / G) → (N, C, H, W), channels_last
        to_x = to_x.permute(0, 2, 3, 1, 4).to(features.dtype).reshape(N, H, W, -1).permute(0, 3, 1, 2)
        return to_x, to_places.permute(0, 3, 1, 2), None


def _grid(features: Tensor, pairs: int) -> tuple[int, int]:
    N, _, H, W, _ = features.shape
    return triton.cdiv(H * W * pairs, _PAIRS), N
