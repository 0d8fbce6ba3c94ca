"""The definition of the modulated deformable convolution in plain torch; its kernels are compared with it.

Shapes and meaning are those of :mod:`edvr_cli.ops.deform_conv`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["convolve_rows", "deform_conv2d_packed_reference", "deform_conv2d_reference", "split_packed"]


def deform_conv2d_reference(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """The definition in plain torch: any device, any floating dtype, differentiable. Shapes as the contract.

    Samples all taps into a (N, C·K, H·W) column matrix, K times the input, then multiplies. Half precisions
    are computed in float32: their coordinates would be off by whole pixels.
    """
    return convolve_rows(x, offset, mask, weight, bias, 0)


def convolve_rows(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, first: int) -> Tensor:
    """The rows of :func:`deform_conv2d_reference`'s output from ``first`` on that offset and mask are given for."""
    N, C, H, W = x.shape
    O, _, k, _ = weight.shape
    K = k * k
    G = mask.shape[1] // K
    rows = mask.shape[2]
    dtype = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32

    tap = torch.arange(K, device=x.device)
    row = torch.arange(first, first + rows, device=x.device, dtype=dtype)
    column = torch.arange(W, device=x.device, dtype=dtype)
    tap_y = (tap // k - k // 2).to(dtype).view(K, 1, 1)
    tap_x = (tap % k - k // 2).to(dtype).view(K, 1, 1)
    offset = offset.to(dtype).reshape(N, G, K, 2, rows, W)
    # grid_sample's coordinates run from −1 to 1 over the outer edges of the border pixels.
    y = (offset[:, :, :, 0] + (tap_y + row.view(rows, 1) + 0.5)) * (2 / H) - 1
    z = (offset[:, :, :, 1] + (tap_x + column.view(1, W) + 0.5)) * (2 / W) - 1
    grid = torch.stack((z, y), dim=-1).view(N * G, K * rows, W, 2)
    samples = F.grid_sample(x.to(dtype).reshape(N * G, C // G, H, W), grid, padding_mode="zeros", align_corners=False)
    columns = samples.reshape(N, G, C // G, K, rows, W) * mask.to(dtype).reshape(N, G, 1, K, rows, W)
    y = weight.to(dtype).reshape(O, C * K) @ columns.reshape(N, C * K, rows * W)
    if bias is not None:
        y = y + bias.to(dtype).view(O, 1)
    return y.view(N, O, rows, W).to(x.dtype)


def deform_conv2d_packed_reference(
    x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None = None, negative_slope: float = 1.0
) -> Tensor:
    """The definition of :func:`deform_conv2d_packed`, step by step."""
    offset, mask = split_packed(packed, weight.shape[-1])
    y = deform_conv2d_reference(x, offset, mask.sigmoid(), weight, bias)
    return y if negative_slope == 1.0 else F.leaky_relu(y, negative_slope)


def split_packed(packed: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """Views of ``packed`` (N, 3·G·K, H, W): offset (N, 2·G·K, H, W) and mask before its sigmoid (N, G·K, H, W)."""
    channels, K = packed.shape[1], kernel_size**2
    if channels % (3 * K):
        raise ValueError(f"packed offsets need a multiple of {3 * K} channels, got shape {tuple(packed.shape)}")
    return packed[:, : channels // 3 * 2], packed[:, channels // 3 * 2 :]
