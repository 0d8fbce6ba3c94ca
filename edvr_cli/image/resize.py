"""Resampling like MATLAB's ``imresize``, with which the benchmarks' small frames are made.

Shapes: H W pixels of the input, h w of the output, n and m the lengths of one axis before and after.

Each axis is one multiplication by a banded matrix. The matrix is cut into blocks of output positions, each
with the short range of inputs it reads, so that a pass is a few dense products at the speed of a matmul
instead of strided gathers. Edges are mirrored by adding the weights of mirrored taps to the pixels they fall
on: no padding.
"""

import math
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

__all__ = ["Kernel", "benchmark_lr", "resize"]

Kernel = Literal["bicubic", "lanczos", "area"]
_REACH = {"bicubic": 2.0, "lanczos": 3.0}  # half the support of each kernel, in pixels
_BLOCK = 64  # output positions in a block: measured best of 16 to 256 for ×1/2, 5120×2880


def resize(x: Tensor, shape: tuple[int, int], kernel: Kernel = "bicubic", *, antialias: bool = True) -> Tensor:
    """Resample the last two axes of ``x`` to ``shape``.

    x (..., H, W), any floating dtype and range, any device; shape (h, w). Returns (..., h, w) of the same
    dtype (half precisions are computed in float32), not clamped: bicubic and Lanczos overshoot at edges.
    Conventions are ``imresize``'s: pixel centers, mirrored edges, bicubic a = −0.5, Lanczos with 3 lobes, the
    kernel widened by the scale when shrinking (unless ``antialias`` is False), the axis that shrinks more
    first, rows before columns. ``area`` weighs each input pixel by its overlap with the output pixel
    (``antialias`` means nothing to it), which is ``imresize``'s box where the ratio is whole. Raises
    ValueError on an empty shape, an integer tensor or an unknown kernel.
    """
    given, (h, w) = tuple(x.shape), shape
    if len(given) < 2 or min(h, w, *given[-2:]) < 1 or not x.is_floating_point():
        raise ValueError(f"expected a floating tensor (..., H, W) and a positive shape, got {x.dtype} {given}, {shape}")
    if kernel not in get_args(Kernel):
        raise ValueError(f"kernel must be one of {', '.join(get_args(Kernel))}, got {kernel!r}")
    H, W = given[-2:]
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    y = x.to(dtype)
    for rows in (True, False) if h / H <= w / W else (False, True):
        n, m = (H, h) if rows else (W, w)
        if n != m:
            blocks = _blocks(n, m, kernel, antialias, like=(dtype, x.device))
            y = _rows(y, m, blocks) if rows else _columns(y, m, blocks)
    return y.to(x.dtype)


def benchmark_lr(truth: Tensor, *, scale: int = 4, round_between: bool = False) -> Tensor:
    """The low-resolution frames of the super-resolution benchmarks, exact to the last bit.

    truth (..., H, W) uint8, H and W multiples of ``scale``. Returns (..., H / scale, W / scale) uint8:
    bicubic with antialiasing, rounded once at the end (Vid4), or after the vertical pass as well
    (``round_between``: REDS). Raises ValueError on other dtypes or sizes.
    """
    shape = tuple(truth.shape)
    if truth.dtype != torch.uint8 or len(shape) < 2 or shape[-2] % scale or shape[-1] % scale:
        raise ValueError(f"expected uint8 frames with sides that {scale} divides, got {truth.dtype} {shape}")
    h, w = shape[-2] // scale, shape[-1] // scale
    if round_between:
        return _round(resize(_round(resize(truth.double(), (h, shape[-1]))).double(), (h, w)))
    return _round(resize(truth.double(), (h, w)))


def _round(x: Tensor) -> Tensor:
    """To uint8, halves away from zero: with these weights exact halves do occur."""
    return (x + 0.5).floor().clamp(0, 255).to(torch.uint8)


class _Block(NamedTuple):
    start: int  # first output position
    first: int  # first input position read
    weights: Tensor  # (outputs, inputs)


def _rows(x: Tensor, m: int, blocks: tuple[_Block, ...]) -> Tensor:
    y = x.new_empty(*x.shape[:-2], m, x.shape[-1])
    for start, first, weights in blocks:
        outputs, inputs = weights.shape
        y[..., start : start + outputs, :] = weights @ x[..., first : first + inputs, :]
    return y


def _columns(x: Tensor, m: int, blocks: tuple[_Block, ...]) -> Tensor:
    y = x.new_empty(*x.shape[:-1], m)
    for start, first, weights in blocks:
        outputs, inputs = weights.shape
        y[..., start : start + outputs] = x[..., first : first + inputs] @ weights.T
    return y


@lru_cache(maxsize=64)
def _blocks(
    n: int, m: int, kernel: Kernel, antialias: bool, *, like: tuple[torch.dtype, torch.device]
) -> tuple[_Block, ...]:
    dtype, device = like
    position, weight = _taps(n, m, kernel, antialias)
    blocks = []
    for start in range(0, m, _BLOCK):
        p, w = position[start : start + _BLOCK], weight[start : start + _BLOCK]
        first, last = int(p.min()), int(p.max())
        dense = torch.zeros(len(p), last + 1 - first, dtype=torch.float64)
        dense.scatter_add_(1, p - first, w)
        blocks.append(_Block(start, first, dense.to(device, dtype)))
    return tuple(blocks)


def _taps(n: int, m: int, kernel: Kernel, antialias: bool) -> tuple[Tensor, Tensor]:
    """Input positions and weights of each output, both (m, taps); weights sum to one."""
    scale = m / n
    stretch = max(1.0, 1 / scale) if antialias else 1.0
    center = (torch.arange(m, dtype=torch.float64) + 0.5) / scale - 0.5
    # Area: the output pixel is 1 / scale wide, the input pixel 1; they overlap up to half the sum apart.
    reach = (1 / scale + 1) / 2 if kernel == "area" else _REACH[kernel] * stretch
    taps = math.ceil(2 * reach) + 2
    position = (center - reach).floor().long().view(m, 1) + torch.arange(taps)
    distance = center.view(m, 1) - position
    if kernel == "area":
        weight = (reach - distance.abs()).clamp(0, min(1 / scale, 1))
    else:
        weight = _CURVES[kernel](distance / stretch)
    weight = weight / weight.sum(dim=1, keepdim=True)
    mirrored = position % (2 * n)
    return torch.where(mirrored < n, mirrored, 2 * n - 1 - mirrored), weight


def _bicubic(x: Tensor) -> Tensor:
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, torch.zeros_like(x)))


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


_CURVES = {"bicubic": _bicubic, "lanczos": _lanczos}
