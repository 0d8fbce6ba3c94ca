"""Matrix products for blocks that are in a core's cache already, called from compiled loops.

A library's product costs microseconds to set up, and on some processors half the speed. The right-hand sides
are weights: packed once, in the order in which they are read.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.ops.cpu.jit_cache import jit
from edvr_cli.ops.cpu.llvm_values import LANES
from edvr_cli.ops.cpu.simd import ROWS, VECTORS, multiply

__all__ = ["chunk", "flat", "pack", "product", "takes_bfloat16"]


def takes_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 at twice the rate of float32."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def flat(values: Tensor) -> np.ndarray:
    """Values in one run as compiled loops take them: bfloat16 as uint16. A view where they lie in a run already."""
    run = values.reshape(-1)
    return run.view(torch.uint16).numpy() if values.dtype == torch.bfloat16 else run.numpy()


def pack(weight: Tensor, narrow: bool) -> np.ndarray:
    """Lay out P right-hand sides (P, C, O) for :func:`product`, flat: float32, or bfloat16 as uint16 if ``narrow``.

    A chunk of outputs after the other (:func:`chunk`), in it the P matrices, their rows contiguous; outputs are
    filled up with zeros to whole vectors. For ``narrow`` C must be even: pairs of rows are interleaved.
    """
    O = weight.shape[2]
    weight = F.pad(weight, (0, -O % LANES)).to(torch.bfloat16 if narrow else torch.float32)
    parts = []
    for number in range(-(-O // (VECTORS * LANES))):
        start, stop = chunk.py_func(O, number)
        part = weight[:, :, start:stop]
        parts.append((part.unflatten(1, (-1, 2)).transpose(2, 3) if narrow else part).reshape(-1))
    return flat(torch.cat(parts))


@jit()
def chunk(O, number):  # type: ignore[no-untyped-def]
    """From and to which output the chunk of that number goes: equal parts of at most ``VECTORS`` vectors."""
    vectors = (O + LANES - 1) // LANES
    chunks = (vectors + VECTORS - 1) // VECTORS
    return vectors * number // chunks * LANES, vectors * (number + 1) // chunks * LANES


@jit(nogil=True)
def product(a, i, rows, C, weight, j, width, out, o):  # type: ignore[no-untyped-def]
    """out[o :] = a[i :] · weight[j :], (rows, C) · (C, width), float32; both may be touched up to whole ``ROWS``."""
    for r in range(0, rows, ROWS):
        if width == LANES:
            multiply(a, i + r * C, C, weight, j, out, o + r * width, 1)
        elif width == 2 * LANES:
            multiply(a, i + r * C, C, weight, j, out, o + r * width, 2)
        elif width == 3 * LANES:
            multiply(a, i + r * C, C, weight, j, out, o + r * width, 3)
        else:
            multiply(a, i + r * C, C, weight, j, out, o + r * width, 4)
