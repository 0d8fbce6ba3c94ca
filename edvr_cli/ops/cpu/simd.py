"""Vector code for the compiled CPU kernels: Winograd's transforms, bilinear sampling, and the products.

Numba's own vectorizer gives up on loops with 36 streams, and unrolls short ones into scalars. These are
intrinsics for its functions that write the instructions out. Values are float32 in registers; in memory they are
float32 or bfloat16, the latter as uint16 arrays. Arrays are flat; indices, strides and sizes count elements.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic as numba_intrinsic

from edvr_cli.ops.cpu.llvm_values import (
    FLOATS,
    INT,
    LANES,
    SHORT,
    SIZE,
    BFloat,
    Memory,
    Values,
    constant_vector,
    multiply_add,
    rounded,
    size_constant,
    spread,
)

__all__ = [
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

ROWS = 6
VECTORS = 4 if LANES == 16 else 2  # ROWS × VECTORS sums, VECTORS weights and one factor fill the registers

intrinsic: Any = numba_intrinsic  # its functions are called without their first argument, the context


@intrinsic
def input_transform(typingctx, x, i, down, right, out, o, plane):  # type: ignore[no-untyped-def]
    """out[o + plane·f :] = Bᵀ d B, for the products f = 0 ... 35; d is the patch of x at ``i``.

    ``down`` and ``right`` are the strides to the patch's next row and column.
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = Memory(context, builder, signature, args)
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
        memory = Memory(context, builder, signature, args)
        i, plane, b, a, add_down, add_right, o, down, right = memory.sizes(1, 2, 4, 6, 7, 8, 11, 12, 13)
        load, load_add, store = memory.access(0), memory.access(5), memory.access(10)
        constant = memory.access(3)(b)
        slopes = spread(builder, args[9])
        zero = cgutils.get_null_value(FLOATS)
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
        memory = Memory(context, builder, signature, args)
        i, C, j, o = memory.sizes(1, 2, 4, 6)
        sums = [[cgutils.alloca_once(builder, FLOATS) for _ in range(count)] for _ in range(ROWS)]
        for sum_ in (s for row in sums for s in row):
            builder.store(cgutils.get_null_value(FLOATS), sum_)
        per_step = 2 if narrow else 1
        wide = ir.VectorType(BFloat(), 2 * LANES)
        scalar = INT if narrow else ir.FloatType()
        steps = builder.udiv(C, size_constant(per_step))
        with cgutils.for_range(builder, steps) as loop:
            row = builder.add(j, builder.mul(loop.index, size_constant(count * LANES * per_step)))
            at = builder.add(i, builder.mul(loop.index, size_constant(per_step)))
            kind = wide if narrow else FLOATS
            weights = [
                memory.load(3, builder.add(row, size_constant(v * LANES * per_step)), kind) for v in range(count)
            ]
            for r in range(ROWS):
                factor = spread(builder, memory.load(0, memory.step(at, C, r), scalar))
                for weight, sum_ in zip(weights, sums[r], strict=True):
                    if narrow:
                        pairs = cgutils.get_or_insert_function(
                            builder.module,
                            ir.FunctionType(FLOATS, [FLOATS, wide, wide]),
                            "llvm.x86.avx512bf16.dpbf16ps.512",
                        )
                        total = builder.call(pairs, [builder.load(sum_), builder.bitcast(factor, wide), weight])
                    else:
                        total = multiply_add(builder, factor, weight, builder.load(sum_))
                    builder.store(total, sum_)
        for r in range(ROWS):
            for v, sum_ in enumerate(sums[r]):
                memory.access(5)(builder.add(o, size_constant((r * count + v) * LANES)), builder.load(sum_))
        return context.get_dummy_value()

    return types.void(a, i, C, b, j, out, o, vectors), codegen


@intrinsic(prefer_literal=True)
def blend(typingctx, x, c, at, share, j, pairs, out, o, lanes):  # type: ignore[no-untyped-def]
    """out[o : o + lanes] = Σ share[j + n·pairs] · x[at[j + n·pairs] + c : ... + lanes] over the corners n = 0 ... 3."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = Memory(context, builder, signature, args)
        count = lanes.literal_value
        load, store = memory.access(0, count), memory.access(6, count)
        c, j, pairs, o = memory.sizes(1, 4, 5, 7)
        total = None
        for n in range(4):
            corner = memory.step(j, pairs, n)
            index = builder.zext(memory.load(2, corner, INT, align=4), SIZE)
            value = load(builder.add(index, c))
            weight = spread(builder, memory.load(3, corner, ir.FloatType(), align=4), count)
            total = builder.fmul(value, weight) if total is None else multiply_add(builder, value, weight, total)
        store(o, total)
        return context.get_dummy_value()

    return types.void(x, c, at, share, j, pairs, out, o, lanes), codegen


@intrinsic
def load_f32(typingctx, x, i):  # type: ignore[no-untyped-def]
    """x[i] as float32; for loops that LLVM is to vectorize, without a check of the index."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = Memory(context, builder, signature, args)
        (i,) = memory.sizes(1)
        if x.dtype == types.float32:
            return memory.load(0, i, ir.FloatType(), align=4)
        bits = builder.zext(memory.load(0, i, SHORT), INT)
        return builder.bitcast(builder.shl(bits, ir.Constant(INT, 16)), ir.FloatType())

    return types.float32(x, i), codegen


@intrinsic
def store_f32(typingctx, x, i, value):  # type: ignore[no-untyped-def]
    """x[i] = value, a float32; as :func:`load_f32`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = Memory(context, builder, signature, args)
        (i,) = memory.sizes(1)
        value = args[2]
        if x.dtype == types.uint16:
            value = rounded(builder, value, lambda number: ir.Constant(INT, number), INT, SHORT)
        builder.store(value, memory.pointer(0, i, value.type))
        return context.get_dummy_value()

    return types.void(x, i, value), codegen


@intrinsic
def pixel_offset(typingctx, row, column, width, size):  # type: ignore[no-untyped-def]
    """(row · width + column) · size as uint32, of whole float32 row and column; numba would do that in 64 bits."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        row, column = (builder.fptosi(value, INT) for value in args[:2])
        width, size = (context.cast(builder, args[n], signature.args[n], types.int32) for n in (2, 3))
        return builder.mul(builder.add(builder.mul(row, width), column), size)

    return types.uint32(types.float32, types.float32, width, size), codegen


@intrinsic
def prefetch(typingctx, x, i):  # type: ignore[no-untyped-def]
    """Have the cache line of x[i], which may be anywhere, brought nearer."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        memory = Memory(context, builder, signature, args)
        (i,) = memory.sizes(1)
        pointer = memory.pointer(0, i, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, INT, INT, INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [pointer, *(ir.Constant(INT, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(x, i), codegen


@intrinsic
def power_of_two(typingctx, n):  # type: ignore[no-untyped-def]
    """2ⁿ for an int32 from -126 to 127, as float32."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        exponent = builder.add(args[0], ir.Constant(INT, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(INT, 23)), ir.FloatType())

    return types.float32(types.int32), codegen


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
        total = builder.fmul(constant_vector(FLOATS, coefficient), total)
    for coefficient, value in terms[:-1]:
        total = multiply_add(builder, constant_vector(FLOATS, coefficient), value, total)
    return total
