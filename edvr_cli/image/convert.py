"""Conversions of RGB pictures (3, H, W)."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["bt709_luma", "fill_up", "to_uint8"]


def to_uint8(rgb: Tensor) -> Tensor:
    """Values in [0, 1] as 0 to 255, rounded; values outside are limited."""
    return (rgb * 255).round().clamp(0, 255).to(torch.uint8)


def bt709_luma(rgb: Tensor) -> Tensor:
    """The BT.709 luma (H, W) of RGB (3, H, W)."""
    red, green, blue = rgb
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def fill_up(frame: Tensor, height: int, width: int) -> Tensor:
    """Fill (3, H, W) up to ``height`` and ``width``: reflected, and replicated where a frame is too small."""
    bottom, right = height - frame.shape[1], width - frame.shape[2]
    if not (bottom or right):
        return frame
    mode = "reflect" if bottom < frame.shape[1] and right < frame.shape[2] else "replicate"
    return F.pad(frame[None], (0, right, 0, bottom), mode)[0]
