"""The deformable convolution compiled for the CPU by numba: sample a block into columns, multiply, next block.

The columns (K times the feature map) are never in memory as a whole: every thread fills a block of them that
stays in its L2 cache and multiplies it at once. The contract and the plain twin are in ``deform_conv``.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import count
from threading import Barrier, Lock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.ops.compiled import compiled
from edvr_cli.ops.product_cpu import chunk, flat, multiplies_bfloat16, pack, product
from edvr_cli.ops.vectors_cpu import LANES, ROWS, VECTORS, blend

__all__ = ["deform_conv2d_compiled", "deform_conv2d_packed_compiled"]

_BLOCK_BYTES = 768 * 1024  # of columns, per thread: measured best between 0.4 and 1.5 MB with 1 MB of L2
_f4 = np.float32
_i4 = np.int32


def deform_conv2d_compiled(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """:func:`~edvr_cli.ops.deform_conv.deform_conv2d` for float32 or bfloat16 on a CPU, without backward."""
    return _convolve(x, _pixels_first(offset), _pixels_first(mask), weight, bias, packed=False, negative_slope=1.0)


def deform_conv2d_packed_compiled(
    x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None = None, negative_slope: float = 1.0
) -> Tensor:
    """:func:`~edvr_cli.ops.deform_conv.deform_conv2d_packed` for float32 or bfloat16 on a CPU, without backward."""
    pixels = _pixels_first(packed)
    split = packed.shape[1] // 3 * 2
    return _convolve(
        x, pixels[..., :split], pixels[..., split:], weight, bias, packed=True, negative_slope=negative_slope
    )


def _pixels_first(maps: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H·W, C), a view where the memory is channels_last already."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def _convolve(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    packed: bool,
    negative_slope: float,
) -> Tensor:
    N, C, H, W = x.shape
    O, _, k, _ = weight.shape
    K = k * k
    G = mask.shape[2] // K
    # Samples are taken in float32 whatever the type of the maps; only the product is in theirs.
    narrow = x.dtype == torch.bfloat16 and C % 2 == 0 and multiplies_bfloat16()
    pixels = _pixels_first(x).contiguous()
    taps = pack(weight.detach().permute(2, 3, 1, 0).reshape(1, K * C, O), narrow)
    y = torch.empty(N, H * W, O, dtype=x.dtype)
    chunks = [chunk.py_func(O, number) for number in range(-(-O // (VECTORS * LANES)))]
    bias = None if bias is None else bias.detach()
    block = max(1, _BLOCK_BYTES // (K * C * 4 * ROWS)) * ROWS
    starts = range(0, H * W, block)
    tickets, lock = count(), Lock()
    sample = _sampler(C // G)
    reach = np.arange(K) // k - k // 2, np.arange(K) % k - k // 2
    tap_positions = np.tile(np.array(reach, _f4), G)
    # Under torch.inference_mode a worker thread must enter the mode too before it writes to these tensors.
    inference = torch.is_inference_mode_enabled()

    def work() -> None:
        columns = np.empty(block * K * C, np.uint16 if narrow else _f4)
        sums = torch.empty(block * VECTORS * LANES)
        scratch = np.empty((4, G * K), _i4), np.empty((4, G * K), _f4)
        with torch.inference_mode(inference), torch.no_grad():
            while True:
                with lock:
                    ticket = next(tickets)
                if ticket >= N * len(starts):
                    return
                n, start = ticket // len(starts), starts[ticket % len(starts)]
                stop = min(start + block, H * W)
                block_offset = offset[n, start:stop].to(torch.float32).contiguous()
                block_mask = mask[n, start:stop].to(torch.float32, copy=packed).contiguous()
                if packed:
                    block_mask.sigmoid_()
                sample(
                    flat(pixels[n]),
                    H,
                    W,
                    C,
                    tap_positions,
                    block_offset.numpy(),
                    block_mask.numpy(),
                    start,
                    columns,
                    *scratch,
                )
                out = y[n, start:stop]
                for left, right in chunks:
                    width, wanted = right - left, min(right, O) - left
                    product(columns, 0, stop - start, K * C, taps, K * C * left, width, sums.numpy(), 0)
                    found = sums[: (stop - start) * width].view(-1, width)[:, :wanted]
                    if bias is not None:
                        found += bias[left : left + wanted]
                    out[:, left : left + wanted] = found
                if negative_slope != 1.0:
                    F.leaky_relu_(out, negative_slope)

    threads = torch.get_num_threads()
    if threads == 1 or len(starts) * N == 1:
        work()
    else:
        for future in [_workers(threads).submit(work) for _ in range(threads)]:
            future.result()
    return y.view(N, H, W, O).permute(0, 3, 1, 2)


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
def _sampler(lanes: int) -> Callable[..., None]:
    """The sampling loop for groups of ``lanes`` channels (a constant to the compiler).

    ``sample(x, H, W, C, taps, offset, mask, start, columns, pixel, weight)`` fills columns (P, K·C), channels
    fastest, with the masked samples of the P pixels from ``start`` on. x (H·W·C,), taps (2, G·K) the
    undisplaced positions (dy, dx), offset (P, 2·G·K), mask (P, G·K); pixel and weight (4, G·K) are scratch.
    """

    @compiled(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
    def sample(x, H, W, C, taps, offset, mask, start, columns, pixel, weight):  # type: ignore[no-untyped-def]
        K = mask.shape[1] * lanes // C
        for p in range(mask.shape[0]):
            row = (start + p) // W
            locate(H, W, row, start + p - row * W, taps, offset[p], mask[p], pixel, weight)
            for t in range(K):
                for g in range(C // lanes):
                    j, c = g * K + t, g * lanes
                    blend(
                        x,
                        np.int64(pixel[0, j]) * C + c, np.int64(pixel[1, j]) * C + c,
                        np.int64(pixel[2, j]) * C + c, np.int64(pixel[3, j]) * C + c,
                        weight[0, j], weight[1, j], weight[2, j], weight[3, j],
                        columns, (p * K + t) * C + c, lanes,
                    )  # fmt: skip

    return sample


@compiled(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
def locate(H, W, row, column, taps, offset, mask, pixel, weight):  # type: ignore[no-untyped-def]
    """The four corners of all taps of a pixel, as pixels and weights; a loop that vectorizes."""
    last_y, last_x, width = _i4(H - 1), _i4(W - 1), _i4(W)
    for j in range(mask.size):
        # Far outside is as good as just outside, and fits an int32. NaN does not: all that follows is bounded.
        y = min(max(offset[2 * j] + (_f4(row) + taps[0, j]), _f4(-1)), _f4(H))
        z = min(max(offset[2 * j + 1] + (_f4(column) + taps[1, j]), _f4(-1)), _f4(W))
        floor_y, floor_z = np.floor(y), np.floor(z)
        y0, z0 = _i4(floor_y), _i4(floor_z)
        right = z - floor_z
        bottom = (y - floor_y) * mask[j]
        top, left = mask[j] - bottom, _f4(1) - right
        top = top if (y0 >= 0) & (y0 <= last_y) else _f4(0)
        bottom = bottom if (y0 >= -1) & (y0 < last_y) else _f4(0)
        left = left if (z0 >= 0) & (z0 <= last_x) else _f4(0)
        right = right if (z0 >= -1) & (z0 < last_x) else _f4(0)
        up = min(max(y0, _i4(0)), last_y) * width
        down = min(max(y0 + _i4(1), _i4(0)), last_y) * width
        west = min(max(z0, _i4(0)), last_x)
        east = min(max(z0 + _i4(1), _i4(0)), last_x)
        pixel[0, j], pixel[1, j] = up + west, up + east
        pixel[2, j], pixel[3, j] = down + west, down + east
        weight[0, j], weight[1, j] = top * left, top * right
        weight[2, j], weight[3, j] = bottom * left, bottom * right
