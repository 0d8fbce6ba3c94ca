"""LLVM values for the compiled CPU kernels: loads and stores of vectors, and the arithmetic on them.

Values are float32 in registers; in memory they are float32 or bfloat16, the latter as uint16 arrays.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from llvmlite import ir
from numba.core import types

__all__ = [
    "FLOATS",
    "INT",
    "LANES",
    "SHORT",
    "SIZE",
    "BFloat",
    "Memory",
    "Values",
    "constant_vector",
    "multiply_add",
    "rounded",
    "size_constant",
    "spread",
]

_CAPABILITIES = torch.cpu.get_capabilities()
LANES = 16 if _CAPABILITIES.get("avx512_f") else 8

SHORT, INT, SIZE = ir.IntType(16), ir.IntType(32), ir.IntType(64)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
_FUSED = ("contract",)
Values = list[ir.Value]


class BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


class Memory:
    """Loads and stores of vectors in an intrinsic's array arguments."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> None:
        self._context, self._builder, self._types, self._args = context, builder, signature.args, args

    def sizes(self, *numbers: int) -> Values:
        """Integer arguments as 64-bit sizes."""
        return [self._context.cast(self._builder, self._args[n], self._types[n], types.intp) for n in numbers]

    def step(self, start: ir.Value, stride: ir.Value, steps: int) -> ir.Value:
        """start + steps · stride."""
        return self._builder.add(start, self._builder.mul(stride, size_constant(steps)))

    def load(self, array: int, index: ir.Value, kind: ir.Type, align: int = 2) -> ir.Value:
        """A value of LLVM type ``kind`` from array argument ``array``."""
        return self._builder.load(self.pointer(array, index, kind), align=align)

    def access(self, array: int, lanes: int = LANES) -> Callable[..., Any]:
        """A function of (index) that loads ``lanes`` float32 from an array, of (index, value) that stores them."""
        builder = self._builder
        floats, shorts, ints = (ir.VectorType(kind, lanes) for kind in (ir.FloatType(), SHORT, INT))
        if self._types[array].dtype == types.float32:

            def plain(index: ir.Value, value: ir.Value | None = None) -> Any:
                if value is None:
                    return self.load(array, index, floats)
                return builder.store(value, self.pointer(array, index, floats), align=2)

            return plain

        def converting(index: ir.Value, value: ir.Value | None = None) -> Any:
            upper = constant_vector(ints, 16)
            if value is None:
                bits = builder.zext(self.load(array, index, shorts), ints)
                return builder.bitcast(builder.shl(bits, upper), floats)
            bits = rounded(builder, value, lambda number: constant_vector(ints, number), ints, shorts)
            return builder.store(bits, self.pointer(array, index, shorts), align=2)

        return converting

    def pointer(self, array: int, index: ir.Value, kind: ir.Type) -> ir.Value:
        """Where an element of array argument ``array`` is, as a pointer to LLVM type ``kind``."""
        data = self._context.make_array(self._types[array])(self._context, self._builder, self._args[array]).data
        return self._builder.bitcast(self._builder.gep(data, [index]), kind.as_pointer())


def multiply_add(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, total: ir.Value) -> ir.Value:
    """x · y + total, which LLVM may fuse."""
    return builder.fadd(builder.fmul(x, y, flags=_FUSED), total, flags=_FUSED)


def rounded(
    builder: ir.IRBuilder, value: ir.Value, constant: Callable[[int], ir.Constant], ints: ir.Type, shorts: ir.Type
) -> ir.Value:
    """float32 as bfloat16's bits: to the nearest, ties to even. Through the bits, as not every processor converts."""
    bits = builder.bitcast(value, ints)
    odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
    bits = builder.add(bits, builder.add(odd, constant(0x7FFF)))
    return builder.trunc(builder.lshr(bits, constant(16)), shorts)


def spread(builder: ir.IRBuilder, scalar: ir.Value, lanes: int = LANES) -> ir.Value:
    """The scalar in every lane."""
    vector = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(vector, scalar, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, vector, ir.Constant(ir.VectorType(INT, lanes), [0] * lanes))


def constant_vector(kind: ir.VectorType, value: float) -> ir.Constant:
    """The same value in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def size_constant(value: int) -> ir.Constant:
    """A 64-bit size."""
    return ir.Constant(SIZE, value)
