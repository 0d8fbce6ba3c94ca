"""The deformable convolution as one fused GPU kernel in Triton: sample, mask, multiply, bias, LeakyReLU.

The features are first brought together by group, whose samples then lie close to each other. The rest is an
implicit GEMM: every program takes a run of pixels and, a chunk of columns at a time, samples them into registers and
multiplies them at once; the columns (K times the feature map) never reach memory. Products accumulate in float32,
coordinates and interpolation are float32 at every precision. ``docs/lab/kernel.md`` has the reasons behind the layout.
The contract is in :mod:`edvr_cli.ops.deform_conv`, the kernels in :mod:`edvr_cli.ops.triton.deform_kernels`.
"""

from math import gcd

import torch
import triton
from torch import Tensor

from edvr_cli.ops.triton.deform_kernels import deform_kernel, group_kernel
from edvr_cli.ops.triton.devices import on_device_of
from edvr_cli.ops.triton.tiles import Products, Tiles, products_of_torch, tiles_on

__all__ = ["deform_conv2d_packed_triton", "deform_conv2d_triton", "grouped", "pixels_first"]


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
    return _launch(x, pixels_first(offset), pixels_first(mask), weight, bias, 1.0, products, tiles, packed=False)


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
    pixels = pixels_first(packed)
    split = packed.shape[1] // 3 * 2
    offset, mask = pixels[..., :split], pixels[..., split:]
    return _launch(x, offset, mask, weight, bias, negative_slope, products, tiles, packed=True)


def grouped(x: Tensor, G: int) -> Tensor:
    """(N, C, H, W) as a contiguous (N, G, H, W, C / G): neighboring samples of a group share a cache line."""
    N, C, H, W = x.shape
    if G == 1:
        return pixels_first(x)
    if not x.is_contiguous(memory_format=torch.channels_last):
        return x.reshape(N, G, C // G, H, W).permute(0, 1, 3, 4, 2).contiguous()
    y = torch.empty((N, G, H, W, C // G), dtype=x.dtype, device=x.device)
    block = 2048
    group_kernel[(triton.cdiv(C * H * W, block), N)](
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


def pixels_first(maps: Tensor) -> Tensor:
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
    with on_device_of(x):
        deform_kernel[(N * triton.cdiv(H * W, tiles.pixels), triton.cdiv(O, tiles.outputs))](
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
            PRODUCTS=(products or products_of_torch()) if x.dtype == torch.float32 else "ieee",
            PIXELS=tiles.pixels,
            PAIRS=tiles.columns // channels,
            CHANNELS=channels,
            OUTPUTS=tiles.outputs,
            num_warps=tiles.warps,
            num_stages=tiles.stages,
            enable_fp_fusion=True,
        )
    return y


def _needs_wide_index(pixels: int, C: int, O: int, pairs: int) -> bool:
    """Whether an element of one image's maps can lie beyond a 32-bit index."""
    return pixels * max(C, O, 3 * pairs) >= 2**31
