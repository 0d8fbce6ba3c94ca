"""The deformable convolution as one fused GPU kernel in Triton: sample, mask, multiply, bias, LeakyReLU.

The features are first brought together by group, whose samples then lie close to each other. The rest is an
implicit GEMM: every program takes a run of pixels and, a chunk of columns at a time, samples them into registers and
multiplies them at once; the columns (K times the feature map) never reach memory. Products accumulate in float32,
coordinates and interpolation are float32 at every precision. ``docs/kernel.md`` has the reasons behind the layout.
The contract and the plain twin are in ``deform_conv``.

A *pair* is one tap of one deformable group: what shares an offset and a mask value.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = [
    "Products",
    "Tiles",
    "choose_tiles",
    "deform_conv2d_packed_triton",
    "deform_conv2d_triton",
    "products_of_torch",
    "tiles_on",
]

Products = Literal["ieee", "tf32"]
"""How float32 values are multiplied: exactly, or on tensor cores with 10-bit mantissas."""


@dataclass(frozen=True)
class Tiles:
    """How the work is cut; the sizes are powers of two, and at least 16."""

    pixels: int  # of a program
    columns: int  # gathered and multiplied at once: pairs × channels of a group
    outputs: int  # channels of a program; the programs for the rest of O gather everything again
    warps: int
    stages: int  # of software pipelining; 1 is none
    taps_first: bool = False  # go through the groups of one tap, then the next tap; else the taps of a group


def deform_conv2d_triton(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    products: Products | None = None,
    tiles: Tiles | None = None,
) -> Tensor:
    """:func:`~edvr_cli.ops.deform_conv.deform_conv2d` on a GPU, without backward.

    x float16, bfloat16 or float32, and weight cast to that; the others any of them, as offset and mask are
    used in float32. Fastest where all are channels_last already, as the output is. ``products`` matters for
    float32 alone; by default it is what torch is set to do in convolutions. ``tiles`` are for measuring.
    Raises ValueError on an x of another type.
    """
    return _launch(x, _pixels_first(offset), _pixels_first(mask), weight, bias, 1.0, products, tiles, packed=False)


def deform_conv2d_packed_triton(
    x: Tensor,
    packed: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    negative_slope: float = 1.0,
    *,
    products: Products | None = None,
    tiles: Tiles | None = None,
) -> Tensor:
    """:func:`~edvr_cli.ops.deform_conv.deform_conv2d_packed` on a GPU, without backward.

    Types, layout and options as in :func:`deform_conv2d_triton`.
    """
    pixels = _pixels_first(packed)
    split = packed.shape[1] // 3 * 2
    offset, mask = pixels[..., :split], pixels[..., split:]
    return _launch(x, offset, mask, weight, bias, negative_slope, products, tiles, packed=True)


def choose_tiles(
    pixels: int, outputs: int, itemsize: int, group: int = 8, capability: tuple[int, int] = (8, 0)
) -> Tiles:
    """Tiles for a map of so many ``pixels`` (over the batch), O, bytes an element, and channels of a ``group``.

    The fastest of those that were measured on an H100 (``benchmarks.gpu_drill``, its part ``sweep``). 64 columns
    of 16 pixels per warp are 32 float32 values per thread, next to an accumulator of as many or twice as many: what
    fits the registers. A small map needs small tiles to occupy the device.
    """
    narrow = group < 8
    columns = 32 if itemsize == 4 or narrow else 64
    shape = min(128, max(16, triton.next_power_of_2(outputs)))
    if pixels < 32768 or (capability[0] == 10 and narrow):
        # Triton 3.6 fails to compile 64 pixels for B200, whose tensor cores take no fewer, where groups are narrow.
        return Tiles(32, 32 if itemsize == 4 else 64, shape, warps=4, stages=1)
    if itemsize == 4 or narrow:
        return Tiles(32 if itemsize == 4 and shape == 128 else 64, columns, shape, warps=4, stages=1)
    # 128 outputs of 128 pixels leave one program per multiprocessor: faster on an H100, which alone was measured.
    return Tiles(128 if shape < 128 or capability[0] == 9 else 64, columns, shape, warps=8, stages=1)


def tiles_on(device: torch.device, pixels: int, weight: Tensor, groups: int) -> Tiles:
    """:func:`choose_tiles` for a map of so many ``pixels`` on ``device``, by the type and shape of ``weight``."""
    O, C = weight.shape[:2]
    return choose_tiles(pixels, O, weight.element_size(), C // groups, _capability(device))


@lru_cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (8, 0)


def grouped(x: Tensor, G: int) -> Tensor:
    """(N, C, H, W) as a contiguous (N, G, H, W, C / G): neighboring samples of a group share a cache line."""
    N, C, H, W = x.shape
    if G == 1:
        return _pixels_first(x)
    if not x.is_contiguous(memory_format=torch.channels_last):
        return x.reshape(N, G, C // G, H, W).permute(0, 1, 3, 4, 2).contiguous()
    y = torch.empty((N, G, H, W, C // G), dtype=x.dtype, device=x.device)
    block = 2048
    _group_kernel[(triton.cdiv(C * H * W, block), N)](
        x,
        y,
        H * W,
        C=C,
        GROUP=C // G,
        VECTOR=gcd(C // G, 16 // x.element_size()),
        WIDE=_needs_wide_index(H * W, C, C, 0),
        BLOCK=block,
        num_warps=4,
        enable_fp_fusion=True,
    )
    return y


def _pixels_first(maps: Tensor) -> Tensor:
    """(N, C, H, W) as a contiguous (N, H, W, C): a view where the memory is channels_last already."""
    return maps.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)


def _launch(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    negative_slope: float,
    products: Products | None,
    tiles: Tiles | None,
    *,
    packed: bool,
) -> Tensor:
    N, C, H, W = x.shape
    O, _, k, _ = weight.shape
    pairs = mask.shape[-1]
    G = pairs // k**2
    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise ValueError(f"expected float16, bfloat16 or float32, got {x.dtype}")
    y = torch.empty((N, O, H, W), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    if y.numel() == 0:
        return y
    weight = weight.to(x.dtype).contiguous(memory_format=torch.channels_last)
    tiles = tiles or tiles_on(x.device, N * H * W, weight, G)
    # What a thread loads at once, 16 bytes at best. More would make several threads repeat a pair's coordinates.
    channels = gcd(C // G, 16 // x.element_size())
    # Triton launches on the current device, whichever its tensors are on.
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        _deform_kernel[(N * triton.cdiv(H * W, tiles.pixels), triton.cdiv(O, tiles.outputs))](
            grouped(x, G),
            offset,
            mask,
            weight,
            bias,
            y,
            H,
            W,
            negative_slope,
            C=C,
            O=O,
            G=G,
            KERNEL=k,
            OFFSET_STRIDE=(3 if packed else 2) * pairs,
            MASK_STRIDE=(3 if packed else 1) * pairs,
            HAS_BIAS=bias is not None,
            MASK_IS_LOGIT=packed,
            WIDE=_needs_wide_index(H * W, C, O, pairs),
            TAPS_FIRST=tiles.taps_first,
            PRODUCTS=products or products_of_torch(),
            PIXELS=tiles.pixels,
            PAIRS=tiles.columns // channels,
            CHANNELS=channels,
            OUTPUTS=tiles.outputs,
            num_warps=tiles.warps,
            num_stages=tiles.stages,
            enable_fp_fusion=True,
        )
    return y


def products_of_torch() -> Products:
    """How torch multiplies float32 values in convolutions on the GPU at present."""
    cudnn = torch.backends.cudnn
    # Torch 2.9 renamed the setting, and raises where the old name is asked for after the new one was set.
    if hasattr(cudnn, "conv"):
        return "tf32" if cudnn.conv.fp32_precision == "tf32" else "ieee"
    return "tf32" if cudnn.allow_tf32 else "ieee"


def _needs_wide_index(pixels: int, C: int, O: int, pairs: int) -> bool:
    """Whether an element of one image's maps can lie beyond a 32-bit index."""
    return pixels * max(C, O, 3 * pairs) >= 2**31


@triton.jit(do_not_specialize=["pixels"])
def _group_kernel(  # type: ignore[no-untyped-def]
    # pointers: x (N, pixels, G, C / G), y (N, G, pixels, C / G)
    x,
    y,
    pixels,
    C: tl.constexpr,
    GROUP: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """BLOCK values of one image: what y has in a row, read from x in runs of a group's channels."""
    image = tl.program_id(1).to(tl.int64) * pixels * C
    block = tl.program_id(0)
    if WIDE:
        block = block.to(tl.int64)
        pixels = pixels.to(tl.int64)
    place = block * BLOCK + tl.arange(0, BLOCK)
    run = place // GROUP
    group = run // pixels
    pixel = run % pixels
    source = pixel * C + group * GROUP + place % GROUP
    source = tl.multiple_of(tl.max_contiguous(source, VECTOR), VECTOR)
    inside = place < (pixels * (C // VECTOR)) * VECTOR
    tl.store(y + image + place, tl.load(x + image + source, mask=inside), mask=inside)


@triton.jit
def _rounded_to_tf32(x):  # type: ignore[no-untyped-def]
    """float32 values with 10 bits of mantissa, the rest zero; infinities and NaN stay what they are."""
    bits = x.to(tl.int32, bitcast=True)
    return tl.where(x == x, ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True), x)  # noqa: PLR0124 (NaN)


@triton.jit(do_not_specialize=["H", "W", "negative_slope"])
def _deform_kernel(  # type: ignore[no-untyped-def]
    # pointers: x (N, G, H, W, C / G), offset (N, H, W, 2·G·K), mask (N, H, W, G·K), weight (O, K, C), bias (O,),
    # y (N, H, W, O); offset and mask may be parts of a wider last dimension
    x,
    offset,
    mask,
    weight,
    bias,
    y,
    # sizes
    H,
    W,
    negative_slope,
    C: tl.constexpr,
    O: tl.constexpr,
    G: tl.constexpr,
    KERNEL: tl.constexpr,
    # strides from pixel to pixel
    OFFSET_STRIDE: tl.constexpr,
    MASK_STRIDE: tl.constexpr,
    # choices
    HAS_BIAS: tl.constexpr,
    MASK_IS_LOGIT: tl.constexpr,
    WIDE: tl.constexpr,
    TAPS_FIRST: tl.constexpr,
    PRODUCTS: tl.constexpr,
    # tiles
    PIXELS: tl.constexpr,
    PAIRS: tl.constexpr,
    CHANNELS: tl.constexpr,
    OUTPUTS: tl.constexpr,
):
    """PIXELS pixels × OUTPUTS channels of y, over all pairs and channels, PAIRS × CHANNELS columns at a time."""
    K: tl.constexpr = KERNEL * KERNEL
    GROUP: tl.constexpr = C // G
    COLUMNS: tl.constexpr = PAIRS * CHANNELS

    blocks = tl.cdiv(H * W, PIXELS)
    block = tl.program_id(0)
    image = (block // blocks).to(tl.int64) * H * W
    x += image * C
    offset += image * OFFSET_STRIDE
    mask += image * MASK_STRIDE
    y += image * O

    place = (block % blocks) * PIXELS + tl.arange(0, PIXELS)
    # Spare lanes repeat the last pixel or pair, cheaper than masked loads. Theirs is not stored, or multiplied
    # by zeros.
    pixel = tl.minimum(place, H * W - 1)
    row = (pixel // W).to(tl.float32)
    column = (pixel % W).to(tl.float32)
    if WIDE:
        pixel = pixel.to(tl.int64)
    out = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    total = tl.zeros((PIXELS, OUTPUTS), dtype=tl.float32)

    for first in range(0, G * K, PAIRS):
        pair = tl.minimum(first + tl.arange(0, PAIRS), G * K - 1)
        if TAPS_FIRST:
            tap = pair // G
            group = pair % G
        else:
            tap = pair % K
            group = pair // K
        stored = group * K + tap

        # Where to sample: (PIXELS, PAIRS), once for all channels of a group.
        displacement = offset + (pixel[:, None] * OFFSET_STRIDE + 2 * stored[None, :])
        dy = tl.load(displacement).to(tl.float32)
        dx = tl.load(displacement + 1).to(tl.float32)
        share = tl.load(mask + (pixel[:, None] * MASK_STRIDE + stored[None, :])).to(tl.float32)
        if MASK_IS_LOGIT:
            share = tl.sigmoid(share)
        at_y = dy + (row[:, None] + (tap // KERNEL - KERNEL // 2)[None, :])
        at_x = dx + (column[:, None] + (tap % KERNEL - KERNEL // 2)[None, :])
        # Also false for NaN, whose address must not be read.
        inside = (at_y > -1) & (at_y < H) & (at_x > -1) & (at_x < W)
        at_y = tl.where(inside, at_y, 0.0)
        at_x = tl.where(inside, at_x, 0.0)
        share = tl.where(inside, share, 0.0)
        top = tl.floor(at_y)
        left = tl.floor(at_x)
        lower = (at_y - top) * share
        upper = share - lower
        right_part = at_x - left
        left_part = 1 - right_part
        top = top.to(tl.int32)
        left = left.to(tl.int32)
        upper = tl.where(top >= 0, upper, 0.0)
        lower = tl.where(top < H - 1, lower, 0.0)
        left_part = tl.where(left >= 0, left_part, 0.0)
        right_part = tl.where(left < W - 1, right_part, 0.0)
        up = tl.maximum(top, 0)
        down = tl.minimum(top + 1, H - 1)
        west = tl.maximum(left, 0)
        east = tl.minimum(left + 1, W - 1)
        plane = group * (H * W)
        if WIDE:
            plane = group.to(tl.int64) * (H * W)
        # Rows of this group's map.
        up = plane[None, :] + up * W
        down = plane[None, :] + down * W

        for start in range(0, GROUP, CHANNELS):
            channel = start + tl.arange(0, CHANNELS)
            source = channel[None, None, :]
            samples = tl.load(x + (((up + west) * GROUP)[:, :, None] + source)) * (upper * left_part)[:, :, None]
            samples += tl.load(x + (((up + east) * GROUP)[:, :, None] + source)) * (upper * right_part)[:, :, None]
            samples += tl.load(x + (((down + west) * GROUP)[:, :, None] + source)) * (lower * left_part)[:, :, None]
            samples += tl.load(x + (((down + east) * GROUP)[:, :, None] + source)) * (lower * right_part)[:, :, None]
            columns = tl.reshape(samples.to(x.dtype.element_ty), (PIXELS, COLUMNS))

            row_pair = first + tl.arange(0, COLUMNS) // CHANNELS
            row_channel = start + tl.arange(0, COLUMNS) % CHANNELS
            if TAPS_FIRST:
                row_tap = row_pair // G
                row_group = row_pair % G
            else:
                row_tap = row_pair % K
                row_group = row_pair // K
            factor = tl.load(
                weight + ((row_tap * C + row_group * GROUP + row_channel)[:, None] + out[None, :] * (K * C)),
                mask=(row_pair < G * K)[:, None] & (out < O)[None, :],
                other=0.0,
            )
            if PRODUCTS == "tf32":
                # The hardware cuts the bits off that TF32 lacks: twice the error of rounding them.
                columns = _rounded_to_tf32(columns)
                factor = _rounded_to_tf32(factor)
            total = tl.dot(columns, factor, total, input_precision=PRODUCTS)

    if HAS_BIAS:
        total += tl.load(bias + out, mask=out < O, other=0.0).to(tl.float32)[None, :]
    total = tl.where(total > 0, total, total * negative_slope)
    if WIDE:
        place = place.to(tl.int64)
    tl.store(
        y + (place[:, None] * O + out[None, :]),
        total.to(y.dtype.element_ty),
        mask=(place < H * W)[:, None] & (out < O)[None, :],
    )
