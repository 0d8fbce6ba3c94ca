"""Conversions of RGB pictures (3, H, W)."""

import torch
from torch import Tensor

__all__ = ["bt709_luma", "to_uint8"]


def to_uint8(rgb: Tensor) -> Tensor:
    """Values in [0, 1] as 0 to 255, rounded; values outside are limited."""
    return (rgb * 255).round().clamp(0, 255).to(torch.uint8)


def bt709_luma(rgb: Tensor) -> Tensor:
    """The BT.709 luma (H, W) of RGB (3, H, W)."""
    red, green, blue = rgb
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
