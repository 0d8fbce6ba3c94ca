"""Sharpening."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["sharpened"]


def sharpened(picture: Tensor, amount: float, sigma: float) -> Tensor:
    """An unsharp mask: ``amount`` times the difference to a blurred picture is added.

    picture (C, H, W), any floating dtype; ``sigma`` is the Gaussian's, in pixels. Returns the same shape, not clamped.
    """
    result = torch.empty_like(picture)
    for channel, target in zip(picture.split(1), result.split(1), strict=True):  # one at a time: frames can be large
        blurred = _blurred(_blurred(channel, sigma, axis=1), sigma, axis=2)
        torch.lerp(blurred, channel, 1 + amount, out=target)
    return result


def _blurred(picture: Tensor, sigma: float, *, axis: int) -> Tensor:
    """``picture`` along one axis, mirrored at its ends; a sum of shifted pictures is far faster than a convolution."""
    length = picture.shape[axis]
    reach = min(round(3 * sigma), length - 1)
    weights = [math.exp(-0.5 * (at / sigma) ** 2) for at in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    ends = (0, 0, reach, reach) if axis == 1 else (reach, reach, 0, 0)
    padded = F.pad(picture[None], ends, mode="reflect")[0]
    blurred = picture * (weights[0] / total)
    for at in range(1, reach + 1):
        for start in (reach - at, reach + at):
            blurred.add_(padded.narrow(axis, start, length), alpha=weights[at] / total)
    return blurred
