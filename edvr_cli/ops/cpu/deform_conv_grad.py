"""The deformable convolution for training on a CPU: the compiled forward, and a compiled backward.

The backward samples again instead of keeping the columns (K times the feature map): for every sample of the batch it
multiplies the output's gradient back into columns, block by block, and one pass over them adds to the gradients of
the input, the offsets and the mask while it turns them into the columns that the weight's gradient needs. The result
does not depend on the number of threads or their timing. The plain twin is in ``deform_conv``.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor
from torch.autograd.function import once_differentiable

from edvr_cli.ops.cpu.deform_conv import _workers, deform_conv2d_packed_compiled
from edvr_cli.ops.cpu.jit_cache import jit

__all__ = ["deform_conv2d_packed_trained"]

_BLOCK_BYTES = 768 * 1024  # of columns, as in the forward
_f4 = np.float32
_i4 = np.int32


def deform_conv2d_packed_trained(
    x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor, negative_slope: float = 1.0
) -> Tensor:
    """:func:`~edvr_cli.ops.deform_conv.deform_conv2d_packed` on a CPU, differentiable once.

    Computed in float32 whatever the inputs are; returns the dtype of ``x``. C / G must be a power of two.
    """
    y = _Trained.apply(x.float(), packed.float(), weight.float(), bias.float())
    return (y if negative_slope == 1.0 else F.leaky_relu(y, negative_slope)).to(x.dtype)


class _Trained(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, packed, weight)
        with torch.autocast("cpu", enabled=False):
            return deform_conv2d_packed_compiled(x, packed, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, packed, weight = ctx.saved_tensors
        N, C, H, W = x.shape
        O, _, k, _ = weight.shape
        K, GK = k * k, packed.shape[1] // 3
        pixels, outer = _pixels_first(x), _pixels_first(gradient.float())
        places = _pixels_first(packed)
        places = torch.cat((places[..., : 2 * GK], places[..., 2 * GK :].sigmoid()), dim=-1)
        taps = weight.permute(0, 2, 3, 1).reshape(O, K * C)
        reach = np.arange(K) // k - k // 2, np.arange(K) % k - k // 2
        positions = np.tile(np.array(reach, _f4), GK // K)
        to_x, to_packed = torch.zeros_like(pixels), torch.empty_like(places)
        to_taps = torch.zeros(N, K * C, O)
        push = _pusher(C * K // GK)
        block = max(1, _BLOCK_BYTES // (K * C * 4))

        def work(n: int) -> None:
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                for start in range(0, H * W, block):
                    stop = min(start + block, H * W)
                    columns = outer[n, start:stop] @ taps
                    push(
                        pixels[n].view(-1).numpy(),
                        H,
                        W,
                        positions,
                        places[n, start:stop].numpy(),
                        start,
                        columns.numpy(),
                        to_x[n].view(-1).numpy(),
                        to_packed[n, start:stop].numpy(),
                    )
                    to_taps[n].addmm_(columns.T, outer[n, start:stop])

        threads = torch.get_num_threads()
        if threads == 1 or N == 1:
            for n in range(N):
                work(n)
        else:
            for future in [_workers(threads).submit(work, n) for n in range(N)]:
                future.result()
        return (
            to_x.view(N, H, W, C).permute(0, 3, 1, 2),
            to_packed.view(N, H, W, 3 * GK).permute(0, 3, 1, 2),
            to_taps.sum(dim=0).view(k, k, C, O).permute(3, 2, 0, 1),
            outer.sum(dim=(0, 1)),
        )


def _pixels_first(maps: Tensor) -> Tensor:
    """(N, C, H, W) as contiguous (N, H·W, C)."""
    return maps.detach().permute(0, 2, 3, 1).flatten(1, 2).contiguous()


@intrinsic(prefer_literal=True)
def _push(typingctx, x, i0, i1, i2, i3, w0, w1, w2, w3, m, columns, j, to_x, lanes):  # type: ignore[no-untyped-def]
    """One tap of one group at one pixel, ``lanes`` channels at once; g is columns[j : j + lanes].

    Adds w·m·g to ``to_x`` at the four corners, replaces g by m Σ w·x, and returns the four products <x, g>.
    """
    vector = ir.VectorType(ir.FloatType(), lanes.literal_value)
    result = types.UniTuple(types.float32, 4)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        def pointer(array: int, index: int) -> ir.Value:
            data = context.make_array(signature.args[array])(context, builder, args[array]).data
            position = context.cast(builder, args[index], signature.args[index], types.intp)
            return builder.bitcast(builder.gep(data, [position]), vector.as_pointer())

        def spread(scalar: ir.Value) -> ir.Value:
            value = cgutils.get_null_value(vector)
            for lane in range(vector.count):
                value = builder.insert_element(value, scalar, ir.Constant(ir.IntType(32), lane))
            return value

        def total(value: ir.Value) -> ir.Value:
            lanes_left = vector.count
            while lanes_left > 1:
                half = lanes_left // 2
                mask = ir.VectorType(ir.IntType(32), half)
                low, high = (
                    builder.shuffle_vector(value, value, ir.Constant(mask, list(part)))
                    for part in (range(half), range(half, lanes_left))
                )
                value, lanes_left = builder.fadd(low, high), half
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

        g = builder.load(pointer(10, 11), align=4)
        mask = spread(args[9])
        masked = builder.fmul(g, mask)
        sampled = cgutils.get_null_value(vector)
        products = []
        for corner in range(4):
            values = builder.load(pointer(0, 1 + corner), align=4)
            weight = spread(args[5 + corner])
            sampled = builder.fadd(sampled, builder.fmul(values, weight, flags=("contract",)), flags=("contract",))
            target = pointer(12, 1 + corner)
            share = builder.fmul(masked, weight, flags=("contract",))
            builder.store(builder.fadd(builder.load(target, align=4), share, flags=("contract",)), target, align=4)
            products.append(total(builder.fmul(values, g)))
        builder.store(builder.fmul(sampled, mask), pointer(10, 11), align=4)
        return context.make_tuple(builder, result, products)

    return result(x, i0, i1, i2, i3, w0, w1, w2, w3, m, columns, j, to_x, lanes), codegen


@lru_cache(maxsize=8)
def _pusher(lanes: int) -> Callable[..., None]:
    """The backward loop for groups of ``lanes`` channels (a constant to the compiler).

    ``push(x, H, W, taps, places, start, columns, to_x, to_places)`` for the P pixels from ``start`` on: columns
    (P, K·C) holds the gradient of the masked samples and is replaced by the samples; to_x (H·W·C,) is added to;
    to_places (P, 3·G·K) is written, the mask's part with respect to what is before its sigmoid.
    """

    @jit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
    def push(x, H, W, taps, places, start, columns, to_x, to_places):  # type: ignore[no-untyped-def]
        GK = taps.shape[1]
        C = x.size // (H * W)
        K = GK * lanes // C
        one, zero = _f4(1), _f4(0)
        for p in range(columns.shape[0]):
            row = (start + p) // W
            column = (start + p) - row * W
            for j in range(GK):
                # Far outside is as good as just outside, and fits an int32.
                y = min(max(places[p, 2 * j] + (_f4(row) + taps[0, j]), _f4(-2)), _f4(H + 1))
                z = min(max(places[p, 2 * j + 1] + (_f4(column) + taps[1, j]), _f4(-2)), _f4(W + 1))
                m = places[p, 2 * GK + j]
                floor_y, floor_z = math.floor(y), math.floor(z)
                y0, z0 = _i4(floor_y), _i4(floor_z)
                dy, dz = y - _f4(floor_y), z - _f4(floor_z)
                in_top, in_bottom = one if 0 <= y0 < H else zero, one if -1 <= y0 < H - 1 else zero
                in_left, in_right = one if 0 <= z0 < W else zero, one if -1 <= z0 < W - 1 else zero
                top, bottom, left, right = (one - dy) * in_top, dy * in_bottom, (one - dz) * in_left, dz * in_right
                up, down = min(max(y0, 0), H - 1) * W, min(max(y0 + 1, 0), H - 1) * W
                west, east = min(max(z0, 0), W - 1), min(max(z0 + 1, 0), W - 1)
                g = j // K
                c = g * lanes
                a, b, d, e = _push(  # type: ignore[call-arg, var-annotated]  # numba passes the context
                    x,
                    np.int64(up + west) * C + c,
                    np.int64(up + east) * C + c,
                    np.int64(down + west) * C + c,
                    np.int64(down + east) * C + c,
                    top * left,
                    top * right,
                    bottom * left,
                    bottom * right,
                    m,
                    columns,
                    (p * K + j - g * K) * C + c,
                    to_x,
                    lanes,
                )
                to_places[p, 2 * j] = m * (in_bottom * (left * d + right * e) - in_top * (left * a + right * b))
                to_places[p, 2 * j + 1] = m * (in_right * (top * b + bottom * e) - in_left * (top * a + bottom * d))
                sampled = top * (left * a + right * b) + bottom * (left * d + right * e)
                to_places[p, 2 * GK + j] = sampled * m * (one - m)

    return push
