"""PSNR and SSIM as the super-resolution literature publishes them: 8-bit values, no border cropped.

Shapes: N images, C channels, H W pixels. Values are on the 8-bit scale, 0 to 255, in any dtype; all is
computed in float64. Each function returns one value per image; the published numbers are means over frames,
then clips.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Figures", "figures", "luma", "psnr", "ssim"]

_PEAK = 255.0
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2


class Figures(NamedTuple):
    """What is published of one image: PSNR in dB and SSIM, of RGB and of MATLAB's luma."""

    psnr: float
    ssim: float
    psnr_y: float
    ssim_y: float


def figures(image: Tensor, truth: Tensor) -> Figures:
    """The published figures of one RGB image (3, H, W), 0 to 255. Raises ValueError where the shapes differ."""
    a, b = image[None].double(), truth[None].double()
    return Figures(*(float(metric(*pair)) for pair in ((a, b), (luma(a), luma(b))) for metric in (psnr, ssim)))


def luma(rgb: Tensor) -> Tensor:
    """MATLAB's ``rgb2ycbcr`` luma, which Y-PSNR and Y-SSIM are computed on: 16 to 235, not rounded.

    rgb (..., 3, H, W), 0 to 255. Returns (..., 1, H, W) float64. Raises ValueError on other shapes.
    """
    if rgb.dim() < 3 or rgb.shape[-3] != 3:
        raise ValueError(f"expected RGB (..., 3, H, W), got {tuple(rgb.shape)}")
    r, g, b = rgb.double().unbind(-3)
    return (16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255).unsqueeze(-3)


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB of each image, over all its channels; infinite where they are equal.

    image, truth (N, C, H, W), 0 to 255. Returns (N,) float64. Raises ValueError where the shapes differ.
    """
    _check(image, truth)
    error = (image.double() - truth.double()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(_PEAK**2 / error)


def ssim(image: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al., 2004), the mean over its channels and positions.

    An 11×11 Gaussian window of σ 1.5, only where it lies inside the image. image, truth (N, C, H, W), 0 to
    255, H and W at least 11. Returns (N,) float64. Raises ValueError on other shapes.
    """
    _check(image, truth)
    N, C, H, W = image.shape
    if min(H, W) < _WINDOW:
        raise ValueError(f"SSIM needs images of at least {_WINDOW}×{_WINDOW} pixels, got {tuple(image.shape)}")
    x, y = (t.double().flatten(0, 1).unsqueeze(1) for t in (image, truth))
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = _blur(torch.cat((x, y, x * x, y * y, x * y))).chunk(5)
    variance_x, variance_y = mean_xx - mean_x**2, mean_yy - mean_y**2
    covariance = mean_xy - mean_x * mean_y
    score = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    score = score / ((mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2))
    return score.unflatten(0, (N, C)).mean(dim=(1, 2, 3, 4))


def _check(image: Tensor, truth: Tensor) -> None:
    if image.dim() != 4 or image.shape != truth.shape:
        raise ValueError(f"expected two (N, C, H, W) of one shape, got {tuple(image.shape)}, {tuple(truth.shape)}")


def _blur(x: Tensor) -> Tensor:
    distance = torch.arange(_WINDOW, dtype=torch.float64, device=x.device) - _WINDOW // 2
    window = torch.exp(-(distance**2) / (2 * _SIGMA**2))
    window = window / window.sum()
    return F.conv2d(F.conv2d(x, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
