"""What follows a convolution, in one GPU kernel in Triton: bias, another map added, LeakyReLU.

torch launches a kernel for each of the three, and each reads and writes the whole map. The definition is
``conv._finished``. Values are added in float32 and rounded once.
"""

from math import gcd

import torch
import triton
import triton.language as tl
from torch import Tensor

from edvr_cli.ops.triton.devices import on_device_of

__all__ = ["epilogue_triton"]

_BLOCK = 2048  # values per program: 16 per thread of four warps


def epilogue_triton(
    x: Tensor, bias: Tensor | None, add: Tensor | None, negative_slope: float, *, in_place: bool = True
) -> Tensor:
    """LeakyReLU of x + bias + add, without backward.

    x (N, C, H, W) and add (M, C, H, W) are channels_last, and M divides N: the images of ``add`` are repeated in
    turn. bias (C,). Returns ``x`` itself where ``in_place``, else a new map.
    """
    N, C, H, W = x.shape
    y = x if in_place else torch.empty_like(x)
    plane = C * H * W
    if x.numel() == 0:
        return y
    vector = gcd(C, 16)
    with on_device_of(x):
        _epilogue_kernel[(triton.cdiv(plane, _BLOCK), N)](
            x,
            bias,
            add,
            y,
            plane // vector,
            1 if add is None else add.shape[0],
            negative_slope,
            C=C,
            VECTOR=vector,
            HAS_BIAS=bias is not None,
            ADDS=add is not None,
            WIDE=_needs_wide_index(x),
            BLOCK=_BLOCK,
            num_warps=4,
            enable_fp_fusion=True,
        )
    return y


def _needs_wide_index(x: Tensor) -> bool:
    """Whether a value can lie beyond a 32-bit index."""
    return x.numel() >= 2**31


@triton.jit(do_not_specialize=["vectors", "added", "negative_slope"])
def _epilogue_kernel(  # type: ignore[no-untyped-def]
    # pointers: x, y (N, H, W, C), bias (C,), add (M, H, W, C)
    x,
    bias,
    add,
    y,
    # sizes
    vectors,
    added,
    negative_slope,
    C: tl.constexpr,
    VECTOR: tl.constexpr,
    # choices
    HAS_BIAS: tl.constexpr,
    ADDS: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """BLOCK values of one image; an image has ``vectors`` × VECTOR of them."""
    image = tl.program_id(1)
    source = image % added
    block = tl.program_id(0)
    # As a product with VECTOR, so that the compiler knows what divides it and loads whole vectors.
    plane = vectors * VECTOR
    if WIDE:
        image = image.to(tl.int64)
        source = source.to(tl.int64)
        block = block.to(tl.int64)
        plane = vectors.to(tl.int64) * VECTOR
    place = block * BLOCK + tl.arange(0, BLOCK)
    inside = place < plane
    value = tl.load(x + image * plane + place, mask=inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        channel = tl.multiple_of(tl.max_contiguous(place % C, VECTOR), VECTOR)
        value += tl.load(bias + channel).to(tl.float32)
    if ADDS:
        value += tl.load(add + source * plane + place, mask=inside, other=0.0).to(tl.float32)
    value = tl.where(value > 0, value, value * negative_slope)
    tl.store(y + image * plane + place, value.to(y.dtype.element_ty), mask=inside)
