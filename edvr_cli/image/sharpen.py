"""Sharpening."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["sharpened"]


def sharpened(picture: Tensor, amount: float, sigma: float) -> Tensor:
    """An unsharp mask: ``amount`` times the difference to a blurred picture is added.

    picture (C, H, W), any floating dtype; ``sigma`` is the Gaussian's, in pixels. Returns the same shape, not clamped.
    """
    height, width = picture.shape[1:]
    blurred = _blurred(_blurred(picture[:, None], sigma, height), sigma, width, across=True)
    return torch.lerp(blurred[:, 0], picture, 1 + amount)


def _blurred(x: Tensor, sigma: float, length: int, *, across: bool = False) -> Tensor:
    """Each picture of (C, 1, H, W) along one axis of ``length``, mirrored at its ends."""
    reach = min(round(3 * sigma), length - 1)
    at = torch.arange(-reach, reach + 1, device=x.device, dtype=torch.float32)
    line = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (line / line.sum()).to(x.dtype)
    ends = (reach, reach, 0, 0) if across else (0, 0, reach, reach)
    return F.conv2d(F.pad(x, ends, mode="reflect"), kernel.view(1, 1, 1, -1) if across else kernel.view(1, 1, -1, 1))
