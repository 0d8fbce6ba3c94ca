"""What the fusion does between its convolutions, in GPU kernels in Triton.

The definitions are in ``ops.attention``. Sums and products are float32 and rounded once.
"""

from math import gcd

import torch
import triton
import triton.language as tl
from torch import Tensor

from edvr_cli.ops.triton.devices import on_device_of

__all__ = ["gated_triton", "weighed_triton"]

_VALUES = 4096  # of one frame per program: 32 per thread of four warps
_BLOCK = 2048


def weighed_triton(stacked: Tensor, embedded: Tensor, reference: Tensor) -> Tensor:
    """:func:`~edvr_cli.ops.attention.weigh_by_likeness` of channels_last maps of one type; C is a power of two."""
    B, C, H, W = reference.shape
    y = torch.empty_like(stacked)
    pixels = max(1, _VALUES // C)
    with on_device_of(stacked):
        _weigh_kernel[(triton.cdiv(H * W, pixels), B)](
            stacked,
            embedded,
            reference,
            y,
            H * W,
            C=C,
            T=stacked.shape[1] // C,
            WIDE=H * W * stacked.shape[1] >= 2**31,
            PIXELS=pixels,
            num_warps=4,
            enable_fp_fusion=True,
        )
    return y


def gated_triton(x: Tensor, attention: Tensor, added: Tensor) -> Tensor:
    """:func:`~edvr_cli.ops.attention.gate` of channels_last maps of one type."""
    y = torch.empty_like(x)
    vector = gcd(x.shape[1], 16)
    with on_device_of(x):
        _gate_kernel[(triton.cdiv(x.numel(), _BLOCK),)](
            x,
            attention,
            added,
            y,
            x.numel() // vector,
            VECTOR=vector,
            WIDE=x.numel() >= 2**31 - _BLOCK,
            BLOCK=_BLOCK,
            num_warps=4,
            enable_fp_fusion=True,
        )
    return y


@triton.jit(do_not_specialize=["pixels"])
def _weigh_kernel(  # type: ignore[no-untyped-def]
    # pointers: stacked (B, pixels, T, C), embedded (B, T, pixels, C), reference (B, pixels, C), y like stacked
    stacked,
    embedded,
    reference,
    y,
    pixels,
    C: tl.constexpr,
    T: tl.constexpr,
    # choices
    WIDE: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """PIXELS pixels of all frames of a window."""
    window = tl.program_id(1).to(tl.int64) * pixels
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = (pixel < pixels)[:, None]
    if WIDE:
        pixel = pixel.to(tl.int64)
        pixels = pixels.to(tl.int64)
    channel = tl.arange(0, C)[None, :]
    place = pixel[:, None] * C + channel
    likened = tl.load(reference + window * C + place, mask=inside, other=0.0).to(tl.float32)
    for t in range(T):
        embedding = tl.load(embedded + (window * T + t * pixels) * C + place, mask=inside, other=0.0).to(tl.float32)
        share = tl.sigmoid(tl.sum(embedding * likened, axis=1))[:, None]
        frame = window * (T * C) + pixel[:, None] * (T * C) + (t * C + channel)
        value = tl.load(stacked + frame, mask=inside, other=0.0).to(tl.float32) * share
        tl.store(y + frame, value.to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["vectors"])
def _gate_kernel(  # type: ignore[no-untyped-def]
    x,
    attention,
    added,
    y,
    vectors,
    VECTOR: tl.constexpr,
    # choices
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """BLOCK values of maps that have ``vectors`` × VECTOR."""
    block = tl.program_id(0)
    if WIDE:
        block = block.to(tl.int64)
        vectors = vectors.to(tl.int64)
    # As a product, so that the compiler knows what divides it and loads whole vectors.
    count = vectors * VECTOR
    place = block * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    share = 2 * tl.sigmoid(tl.load(attention + place, mask=inside, other=0.0).to(tl.float32))
    value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) * share
    value += tl.load(added + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + place, value.to(y.dtype.element_ty), mask=inside)
