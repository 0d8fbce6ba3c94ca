"""3×3 convolutions compiled for the CPU by numba, after Winograd: a quarter of the products, taken in cache.

Shapes: N images, H W pixels, C channels in, O out; maps channels_last. A tile of 4×4 output pixels is

    Aᵀ [ (G w Gᵀ) · (Bᵀ d B) ] A      d: the 6×6 input pixels it depends on, w: the kernel, [·]: 36 products C×O

with the matrices of Toom and Cook. Each thread takes a block of tiles through all three steps, so that between
them nothing leaves its cache. In float32 that errs about 3 times as much as a direct convolution; in bfloat16,
where the factors of the products are rounded, 5 times (docs/lab/performance.md says what that does to pictures).
"""

from functools import lru_cache
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.ops.conv import UpConv
from edvr_cli.ops.cpu.deform_conv import _workers
from edvr_cli.ops.cpu.jit_cache import jit
from edvr_cli.ops.cpu.llvm_values import LANES
from edvr_cli.ops.cpu.matmul import chunk, flat, pack, product, takes_bfloat16
from edvr_cli.ops.cpu.simd import PATCH, POINTS, TILE, VECTORS, input_transform, output_transform

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
    """A 3×3 convolution with stride 1 and padding 1 on maps of float32 or bfloat16, without backward.

    In the place of a ``Conv`` or ``UpConv`` it fuses what they do after the convolution.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weight, bias = conv.weight.detach(), conv.bias
        O, C = weight.shape[:2]
        bias = torch.zeros(O) if bias is None else bias.detach().float()
        self.channels = O, C
        self.narrow = weight.dtype == torch.bfloat16 and takes_bfloat16()
        self.shuffles = isinstance(conv, UpConv)
        if self._shuffles_vectors():  # then the outputs of one of the four pixels lie together
            weight, bias = (t.unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1) for t in (weight, bias))
        self._weight = _transformed(weight, self.narrow)
        self._bias = F.pad(bias, (0, -O % LANES)).numpy()

    def forward(self, x: Tensor, negative_slope: float = 1.0, add: Tensor | None = None) -> Tensor:
        """The definition's: x (N, C, H, W) → (N, O, H, W), or (N, O/4, 2H, 2W), of the same type.

        The memory is channels_last, filled up to whole vectors of channels. There is no ``add`` to an UpConv.
        """
        N, C, H, W = x.shape
        O = self.channels[0]
        assert add is None or (O % LANES == 0 and not self.shuffles)
        finer = 2 if self._shuffles_vectors() else 1
        outputs = O // finer**2
        whole = torch.empty(
            (N, -(-outputs // LANES) * LANES, H * finer, W * finer), dtype=x.dtype, memory_format=torch.channels_last
        )
        if add is not None and add.shape[0] not in (1, N):
            add = add.repeat(N // add.shape[0], 1, 1, 1)
        zeros = x.new_zeros(LANES)
        source, source_strides = _memory(x)
        target, target_strides = _memory(whole)
        added, added_strides = (flat(zeros), (0, 0, 0)) if add is None else _memory(add)
        layout = H, W, C, outputs, finer
        strides = source_strides, target_strides, added_strides
        tiles = N * -(-H // TILE) * -(-W // TILE)
        blocks = -(-tiles // _BLOCK)
        tickets = count()  # next() of it is one step that threads cannot interrupt

        def work() -> None:
            entered = np.empty(PATCH**2 * _BLOCK * C, np.uint16 if self.narrow else np.float32)
            products = np.empty(PATCH**2 * _BLOCK * _CHUNK, np.float32)
            border = np.empty(PATCH**2 * C + 2 * TILE**2 * LANES, source.dtype)
            while (block := next(tickets)) < blocks:
                _convolve(
                    source,
                    added,
                    target,
                    (block * _BLOCK, min(tiles, (block + 1) * _BLOCK)),
                    layout,
                    strides,
                    self._weight,
                    self._bias,
                    np.float32(negative_slope),
                    entered,
                    products,
                    border,
                )

        threads = torch.get_num_threads()
        if threads == 1 or blocks == 1:
            work()
        else:
            for future in [_workers(threads).submit(work) for _ in range(threads)]:
                future.result()
        y = whole[:, :outputs]
        return F.pixel_shuffle(y, 2) if self.shuffles and finer == 1 else y

    def _shuffles_vectors(self) -> bool:
        """Whether pixels are shuffled when they are written: whole vectors go to the same pixel."""
        return self.shuffles and self.channels[0] % (4 * LANES) == 0


def _memory(maps: Tensor) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The memory of (N, C, H, W), its channels side by side, and the strides to the next image, row and pixel."""
    if maps.stride(1) != 1:
        maps = maps.contiguous(memory_format=torch.channels_last)
    N, C, H, W = maps.shape
    image, _, row, pixel = maps.stride()
    if N == 1:
        image = 0
    extent = (N - 1) * image + (H - 1) * row + (W - 1) * pixel + C
    return flat(maps.as_strided((extent,), (1,))), (image, row, pixel)


@jit(nogil=True, error_model="numpy")
def _convolve(x, add, y, span, layout, strides, weight, bias, slope, entered, products, border):  # type: ignore[no-untyped-def]
    """Fill the tiles ``span`` (from, to) of y. entered, products and border are scratch.

    Tiles are counted through rows and images. A tile that the image's edge cuts reads and writes by way of
    ``border``, where its patch can be filled up with zeros.
    """
    H, W, C, O, finer = layout
    (x_image, x_row, x_pixel), (y_image, y_row, y_pixel), (add_image, add_row, add_pixel) = strides
    adds = add_pixel > 0
    down, across = (H + TILE - 1) // TILE, (W + TILE - 1) // TILE
    first, tiles = span[0], span[1] - span[0]
    entered_plane = _BLOCK * C
    for t in range(tiles):
        row, column = (first + t) // across, (first + t) % across
        top, left = row % down * TILE - 1, column * TILE - 1
        corner = row // down * x_image + top * x_row + left * x_pixel
        if top >= 0 and left >= 0 and top + PATCH <= H and left + PATCH <= W:
            for c in range(0, C, LANES):
                input_transform(x, corner + c, x_row, x_pixel, entered, t * C + c, entered_plane)
            continue
        border[: PATCH * PATCH * C] = 0
        for r in range(max(0, -top), min(PATCH, H - top)):
            for q in range(max(0, -left), min(PATCH, W - left)):
                pixel = corner + r * x_row + q * x_pixel
                border[(r * PATCH + q) * C : (r * PATCH + q + 1) * C] = x[pixel : pixel + C]
        for c in range(0, C, LANES):
            input_transform(border, c, PATCH * C, C, entered, t * C + c, entered_plane)

    spill, spill_add = PATCH * PATCH * C, PATCH * PATCH * C + TILE * TILE * LANES
    spill_row = TILE * LANES
    for number in range((O * finer * finer + _CHUNK - 1) // _CHUNK):
        start, stop = chunk(O * finer * finer, number)
        width = stop - start
        plane = _BLOCK * width
        for f in range(PATCH * PATCH):
            factors = PATCH * PATCH * C * start + f * C * width
            product(entered, f * entered_plane, tiles, C, weight, factors, width, products, f * plane)
        for t in range(tiles):
            row, column = (first + t) // across, (first + t) % across
            top, left = row % down * TILE, column * TILE
            corner = row // down * y_image + top * finer * y_row + left * finer * y_pixel
            add_corner = row // down * add_image + top * add_row + left * add_pixel
            rows, columns = min(TILE, H - top), min(TILE, W - left)
            for c in range(start, stop, LANES):
                i = t * width + c - start
                part = c // O if finer == 2 else 0
                o = corner + part // 2 * y_row + part % 2 * y_pixel + c - part * O
                y_down, y_right = finer * y_row, finer * y_pixel
                a = add_corner + c if adds else 0
                if rows == TILE and columns == TILE:
                    output_transform(
                        products, i, plane, bias, c, add, a, add_row, add_pixel, slope, y, o, y_down, y_right
                    )  # fmt: skip
                    continue
                border[spill_add : spill_add + TILE * TILE * LANES] = 0
                if adds:
                    for r in range(rows):
                        for q in range(columns):
                            pixel, cell = a + r * add_row + q * add_pixel, spill_add + r * spill_row + q * LANES
                            border[cell : cell + LANES] = add[pixel : pixel + LANES]
                output_transform(
                    products, i, plane, bias, c, border, spill_add, spill_row, LANES, slope,
                    border, spill, spill_row, LANES,
                )  # fmt: skip
                for r in range(rows):
                    for q in range(columns):
                        pixel, cell = o + r * y_down + q * y_right, spill + r * spill_row + q * LANES
                        y[pixel : pixel + LANES] = border[cell : cell + LANES]


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
