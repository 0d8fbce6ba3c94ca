"""The deformable convolution compiled for the CPU by numba: sample a block into columns, multiply, next block.

The columns (K times the feature map) are never in memory as a whole: every thread fills a block of them that
stays in its L2 cache and multiplies it at once. The contract and the plain twin are in ``deform_conv``.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import count
from threading import Barrier

import numpy as np
import torch
from torch import Tensor

from edvr_cli.ops.cpu.jit_cache import jit
from edvr_cli.ops.cpu.llvm_values import LANES
from edvr_cli.ops.cpu.matmul import chunk, flat, pack, product, takes_bfloat16
from edvr_cli.ops.cpu.simd import ROWS, VECTORS, blend, load_f32, pixel_offset, power_of_two, prefetch, store_f32

__all__ = ["deform_conv2d_compiled", "deform_conv2d_packed_compiled"]

_BLOCK_BYTES = 768 * 1024  # of columns, per thread: measured best between 0.4 and 1.5 MB with 1 MB of L2
# What is asked of memory before it is needed: pixels' offsets and masks, and rows of the map, as far as these stay
# in a core's cache.
_PIXELS_AHEAD, _ROWS_AHEAD, _AHEAD_BYTES = 2, 8, 768 * 1024
_LINE = 16  # float32 values of a cache line
_f4 = np.float32
_i4 = np.int32


def deform_conv2d_compiled(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """:func:`~edvr_cli.ops.deform_conv.deform_conv2d` for float32 or bfloat16 on a CPU, without backward."""
    return _convolve(x, offset, mask, weight, bias, logit=False, negative_slope=1.0)


def deform_conv2d_packed_compiled(
    x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None = None, negative_slope: float = 1.0
) -> Tensor:
    """:func:`~edvr_cli.ops.deform_conv.deform_conv2d_packed` for float32 or bfloat16 on a CPU, without backward."""
    split = packed.shape[1] // 3 * 2
    if packed.stride(1) != 1:
        packed = packed.contiguous(memory_format=torch.channels_last)
    return _convolve(x, packed[:, :split], packed[:, split:], weight, bias, logit=True, negative_slope=negative_slope)


def _convolve(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    logit: bool,
    negative_slope: float,
) -> Tensor:
    N, C, H, W = x.shape
    O, _, k, _ = weight.shape
    K = k * k
    G = mask.shape[1] // K
    # Samples are taken in float32 whatever the type of the maps; only the product is in theirs.
    narrow = x.dtype == torch.bfloat16 and C % 2 == 0 and takes_bfloat16()
    pixels = x.detach().contiguous(memory_format=torch.channels_last)
    taps = pack(weight.detach().permute(2, 3, 1, 0).reshape(1, K * C, O), narrow)
    y = torch.empty((N, O, H, W), dtype=x.dtype, memory_format=torch.channels_last)
    biases = np.zeros(O, _f4) if bias is None else bias.detach().float().contiguous().numpy()
    reach = np.arange(K) // k - k // 2, np.arange(K) % k - k // 2
    tap_positions = np.tile(np.array(reach, _f4), G).reshape(-1)
    block = max(1, _BLOCK_BYTES // (K * C * 4 * ROWS)) * ROWS
    blocks = -(-H * W // block)
    source, target = flat(pixels.permute(0, 2, 3, 1)), flat(y.permute(0, 2, 3, 1))
    (offsets, offset_strides), (masks, mask_strides) = _pixel_runs(offset), _pixel_runs(mask)
    fill = _filler(C // G, C, K)
    tickets = count()  # next() of it is one step that threads cannot interrupt

    def work() -> None:
        columns = np.empty(block * K * C, np.uint16 if narrow else _f4)
        sums = np.empty(block * VECTORS * LANES, _f4)
        scratch = np.empty(4 * G * K, np.uint32), np.empty(5 * G * K, _f4)
        while (ticket := next(tickets)) < N * blocks:
            n, start = ticket // blocks, ticket % blocks * block
            stop = min(start + block, H * W)
            fill(
                source, n * H * W * C, H, W, tap_positions, offsets, n * offset_strides[0], offset_strides[1],
                masks, n * mask_strides[0], mask_strides[1], logit, start, stop, columns, *scratch,
            )  # fmt: skip
            _multiply(columns, stop - start, K * C, taps, biases, _f4(negative_slope), sums, target, n * H * W + start)

    threads = torch.get_num_threads()
    if threads == 1 or blocks * N == 1:
        work()
    else:
        for future in [_workers(threads).submit(work) for _ in range(threads)]:
            future.result()
    return y


def _pixel_runs(maps: Tensor) -> tuple[np.ndarray, tuple[int, int]]:
    """The memory of (N, C, H, W) as float32 or bfloat16, channels side by side, and the strides to the next image and
    pixel.
    """
    maps = maps.detach()
    if maps.dtype not in (torch.float32, torch.bfloat16):
        maps = maps.float()
    N, C, H, W = maps.shape
    image, channel, row, pixel = maps.stride()
    if W == 1:
        pixel = row
    if (C > 1 and channel != 1) or (H > 1 and row != W * pixel):
        maps = maps.contiguous(memory_format=torch.channels_last)
        image, channel, row, pixel = maps.stride()
    extent = (N - 1) * image + (H * W - 1) * pixel + C
    return flat(maps.as_strided((extent,), (1,))), (image, pixel)


@lru_cache(maxsize=1)
def _workers(threads: int) -> ThreadPoolExecutor:
    """A pool whose threads run torch's own operations on one thread each, so that cores are not shared twice.

    Torch keeps the setting per thread, but hands the last value set to threads that start later: it is put
    back once every worker has taken its own.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="edvr-deform")
    started = Barrier(threads)

    def single() -> None:
        torch.get_num_threads()  # torch sets a thread up at its first question, undoing what was set before
        torch.set_num_threads(1)
        started.wait()

    for future in [pool.submit(single) for _ in range(threads)]:
        future.result()
    torch.set_num_threads(threads)
    return pool


@lru_cache(maxsize=8)
def _filler(lanes: int, C: int, K: int) -> Callable[..., None]:
    """The sampling loop for C channels in groups of ``lanes`` and K taps, which are constants to the compiler.

    ``fill(x, image, H, W, taps, offset, o, offset_step, mask, m, mask_step, logit, start, stop, columns, at, share)``
    fills columns (P, K·C), channels fastest, with the masked samples of the P pixels from ``start`` to ``stop``. Arrays
    are flat. The image begins at x[image], its offsets, interleaved (dy, dx) per pair, at offset[o], with
    ``offset_step`` from pixel to pixel; the mask likewise, before its sigmoid if ``logit``. taps (2·G·K) are the
    undisplaced positions, all dy, then all dx; at (4·G·K) and share (5·G·K) are scratch.
    """
    pairs = C // lanes * K

    @jit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
    def fill(x, image, H, W, taps, offset, o, offset_step, mask, m, mask_step, logit, start, stop, columns, at, share):  # type: ignore[no-untyped-def]
        rows_ahead = max(1, min(_ROWS_AHEAD, _AHEAD_BYTES // (W * C * 4)))
        for p in range(start, stop):
            row = p // W
            for value in range(0, 2 * pairs, _LINE):
                prefetch(offset, o + (p + _PIXELS_AHEAD) * offset_step + value)
            for value in range(0, pairs, _LINE):
                prefetch(mask, m + (p + _PIXELS_AHEAD) * mask_step + value)
            for value in range(0, C, _LINE):
                prefetch(x, image + (p + rows_ahead * W) * C + value)
            weigh(mask, m + p * mask_step, logit, pairs, share, 4 * pairs)
            locate(H, W, C, row, p - row * W, taps, offset, o + p * offset_step, pairs, at, share)
            to = (p - start) * (K * C)
            for t in range(K):
                for g in range(C // lanes):
                    blend(x, image + g * lanes, at, share, g * K + t, pairs, columns, to + t * C + g * lanes, lanes)

    return fill


@jit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
def weigh(mask, m, logit, pairs, share, s):  # type: ignore[no-untyped-def]
    """share[s + j] = mask[m + j], or its sigmoid, to float32's rounding; a loop that vectorizes."""
    if not logit:
        for j in range(pairs):
            store_f32(share, s + j, load_f32(mask, m + j))
        return
    for j in range(pairs):
        # e to the -x as 2ⁿ · e to the r, |r| ≤ ln 2 / 2, by Cephes's polynomial. NaN comes out as one end.
        x = min(max(-load_f32(mask, m + j), _f4(-87)), _f4(87))
        n = np.floor(x * _f4(1.44269504) + _f4(0.5))
        r = x - n * _f4(0.693359375) + n * _f4(2.12194440e-4)
        e = _f4(1.9875691e-4) * r + _f4(1.3981999e-3)
        e = e * r + _f4(8.3334519e-3)
        e = e * r + _f4(4.1665796e-2)
        e = e * r + _f4(1.6666666e-1)
        e = e * r + _f4(0.5)
        e = (e * r * r + r + _f4(1)) * power_of_two(_i4(n))
        store_f32(share, s + j, _f4(1) / (_f4(1) + e))


@jit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
def locate(H, W, C, row, column, taps, offset, o, pairs, at, share):  # type: ignore[no-untyped-def]
    """Where the four corners of all pairs of a pixel begin, and their weights; a loop that vectorizes.

    The mask, at share[4·pairs :], is in the weights.
    """
    last_y, last_x = _f4(H - 1), _f4(W - 1)
    for j in range(pairs):
        # Far outside is as good as just outside, and fits an int32. NaN does not: all that follows is bounded.
        y = min(max(load_f32(offset, o + 2 * j) + (_f4(row) + load_f32(taps, j)), _f4(-1)), _f4(H))
        z = min(max(load_f32(offset, o + 2 * j + 1) + (_f4(column) + load_f32(taps, pairs + j)), _f4(-1)), _f4(W))
        floor_y, floor_z = np.floor(y), np.floor(z)
        right = z - floor_z
        masked = load_f32(share, 4 * pairs + j)
        bottom = (y - floor_y) * masked
        top, left = masked - bottom, _f4(1) - right
        top = top if (floor_y >= 0) & (floor_y <= last_y) else _f4(0)
        bottom = bottom if (floor_y >= -1) & (floor_y < last_y) else _f4(0)
        left = left if (floor_z >= 0) & (floor_z <= last_x) else _f4(0)
        right = right if (floor_z >= -1) & (floor_z < last_x) else _f4(0)
        up, down = min(max(floor_y, _f4(0)), last_y), min(max(floor_y + _f4(1), _f4(0)), last_y)
        west, east = min(max(floor_z, _f4(0)), last_x), min(max(floor_z + _f4(1), _f4(0)), last_x)
        at[j], at[pairs + j] = pixel_offset(up, west, W, C), pixel_offset(up, east, W, C)
        at[2 * pairs + j], at[3 * pairs + j] = pixel_offset(down, west, W, C), pixel_offset(down, east, W, C)
        store_f32(share, j, top * left)
        store_f32(share, pairs + j, top * right)
        store_f32(share, 2 * pairs + j, bottom * left)
        store_f32(share, 3 * pairs + j, bottom * right)


@jit(nogil=True, error_model="numpy")
def _multiply(columns, rows, inputs, taps, bias, slope, sums, y, first):  # type: ignore[no-untyped-def]
    """y's pixels from ``first`` on = LeakyReLU(columns · taps + bias)."""
    O = bias.size
    for number in range((O + VECTORS * LANES - 1) // (VECTORS * LANES)):
        left, right = chunk(O, number)
        width = right - left
        product(columns, 0, rows, inputs, taps, inputs * left, width, sums, 0)
        for r in range(rows):
            for c in range(left, min(right, O)):
                value = load_f32(sums, r * width + c - left) + load_f32(bias, c)
                store_f32(y, (first + r) * O + c, value if value > 0 else value * slope)
