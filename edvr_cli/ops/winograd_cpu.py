"""3×3 convolutions compiled for the CPU by numba, after Winograd: a quarter of the products, taken in cache.

Shapes: N images, H W pixels, C channels in, O out; maps channels_last. A tile of 4×4 output pixels is

    Aᵀ [ (G w Gᵀ) · (Bᵀ d B) ] A      d: the 6×6 input pixels it depends on, w: the kernel, [·]: 36 products C×O

with the matrices of Toom and Cook. Each thread takes a block of tiles through all three steps, so that between
them nothing leaves its cache. In float32 that errs about 3 times as much as a direct convolution; in bfloat16,
where the factors of the products are rounded, 5 times (docs/performance.md says what that does to pictures).
"""

from functools import lru_cache
from itertools import count

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.ops.deform_conv_cpu import _workers
from edvr_cli.ops.product_cpu import chunk, flat, multiplies_bfloat16, pack, product
from edvr_cli.ops.vectors_cpu import LANES, PATCH, POINTS, TILE, VECTORS, enter, leave

__all__ = ["WinogradConv2d", "winograd"]

_BLOCK = 48  # tiles; between 24 and 84 it makes no difference that could be measured
_CHUNK = VECTORS * LANES  # output channels multiplied at once


def winograd(model: nn.Module) -> None:
    """Replace the 3×3 convolutions below ``model`` that are faster this way on this CPU; without backward."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and _pays(child):
                setattr(parent, name, WinogradConv2d(child))


def _pays(conv: nn.Conv2d) -> bool:
    capabilities = torch.cpu.get_capabilities()
    if not capabilities.get("avx512_f"):
        return False  # the products are blocked for 32 registers of 16 lanes; elsewhere nothing was measured
    if conv.weight.dtype == torch.bfloat16 and capabilities.get("amx_bf16"):
        return False  # such a processor's matrix unit does a direct convolution faster
    geometry = conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups
    return geometry == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and conv.in_channels % LANES == 0


class WinogradConv2d(nn.Module):
    """A 3×3 ``nn.Conv2d`` with stride 1 and padding 1 on maps of float32 or bfloat16, without backward."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        O, C = conv.weight.shape[:2]
        self.channels = O, C
        self.narrow = conv.weight.dtype == torch.bfloat16 and multiplies_bfloat16()
        self._weight = _transformed(conv.weight.detach(), self.narrow)
        bias = torch.zeros(O) if conv.bias is None else conv.bias.detach().float()
        self._bias = F.pad(bias, (0, -O % LANES)).numpy()

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) → (N, O, H, W), channels_last, of the same type."""
        N, C, H, W = x.shape
        O = self.channels[0]
        y = torch.empty((N, O, H, W), dtype=x.dtype, memory_format=torch.channels_last)
        source, target = flat(x.permute(0, 2, 3, 1)), flat(y.permute(0, 2, 3, 1))
        tiles = N * -(-H // TILE) * -(-W // TILE)
        blocks = -(-tiles // _BLOCK)
        tickets = count()  # next() of it is one step that threads cannot interrupt

        def work() -> None:
            entered = np.empty(PATCH**2 * _BLOCK * C, np.uint16 if self.narrow else np.float32)
            products = np.empty(PATCH**2 * _BLOCK * _CHUNK, np.float32)
            border = np.empty(PATCH**2 * C + TILE**2 * _CHUNK, source.dtype)
            while (block := next(tickets)) < blocks:
                span = block * _BLOCK, min(tiles, (block + 1) * _BLOCK)
                _convolve(source, target, span, (H, W, C, O), self._weight, self._bias, entered, products, border)

        threads = torch.get_num_threads()
        if threads == 1 or blocks == 1:
            work()
        else:
            for future in [_workers(threads).submit(work) for _ in range(threads)]:
                future.result()
        return y


@numba.njit(nogil=True, error_model="numpy")
def _convolve(x, y, span, sizes, weight, bias, entered, products, border):  # type: ignore[no-untyped-def]
    """Fill the tiles ``span`` (from, to) of y. entered, products and border are scratch.

    Tiles are counted through rows and images. A tile that the image's edge cuts reads and writes by way of
    ``border``, where its patch can be filled up with zeros.
    """
    H, W, C, O = sizes
    down, across = (H + TILE - 1) // TILE, (W + TILE - 1) // TILE
    first, tiles = span[0], span[1] - span[0]
    entered_plane = _BLOCK * C
    for t in range(tiles):
        row, column = (first + t) // across, (first + t) % across
        image = row // down * H
        top, left = row % down * TILE - 1, column * TILE - 1
        if top >= 0 and left >= 0 and top + PATCH <= H and left + PATCH <= W:
            corner = ((image + top) * W + left) * C
            for c in range(0, C, LANES):
                enter(x, corner + c, W * C, C, entered, t * C + c, entered_plane)
            continue
        border[: PATCH * PATCH * C] = 0
        for r in range(max(0, -top), min(PATCH, H - top)):
            for q in range(max(0, -left), min(PATCH, W - left)):
                pixel = ((image + top + r) * W + left + q) * C
                border[(r * PATCH + q) * C : (r * PATCH + q + 1) * C] = x[pixel : pixel + C]
        for c in range(0, C, LANES):
            enter(border, c, PATCH * C, C, entered, t * C + c, entered_plane)

    spill = PATCH * PATCH * C
    for number in range((O + _CHUNK - 1) // _CHUNK):
        start, stop = chunk(O, number)
        width = stop - start
        plane = _BLOCK * width
        for f in range(PATCH * PATCH):
            factors = PATCH * PATCH * C * start + f * C * width
            product(entered, f * entered_plane, tiles, C, weight, factors, width, products, f * plane)
        for t in range(tiles):
            row, column = (first + t) // across, (first + t) % across
            top, left = row % down * TILE, column * TILE
            corner = (((row // down) * H + top) * W + left) * O + start
            inside = top + TILE <= H and left + TILE <= W
            for c in range(0, width, LANES):
                i = t * width + c
                if inside and start + c + LANES <= O:
                    leave(products, i, plane, bias, start + c, y, corner + c, W * O, O)
                    continue
                leave(products, i, plane, bias, start + c, border, spill, TILE * LANES, LANES)
                for r in range(min(TILE, H - top)):
                    for q in range(min(TILE, W - left)):
                        pixel, cell = corner + c + (r * W + q) * O, spill + (r * TILE + q) * LANES
                        for lane in range(min(LANES, O - start - c)):
                            y[pixel + lane] = border[cell + lane]


def _transformed(weight: Tensor, narrow: bool) -> np.ndarray:
    """G w Gᵀ of (O, C, 3, 3), flat, in the order that ``_convolve`` reads it."""
    O, C = weight.shape[:2]
    into = torch.tensor(_kernel_transform(), dtype=torch.float64)
    products = torch.einsum("ai,ocij,bj->abco", into, weight.double(), into).reshape(PATCH**2, C, O)
    return pack(products, narrow)


@lru_cache
def _kernel_transform() -> list[list[float]]:
    """G: the kernel's polynomial at each point, over what the row of Bᵀ is there."""
    a2, b2 = (p * p for p in POINTS)
    rows = [[1 / (a2 * b2), 0.0, 0.0]]
    for p, other in ((POINTS[0], b2), (POINTS[1], a2)):
        scale = 2 * p * p * (p * p - other)
        rows += [[1 / scale, p / scale, p * p / scale], [1 / scale, -p / scale, p * p / scale]]
    return [*rows, [0.0, 0.0, 1.0]]
