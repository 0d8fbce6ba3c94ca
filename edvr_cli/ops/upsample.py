"""Maps brought together with others that are made twice as large."""

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.ops.triton_status import attempt, fuses, is_pixels_first

__all__ = ["ENLARGING", "concat_upsampled", "concat_upsampled_in_steps"]

ENLARGING = "enlarging"  # the name of its Triton kernel


def concat_upsampled(a: Tensor, b: Tensor, factor: float = 1.0) -> Tensor:
    """cat(a, factor · b twice as large, bilinear): (N, A, 2·h, 2·w) and (N, B, h, w) → (N, A + B, 2·h, 2·w)."""
    y = attempt(a.device, ENLARGING, lambda: _by_triton(a, b, factor)) if fuses(a, b) else None
    return concat_upsampled_in_steps(a, b, factor) if y is None else y


def concat_upsampled_in_steps(a: Tensor, b: Tensor, factor: float = 1.0) -> Tensor:
    """:func:`concat_upsampled`, by torch's own operations."""
    b = F.interpolate(b, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.cat((a, b if factor == 1 else b * factor), dim=1)


def _by_triton(a: Tensor, b: Tensor, factor: float) -> Tensor | None:
    from edvr_cli.ops.triton.resize import concat_upsampled_triton  # noqa: PLC0415 (triton is optional)

    (_, A, H, W), (_, B, h, w) = a.shape, b.shape
    suits = is_pixels_first(a, b) and (2 * h, 2 * w) == (H, W) and A & (A - 1) == B & (B - 1) == 0 and a.numel() > 0
    return concat_upsampled_triton(a, b, factor) if suits else None
