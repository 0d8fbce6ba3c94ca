"""Vector code for the compiled CPU kernels: Winograd's transforms, bilinear sampling, and the products.

Numba's own vectorizer gives up on loops with 36 streams, and unrolls short ones into scalars. These are
intrinsics for its functions that write the instructions out. Values are float32 in registers; in memory they are
float32 or bfloat16, the latter as uint16 arrays. Arrays are flat; indices, strides and sizes count elements.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic as numba_intrinsic

__all__ = [
    "LANES",
    "PATCH",
    "POINTS",
    "ROWS",
    "TILE",
    "VECTORS",
    "blend",
    "input_transform",
    "load_f32",
    "multiply",
    "output_transform",
    "pixel_offset",
    "power_of_two",
    "prefetch",
    "store_f32",
]

TILE, PATCH = 4, 6  # side of an output tile, and of the input it depends on
POINTS = (0.75, 1.5)  # a, b of Toom and Cook's points 0, ±a, ±b, ∞

_CAPABILITIES = torch.cpu.get_capabilities()
LANES = 16 if _CAPABILITIES.get("avx512_f") else 8
ROWS = 6
VECTORS = 4 if LANES == 16 else 2  # ROWS × VECTORS sums, VECTORS weights and one factor fill the registers

_SHORT, _INT, _SIZE = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_FUSED = ("contract",)
Values = list[ir.Value]

intrinsic: Any = numba_intrinsic  # its functions are called without their first argument, the context


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


@intrinsic
def input_transform(typingctx, x, i, down, right, out, o, plane):  # type: ignore[no-untyped-def]
    """out[o + plane·f :] = Bᵀ d B, for the products f = 0 ... 35; d is the patch of x at ``i``.

    ``down`` and ``right`` are the strides to the patch's next row and column.
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = _Memory(context, builder, signature, args)
        i, down, right, o, plane = memory.sizes(1, 2, 3, 5, 6)
        load, store = memory.access(0), memory.access(4)
        columns = []
        for c in range(PATCH):
            at = memory.step(i, right, c)
            columns.append(_into(builder, [load(memory.step(at, down, r)) for r in range(PATCH)]))
        for r in range(PATCH):
            for c, value in enumerate(_into(builder, [column[r] for column in columns])):
                store(memory.step(o, plane, r * PATCH + c), value)
        return context.get_dummy_value()

    return types.void(x, i, down, right, out, o, plane), codegen


@intrinsic
def output_transform(typingctx, x, i, plane, bias, b, add, a, add_down, add_right, slope, out, o, down, right):  # type: ignore[no-untyped-def]
    """out[tile at o] = LeakyReLU(Aᵀ m A + bias[b :] + add[tile at a]); the products m are at x[i + plane·f :].

    ``down`` and ``right`` are the strides to the tile's next row and column, as ``add``'s are in its tile.
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = _Memory(context, builder, signature, args)
        i, plane, b, a, add_down, add_right, o, down, right = memory.sizes(1, 2, 4, 6, 7, 8, 11, 12, 13)
        load, load_add, store = memory.access(0), memory.access(5), memory.access(10)
        constant = memory.access(3)(b)
        slopes = _spread(builder, args[9])
        zero = cgutils.get_null_value(_FLOATS)
        columns = [
            _outof(builder, [load(memory.step(i, plane, r * PATCH + c)) for r in range(PATCH)]) for c in range(PATCH)
        ]
        for r in range(TILE):
            at, add_at = memory.step(o, down, r), memory.step(a, add_down, r)
            for c, product in enumerate(_outof(builder, [column[r] for column in columns])):
                added = load_add(memory.step(add_at, add_right, c))
                total = builder.fadd(builder.fadd(product, constant), added)
                positive = builder.fcmp_ordered(">=", total, zero)
                store(memory.step(at, right, c), builder.select(positive, total, builder.fmul(total, slopes)))
        return context.get_dummy_value()

    return types.void(x, i, plane, bias, b, add, a, add_down, add_right, slope, out, o, down, right), codegen


@intrinsic(prefer_literal=True)
def multiply(typingctx, a, i, C, b, j, out, o, vectors):  # type: ignore[no-untyped-def]
    """out[o :] = a[i :] · b[j :] for ROWS rows of a, (ROWS, C) · (C, vectors·LANES), out in float32.

    bfloat16 comes in pairs of channels: b is then (C / 2, vectors·LANES, 2).
    """
    count = vectors.literal_value
    narrow = a.dtype == types.uint16

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = _Memory(context, builder, signature, args)
        i, C, j, o = memory.sizes(1, 2, 4, 6)
        sums = [[cgutils.alloca_once(builder, _FLOATS) for _ in range(count)] for _ in range(ROWS)]
        for sum_ in (s for row in sums for s in row):
            builder.store(cgutils.get_null_value(_FLOATS), sum_)
        per_step = 2 if narrow else 1
        wide = ir.VectorType(_BFloat(), 2 * LANES)
        scalar = _INT if narrow else ir.FloatType()
        steps = builder.udiv(C, _size(per_step))
        with cgutils.for_range(builder, steps) as loop:
            row = builder.add(j, builder.mul(loop.index, _size(count * LANES * per_step)))
            at = builder.add(i, builder.mul(loop.index, _size(per_step)))
            kind = wide if narrow else _FLOATS
            weights = [memory.load(3, builder.add(row, _size(v * LANES * per_step)), kind) for v in range(count)]
            for r in range(ROWS):
                factor = _spread(builder, memory.load(0, memory.step(at, C, r), scalar))
                for weight, sum_ in zip(weights, sums[r], strict=True):
                    if narrow:
                        pairs = cgutils.get_or_insert_function(
                            builder.module,
                            ir.FunctionType(_FLOATS, [_FLOATS, wide, wide]),
                            "llvm.x86.avx512bf16.dpbf16ps.512",
                        )
                        total = builder.call(pairs, [builder.load(sum_), builder.bitcast(factor, wide), weight])
                    else:
                        total = _madd(builder, factor, weight, builder.load(sum_))
                    builder.store(total, sum_)
        for r in range(ROWS):
            for v, sum_ in enumerate(sums[r]):
                memory.access(5)(builder.add(o, _size((r * count + v) * LANES)), builder.load(sum_))
        return context.get_dummy_value()

    return types.void(a, i, C, b, j, out, o, vectors), codegen


@intrinsic(prefer_literal=True)
def blend(typingctx, x, c, at, share, j, pairs, out, o, lanes):  # type: ignore[no-untyped-def]
    """out[o : o + lanes] = Σ share[j + n·pairs] · x[at[j + n·pairs] + c : ... + lanes] over the corners n = 0 ... 3."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = _Memory(context, builder, signature, args)
        count = lanes.literal_value
        load, store = memory.access(0, count), memory.access(6, count)
        c, j, pairs, o = memory.sizes(1, 4, 5, 7)
        total = None
        for n in range(4):
            corner = memory.step(j, pairs, n)
            index = builder.zext(memory.load(2, corner, _INT, align=4), _SIZE)
            value = load(builder.add(index, c))
            weight = _spread(builder, memory.load(3, corner, ir.FloatType(), align=4), count)
            total = builder.fmul(value, weight) if total is None else _madd(builder, value, weight, total)
        store(o, total)
        return context.get_dummy_value()

    return types.void(x, c, at, share, j, pairs, out, o, lanes), codegen


@intrinsic
def load_f32(typingctx, x, i):  # type: ignore[no-untyped-def]
    """x[i] as float32; for loops that LLVM is to vectorize, without a check of the index."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = _Memory(context, builder, signature, args)
        (i,) = memory.sizes(1)
        if x.dtype == types.float32:
            return memory.load(0, i, ir.FloatType(), align=4)
        bits = builder.zext(memory.load(0, i, _SHORT), _INT)
        return builder.bitcast(builder.shl(bits, ir.Constant(_INT, 16)), ir.FloatType())

    return types.float32(x, i), codegen


@intrinsic
def store_f32(typingctx, x, i, value):  # type: ignore[no-untyped-def]
    """x[i] = value, a float32; as :func:`load_f32`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = _Memory(context, builder, signature, args)
        (i,) = memory.sizes(1)
        value = args[2]
        if x.dtype == types.uint16:
            value = _rounded(builder, value, lambda number: ir.Constant(_INT, number), _INT, _SHORT)
        builder.store(value, memory.pointer(0, i, value.type))
        return context.get_dummy_value()

    return types.void(x, i, value), codegen


@intrinsic
def pixel_offset(typingctx, row, column, width, size):  # type: ignore[no-untyped-def]
    """(row · width + column) · size as uint32, of whole float32 row and column; numba would do that in 64 bits."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        row, column = (builder.fptosi(value, _INT) for value in args[:2])
        width, size = (context.cast(builder, args[n], signature.args[n], types.int32) for n in (2, 3))
        return builder.mul(builder.add(builder.mul(row, width), column), size)

    return types.uint32(types.float32, types.float32, width, size), codegen


@intrinsic
def prefetch(typingctx, x, i):  # type: ignore[no-untyped-def]
    """Have the cache line of x[i], which may be anywhere, brought nearer."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = _Memory(context, builder, signature, args)
        (i,) = memory.sizes(1)
        pointer = memory.pointer(0, i, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _INT, _INT, _INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [pointer, *(ir.Constant(_INT, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(x, i), codegen


@intrinsic
def power_of_two(typingctx, n):  # type: ignore[no-untyped-def]
    """2ⁿ for an int32 from -126 to 127, as float32."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        exponent = builder.add(args[0], ir.Constant(_INT, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(_INT, 23)), ir.FloatType())

    return types.float32(types.int32), codegen


class _Memory:
    """Loads and stores of vectors in an intrinsic's array arguments."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> None:
        self._context, self._builder, self._types, self._args = context, builder, signature.args, args

    def sizes(self, *numbers: int) -> Values:
        """Integer arguments as 64-bit sizes."""
        return [self._context.cast(self._builder, self._args[n], self._types[n], types.intp) for n in numbers]

    def step(self, start: ir.Value, stride: ir.Value, steps: int) -> ir.Value:
        """start + steps · stride."""
        return self._builder.add(start, self._builder.mul(stride, _size(steps)))

    def load(self, array: int, index: ir.Value, kind: ir.Type, align: int = 2) -> ir.Value:
        """A value of LLVM type ``kind`` from array argument ``array``."""
        return self._builder.load(self.pointer(array, index, kind), align=align)

    def access(self, array: int, lanes: int = LANES) -> Callable[..., Any]:
        """A function of (index) that loads ``lanes`` float32 from an array, of (index, value) that stores them."""
        builder = self._builder
        floats, shorts, ints = (ir.VectorType(kind, lanes) for kind in (ir.FloatType(), _SHORT, _INT))
        if self._types[array].dtype == types.float32:

            def plain(index: ir.Value, value: ir.Value | None = None) -> Any:
                if value is None:
                    return self.load(array, index, floats)
                return builder.store(value, self.pointer(array, index, floats), align=2)

            return plain

        def converting(index: ir.Value, value: ir.Value | None = None) -> Any:
            upper = _constant(ints, 16)
            if value is None:
                bits = builder.zext(self.load(array, index, shorts), ints)
                return builder.bitcast(builder.shl(bits, upper), floats)
            rounded = _rounded(builder, value, lambda number: _constant(ints, number), ints, shorts)
            return builder.store(rounded, self.pointer(array, index, shorts), align=2)

        return converting

    def pointer(self, array: int, index: ir.Value, kind: ir.Type) -> ir.Value:
        """Where an element of array argument ``array`` is, as a pointer to LLVM type ``kind``."""
        data = self._context.make_array(self._types[array])(self._context, self._builder, self._args[array]).data
        return self._builder.bitcast(self._builder.gep(data, [index]), kind.as_pointer())


def _into(builder: ir.IRBuilder, d: Values) -> Values:
    """Bᵀ d: each row is the polynomial that vanishes at all points but its own."""
    a2, b2 = (p * p for p in POINTS)
    rows = [_sum(builder, (a2 * b2, d[0]), (-a2 - b2, d[2]), (1.0, d[4]))]
    for point, other in ((POINTS[0], b2), (POINTS[1], a2)):
        even = _sum(builder, (-other, d[2]), (1.0, d[4]))
        odd = _sum(builder, (-other * point, d[1]), (point, d[3]))
        rows += [builder.fadd(even, odd), builder.fsub(even, odd)]
    return [*rows, _sum(builder, (a2 * b2, d[1]), (-a2 - b2, d[3]), (1.0, d[5]))]


def _outof(builder: ir.IRBuilder, m: Values) -> Values:
    """Aᵀ m: row i takes the i-th powers of the points."""
    a, b = POINTS
    even_a, odd_a = builder.fadd(m[1], m[2]), builder.fsub(m[1], m[2])
    even_b, odd_b = builder.fadd(m[3], m[4]), builder.fsub(m[3], m[4])
    return [
        builder.fadd(m[0], builder.fadd(even_a, even_b)),
        _sum(builder, (a, odd_a), (b, odd_b)),
        _sum(builder, (a**2, even_a), (b**2, even_b)),
        _sum(builder, (a**3, odd_a), (b**3, odd_b), (1.0, m[5])),
    ]


def _sum(builder: ir.IRBuilder, *terms: tuple[float, ir.Value]) -> ir.Value:
    """Σ coefficient · value; the last coefficient may be 1."""
    coefficient, total = terms[-1]
    if coefficient != 1.0:
        total = builder.fmul(_constant(_FLOATS, coefficient), total)
    for coefficient, value in terms[:-1]:
        total = _madd(builder, _constant(_FLOATS, coefficient), value, total)
    return total


def _madd(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, total: ir.Value) -> ir.Value:
    return builder.fadd(builder.fmul(x, y, flags=_FUSED), total, flags=_FUSED)


def _rounded(
    builder: ir.IRBuilder, value: ir.Value, constant: Callable[[int], ir.Constant], ints: ir.Type, shorts: ir.Type
) -> ir.Value:
    """float32 as bfloat16's bits: to the nearest, ties to even. Through the bits, as not every processor converts."""
    bits = builder.bitcast(value, ints)
    odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
    bits = builder.add(bits, builder.add(odd, constant(0x7FFF)))
    return builder.trunc(builder.lshr(bits, constant(16)), shorts)


def _spread(builder: ir.IRBuilder, scalar: ir.Value, lanes: int = LANES) -> ir.Value:
    """The scalar in every lane."""
    vector = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(vector, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, vector, ir.Constant(ir.VectorType(_INT, lanes), [0] * lanes))


def _constant(kind: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


def _size(value: int) -> ir.Constant:
    return ir.Constant(_SIZE, value)
