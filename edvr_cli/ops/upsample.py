"""Maps brought together with others that are made twice as large."""

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.ops.triton_status import attempt, fuses, is_pixels_first

__all__ = ["concat_upsampled"]


def concat_upsampled(a: Tensor, b: Tensor, factor: float = 1.0) -> Tensor:
    """cat(a, factor · b twice as large, bilinear): (N, A, 2·h, 2·w) and (N, B, h, w) → (N, A + B, 2·h, 2·w)."""
    y = attempt(a.device, "enlarging", lambda: _by_triton(a, b, factor)) if fuses(a, b) else None
    if y is not None:
        return y
    b = F.interpolate(b, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.cat((a, b if factor == 1 else b * factor), dim=1)


def _by_triton(a: Tensor, b: Tensor, factor: float) -> Tensor | None:
    from edvr_cli.ops.triton.resize import concat_upsampled_triton  # noqa: PLC0415 (triton is optional)

    (_, A, H, W), (_, B, h, w) = a.shape, b.shape
    suits = is_pixels_first(a, b) and (2 * h, 2 * w) == (H, W) and A & (A - 1) == B & (B - 1) == 0 and a.numel() > 0
    return concat_upsampled_triton(a, b, factor) if suits else None
