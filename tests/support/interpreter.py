"""Triton's interpreter, which runs a GPU kernel on the CPU, mended for bfloat16.

It keeps bfloat16 as the bits of a uint16. Triton 3.9 multiplies those as integers in ``tl.dot``
(triton-lang/triton#11584) and cuts a float32 off where every GPU rounds it to the nearest.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any


def interpret() -> None:
    """Make this process one whose kernels are interpreted; call it before anything imports triton."""
    os.environ["TRITON_INTERPRET"] = "1"
    import numpy as np
    import torch
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    torch.set_num_threads(1)
    multiply, cast = InterpreterBuilder.create_dot, InterpreterBuilder.cast_impl

    def widened(handle: TensorHandle) -> TensorHandle:
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def dot(builder: InterpreterBuilder, a: TensorHandle, b: TensorHandle, *rest: object) -> TensorHandle:
        return multiply(builder, widened(a), widened(b), *rest)  # in float32 the products are exact

    def rounded(builder: InterpreterBuilder, source: TensorHandle, to: tl.dtype) -> TensorHandle:
        if (source.dtype.scalar, to.scalar) != (tl.float32, tl.bfloat16):
            return cast(builder, source, to)
        nearest = torch.from_numpy(source.data).to(torch.bfloat16)
        return TensorHandle(nearest.view(torch.uint16).numpy(), tl.bfloat16)

    InterpreterBuilder.create_dot, InterpreterBuilder.cast_impl = dot, rounded


@contextmanager
def interpreting() -> Iterator[Callable[..., Any]]:
    """A function that calls another one, of a module, in a process that interprets kernels."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=interpret) as pool:
        yield lambda function, *given: pool.submit(function, *given).result()
