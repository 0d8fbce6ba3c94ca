"""Maps made twice as large, in GPU kernels in Triton that also do what comes before or after.

The definitions are in ``conv`` and ``upsample``.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from edvr_cli.ops.triton.devices import on_device_of

__all__ = ["concat_upsampled_triton", "shuffled_triton"]

_VALUES = 4096  # per program: 32 per thread of four warps


def shuffled_triton(x: Tensor, bias: Tensor | None, negative_slope: float) -> Tensor:
    """Pixel-shuffle by 2 of LeakyReLU of x + bias: (N, 4·O, H, W) → (N, O, 2·H, 2·W), both channels_last.

    O is a power of two.
    """
    N, C, H, W = x.shape
    y = torch.empty((N, C // 4, 2 * H, 2 * W), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    pixels = max(1, _VALUES // C)
    with on_device_of(x):
        _shuffle_kernel[(triton.cdiv(H * W, pixels), N)](
            x,
            bias,
            y,
            H,
            W,
            negative_slope,
            O=C // 4,
            HAS_BIAS=bias is not None,
            WIDE=H * W * C >= 2**31,
            PIXELS=pixels,
            num_warps=4,
            enable_fp_fusion=True,
        )
    return y


def concat_upsampled_triton(a: Tensor, b: Tensor, factor: float) -> Tensor:
    """cat(a, factor · b twice as large, bilinear): (N, A, 2·h, 2·w) and (N, B, h, w), channels_last as the result.

    A and B are powers of two.
    """
    N, A, H, W = a.shape
    B = b.shape[1]
    y = torch.empty((N, A + B, H, W), dtype=a.dtype, device=a.device, memory_format=torch.channels_last)
    pixels = max(1, _VALUES // 2 // max(A, B))
    with on_device_of(a):
        _concat_kernel[(triton.cdiv(H * W, pixels), N)](
            a,
            b,
            y,
            H,
            W,
            factor,
            A=A,
            B=B,
            WIDE=H * W * (A + B) >= 2**31,
            PIXELS=pixels,
            num_warps=4,
            enable_fp_fusion=True,
        )
    return y


@triton.jit(do_not_specialize=["H", "W", "negative_slope"])
def _shuffle_kernel(  # type: ignore[no-untyped-def]
    # pointers: x (N, H, W, O, 2, 2), bias (O, 2, 2), y (N, 2·H, 2·W, O)
    x,
    bias,
    y,
    # sizes
    H,
    W,
    negative_slope,
    O: tl.constexpr,
    # choices
    HAS_BIAS: tl.constexpr,
    WIDE: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """PIXELS pixels of x, each four pixels of y."""
    image = tl.program_id(1).to(tl.int64) * H * W * (4 * O)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = (pixel < H * W)[:, None]
    row = pixel // W
    column = pixel % W
    if WIDE:
        pixel = pixel.to(tl.int64)
        row = row.to(tl.int64)
    channel = tl.arange(0, 4 * O)[None, :]
    value = tl.load(x + image + pixel[:, None] * (4 * O) + channel, mask=inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        value += tl.load(bias + channel).to(tl.float32)
    value = tl.where(value > 0, value, value * negative_slope).to(y.dtype.element_ty)
    left, right = tl.split(tl.reshape(value, (PIXELS, O, 2, 2)))
    top_left, bottom_left = tl.split(left)
    top_right, bottom_right = tl.split(right)
    target = y + image + ((row * 4 * W + column * 2) * O)[:, None] + tl.arange(0, O)[None, :]
    tl.store(target, top_left, mask=inside)
    tl.store(target + O, top_right, mask=inside)
    tl.store(target + 2 * W * O, bottom_left, mask=inside)
    tl.store(target + 2 * W * O + O, bottom_right, mask=inside)


@triton.jit(do_not_specialize=["H", "W", "factor"])
def _concat_kernel(  # type: ignore[no-untyped-def]
    # pointers: a (N, H, W, A), b (N, H / 2, W / 2, B), y (N, H, W, A + B)
    a,
    b,
    y,
    # sizes
    H,
    W,
    factor,
    A: tl.constexpr,
    B: tl.constexpr,
    # choices
    WIDE: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """PIXELS pixels of y."""
    image = tl.program_id(1).to(tl.int64) * H * W
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = (pixel < H * W)[:, None]
    # Centers of pixels lie on each other's; beyond the border the nearest value is taken.
    at_y = tl.maximum((pixel // W).to(tl.float32) * 0.5 - 0.25, 0.0)
    at_x = tl.maximum((pixel % W).to(tl.float32) * 0.5 - 0.25, 0.0)
    top = tl.floor(at_y).to(tl.int32)
    left = tl.floor(at_x).to(tl.int32)
    lower = (at_y - top.to(tl.float32))[:, None]
    right = (at_x - left.to(tl.float32))[:, None]
    if WIDE:
        pixel = pixel.to(tl.int64)
        top = top.to(tl.int64)
    step_down = tl.where(top < H // 2 - 1, W // 2, 0) * B
    step_right = tl.where(left < W // 2 - 1, B, 0)
    target = y + image * (A + B) + (pixel * (A + B))[:, None]

    channel = tl.arange(0, A)[None, :]
    tl.store(target + channel, tl.load(a + image * A + (pixel * A)[:, None] + channel, mask=inside), mask=inside)

    channel = tl.arange(0, B)[None, :]
    corner = b + image // 4 * B + ((top * (W // 2) + left) * B)[:, None] + channel
    upper = tl.load(corner, mask=inside).to(tl.float32) * (1 - right)
    upper += tl.load(corner + step_right[:, None], mask=inside).to(tl.float32) * right
    below = corner + step_down[:, None]
    under = tl.load(below, mask=inside).to(tl.float32) * (1 - right)
    under += tl.load(below + step_right[:, None], mask=inside).to(tl.float32) * right
    value = (upper * (1 - lower) + under * lower) * factor
    tl.store(target + A + channel, value.to(y.dtype.element_ty), mask=inside)
