"""The Triton kernels of the deformable convolution: features brought together by group, then sampled and multiplied.

For training sampling stands alone, and there is a way back from the samples' gradient. A *pair* is one tap of one
deformable group: what shares an offset and a mask value.
"""

import triton
import triton.language as tl

__all__ = ["deform_kernel", "group_kernel", "sample_grad_kernel", "sample_kernel"]


@triton.jit(do_not_specialize=["pixels"])
def group_kernel(  # type: ignore[no-untyped-def]
    # pointers: x (N, pixels, G, C / G), y (N, G, pixels, C / G)
    x,
    y,
    pixels,
    C: tl.constexpr,
    GROUP: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """BLOCK values of one image: what y has in a row, read from x in runs of a group's channels."""
    image = tl.program_id(1).to(tl.int64) * pixels * C
    block = tl.program_id(0)
    if WIDE:
        block = block.to(tl.int64)
        pixels = pixels.to(tl.int64)
    place = block * BLOCK + tl.arange(0, BLOCK)
    run = place // GROUP
    group = run // pixels
    pixel = run % pixels
    source = pixel * C + group * GROUP + place % GROUP
    source = tl.multiple_of(tl.max_contiguous(source, VECTOR), VECTOR)
    inside = place < (pixels * (C // VECTOR)) * VECTOR
    tl.store(y + image + place, tl.load(x + image + source, mask=inside), mask=inside)


@triton.jit
def _rounded_to_tf32(x):  # type: ignore[no-untyped-def]
    """float32 values with 10 bits of mantissa, the rest zero; infinities and NaN stay what they are."""
    bits = x.to(tl.int32, bitcast=True)
    return tl.where(x == x, ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True), x)  # noqa: PLR0124 (NaN)


@triton.jit
def _corner(at_y, at_x, H, W):  # type: ignore[no-untyped-def]
    """Where a position's four neighbors begin: (whether any is inside, top, left, the parts of the lower and right).

    Also not inside is NaN, whose address must not be read.
    """
    inside = (at_y > -1) & (at_y < H) & (at_x > -1) & (at_x < W)
    at_y = tl.where(inside, at_y, 0.0)
    at_x = tl.where(inside, at_x, 0.0)
    top = tl.floor(at_y)
    left = tl.floor(at_x)
    return inside, top.to(tl.int32), left.to(tl.int32), at_y - top, at_x - left


@triton.jit(do_not_specialize=["H", "W", "negative_slope"])
def deform_kernel(  # type: ignore[no-untyped-def]
    # pointers: x (N, G, H, W, C / G), offset (N, H, W, 2·G·K), mask (N, H, W, G·K), weight (O, K, C), bias (O,),
    # y (N, H, W, O); offset and mask may be parts of a wider last dimension
    x,
    offset,
    mask,
    weight,
    bias,
    y,
    # sizes
    H,
    W,
    negative_slope,
    C: tl.constexpr,
    O: tl.constexpr,
    G: tl.constexpr,
    KERNEL: tl.constexpr,
    # strides from pixel to pixel
    OFFSET_STRIDE: tl.constexpr,
    MASK_STRIDE: tl.constexpr,
    # choices
    HAS_BIAS: tl.constexpr,
    MASK_IS_LOGIT: tl.constexpr,
    WIDE: tl.constexpr,
    TAPS_FIRST: tl.constexpr,
    PRODUCTS: tl.constexpr,
    # tiles
    PIXELS: tl.constexpr,
    PAIRS: tl.constexpr,
    CHANNELS: tl.constexpr,
    OUTPUTS: tl.constexpr,
):
    """PIXELS pixels × OUTPUTS channels of y, over all pairs and channels, PAIRS × CHANNELS columns at a time."""
    K: tl.constexpr = KERNEL * KERNEL
    GROUP: tl.constexpr = C // G
    COLUMNS: tl.constexpr = PAIRS * CHANNELS

    blocks = tl.cdiv(H * W, PIXELS)
    block = tl.program_id(0)
    image = (block // blocks).to(tl.int64) * H * W
    x += image * C
    offset += image * OFFSET_STRIDE
    mask += image * MASK_STRIDE
    y += image * O

    place = (block % blocks) * PIXELS + tl.arange(0, PIXELS)
    # Spare lanes repeat the last pixel or pair, cheaper than masked loads. Theirs is not stored, or multiplied
    # by zeros.
    pixel = tl.minimum(place, H * W - 1)
    row = (pixel // W).to(tl.float32)
    column = (pixel % W).to(tl.float32)
    if WIDE:
        pixel = pixel.to(tl.int64)
    out = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    total = tl.zeros((PIXELS, OUTPUTS), dtype=tl.float32)

    for first in range(0, G * K, PAIRS):
        pair = tl.minimum(first + tl.arange(0, PAIRS), G * K - 1)
        if TAPS_FIRST:
            tap = pair // G
            group = pair % G
        else:
            tap = pair % K
            group = pair // K
        stored = group * K + tap

        # Where to sample: (PIXELS, PAIRS), once for all channels of a group.
        displacement = offset + (pixel[:, None] * OFFSET_STRIDE + 2 * stored[None, :])
        dy = tl.load(displacement).to(tl.float32)
        dx = tl.load(displacement + 1).to(tl.float32)
        share = tl.load(mask + (pixel[:, None] * MASK_STRIDE + stored[None, :])).to(tl.float32)
        if MASK_IS_LOGIT:
            share = tl.sigmoid(share)
        at_y = dy + (row[:, None] + (tap // KERNEL - KERNEL // 2)[None, :])
        at_x = dx + (column[:, None] + (tap % KERNEL - KERNEL // 2)[None, :])
        inside, top, left, lower_part, right_part = _corner(at_y, at_x, H, W)
        share = tl.where(inside, share, 0.0)
        lower = lower_part * share
        upper = share - lower
        left_part = 1 - right_part
        upper = tl.where(top >= 0, upper, 0.0)
        lower = tl.where(top < H - 1, lower, 0.0)
        left_part = tl.where(left >= 0, left_part, 0.0)
        right_part = tl.where(left < W - 1, right_part, 0.0)
        up = tl.maximum(top, 0)
        down = tl.minimum(top + 1, H - 1)
        west = tl.maximum(left, 0)
        east = tl.minimum(left + 1, W - 1)
        plane = group * (H * W)
        if WIDE:
            plane = group.to(tl.int64) * (H * W)
        # Rows of this group's map.
        up = plane[None, :] + up * W
        down = plane[None, :] + down * W

        for start in range(0, GROUP, CHANNELS):
            channel = start + tl.arange(0, CHANNELS)
            source = channel[None, None, :]
            samples = tl.load(x + (((up + west) * GROUP)[:, :, None] + source)) * (upper * left_part)[:, :, None]
            samples += tl.load(x + (((up + east) * GROUP)[:, :, None] + source)) * (upper * right_part)[:, :, None]
            samples += tl.load(x + (((down + west) * GROUP)[:, :, None] + source)) * (lower * left_part)[:, :, None]
            samples += tl.load(x + (((down + east) * GROUP)[:, :, None] + source)) * (lower * right_part)[:, :, None]
            columns = tl.reshape(samples.to(x.dtype.element_ty), (PIXELS, COLUMNS))

            row_pair = first + tl.arange(0, COLUMNS) // CHANNELS
            row_channel = start + tl.arange(0, COLUMNS) % CHANNELS
            if TAPS_FIRST:
                row_tap = row_pair // G
                row_group = row_pair % G
            else:
                row_tap = row_pair % K
                row_group = row_pair // K
            factor = tl.load(
                weight + ((row_tap * C + row_group * GROUP + row_channel)[:, None] + out[None, :] * (K * C)),
                mask=(row_pair < G * K)[:, None] & (out < O)[None, :],
                other=0.0,
            )
            if PRODUCTS == "tf32":
                # The hardware cuts the bits off that TF32 lacks: twice the error of rounding them.
                columns = _rounded_to_tf32(columns)
                factor = _rounded_to_tf32(factor)
            total = tl.dot(columns, factor, total, input_precision=PRODUCTS)

    if HAS_BIAS:
        total += tl.load(bias + out, mask=out < O, other=0.0).to(tl.float32)[None, :]
    total = tl.where(total > 0, total, total * negative_slope)
    if WIDE:
        place = place.to(tl.int64)
    tl.store(
        y + (place[:, None] * O + out[None, :]),
        total.to(y.dtype.element_ty),
        mask=(place < H * W)[:, None] & (out < O)[None, :],
    )


@triton.jit
def _position(packed, place, H, W, G: tl.constexpr, KERNEL: tl.constexpr):  # type: ignore[no-untyped-def]
    """Of pairs of pixels in a row: (the first of each pair's group's rows, its corner as above, its mask)."""
    K: tl.constexpr = KERNEL * KERNEL
    pixel = place // (G * K)
    pair = place % (G * K)
    tap = pair % K
    offset = packed + (pixel * (3 * G * K) + 2 * pair)
    at_y = tl.load(offset).to(tl.float32) + (pixel // W + tap // KERNEL - KERNEL // 2).to(tl.float32)
    at_x = tl.load(offset + 1).to(tl.float32) + (pixel % W + tap % KERNEL - KERNEL // 2).to(tl.float32)
    share = tl.sigmoid(tl.load(packed + (pixel * (3 * G * K) + 2 * G * K + pair)).to(tl.float32))
    inside, top, left, lower, right = _corner(at_y, at_x, H, W)
    return (pair // K) * H, inside, top, left, lower, right, share


@triton.jit
def _neighbors(first, top, left, H, W, GROUP: tl.constexpr):  # type: ignore[no-untyped-def]
    """Where the channels of a position's four neighbors lie, each (pairs, GROUP); those outside are at the edge."""
    up = (first + tl.maximum(top, 0)) * W
    down = (first + tl.minimum(top + 1, H - 1)) * W
    west = tl.maximum(left, 0)
    east = tl.minimum(left + 1, W - 1)
    channel = tl.arange(0, GROUP)[None, :]
    return (
        ((up + west) * GROUP)[:, None] + channel,
        ((up + east) * GROUP)[:, None] + channel,
        ((down + west) * GROUP)[:, None] + channel,
        ((down + east) * GROUP)[:, None] + channel,
    )


@triton.jit(do_not_specialize=["H", "W"])
def sample_kernel(  # type: ignore[no-untyped-def]
    # pointers: x (N, G, H, W, GROUP), packed (N, H, W, 3·G·K), columns (N, H, W, G·K, GROUP)
    x,
    packed,
    columns,
    H,
    W,
    G: tl.constexpr,
    GROUP: tl.constexpr,
    KERNEL: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """PAIRS pairs of one image: their samples times their mask."""
    GK: tl.constexpr = G * KERNEL * KERNEL
    image = tl.program_id(1).to(tl.int64) * H * W
    x += image * (G * GROUP)
    packed += image * (3 * GK)
    columns += image * (GK * GROUP)
    place = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    stored = place < H * W * GK
    place = tl.minimum(place, H * W * GK - 1)
    first, inside, top, left, lower, right, share = _position(packed, place, H, W, G, KERNEL)
    share = tl.where(inside, share, 0.0)
    lower = lower * share
    upper = tl.where(top >= 0, share - lower, 0.0)
    lower = tl.where(top < H - 1, lower, 0.0)
    left_part = tl.where(left >= 0, 1 - right, 0.0)
    right = tl.where(left < W - 1, right, 0.0)
    up_west, up_east, down_west, down_east = _neighbors(first, top, left, H, W, GROUP)
    samples = tl.load(x + up_west) * (upper * left_part)[:, None]
    samples += tl.load(x + up_east) * (upper * right)[:, None]
    samples += tl.load(x + down_west) * (lower * left_part)[:, None]
    samples += tl.load(x + down_east) * (lower * right)[:, None]
    target = columns + ((place * GROUP)[:, None] + tl.arange(0, GROUP)[None, :])
    tl.store(target, samples.to(columns.dtype.element_ty), mask=stored[:, None])


@triton.jit(do_not_specialize=["H", "W"])
def sample_grad_kernel(  # type: ignore[no-untyped-def]
    # pointers: as above, the gradient of columns, and what to write: to_x (N, G, H, W, GROUP) float32 zeros, to_packed
    x,
    packed,
    gradient,
    to_x,
    to_packed,
    H,
    W,
    G: tl.constexpr,
    GROUP: tl.constexpr,
    KERNEL: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """PAIRS pairs of one image: the gradients of their offsets and mask, and what they add to the features'."""
    GK: tl.constexpr = G * KERNEL * KERNEL
    image = tl.program_id(1).to(tl.int64) * H * W
    x += image * (G * GROUP)
    to_x += image * (G * GROUP)
    packed += image * (3 * GK)
    to_packed += image * (3 * GK)
    gradient += image * (GK * GROUP)
    place = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    stored = place < H * W * GK
    place = tl.minimum(place, H * W * GK - 1)
    first, inside, top, left, lower, right, share = _position(packed, place, H, W, G, KERNEL)
    # Which of the four neighbors there are: 1 or 0.
    inside = inside & stored
    has_up = (inside & (top >= 0)).to(tl.float32)
    has_down = (inside & (top < H - 1)).to(tl.float32)
    has_west = (left >= 0).to(tl.float32)
    has_east = (left < W - 1).to(tl.float32)
    up_west, up_east, down_west, down_east = _neighbors(first, top, left, H, W, GROUP)
    received = tl.load(gradient + ((place * GROUP)[:, None] + tl.arange(0, GROUP)[None, :])).to(tl.float32)
    # What each neighbor would bring, were its part and the mask one.
    nw = tl.sum(tl.load(x + up_west).to(tl.float32) * received, axis=1) * (has_up * has_west)
    ne = tl.sum(tl.load(x + up_east).to(tl.float32) * received, axis=1) * (has_up * has_east)
    sw = tl.sum(tl.load(x + down_west).to(tl.float32) * received, axis=1) * (has_down * has_west)
    se = tl.sum(tl.load(x + down_east).to(tl.float32) * received, axis=1) * (has_down * has_east)
    upper = nw + (ne - nw) * right
    under = sw + (se - sw) * right
    pixel = place // GK
    target = to_packed + (pixel * (3 * GK) + 2 * (place % GK))
    across = (ne - nw) * (1 - lower) + (se - sw) * lower
    tl.store(target, ((under - upper) * share).to(to_packed.dtype.element_ty), mask=stored)
    tl.store(target + 1, (across * share).to(to_packed.dtype.element_ty), mask=stored)
    of_mask = (upper + (under - upper) * lower) * share * (1 - share)
    target = to_packed + (pixel * (3 * GK) + 2 * GK + place % GK)
    tl.store(target, of_mask.to(to_packed.dtype.element_ty), mask=stored)
    received = received * share[:, None]
    upper = (1 - lower) * has_up
    under = lower * has_down
    left_part = (1 - right) * has_west
    right_part = right * has_east
    _add(to_x + up_west, received, upper * left_part)
    _add(to_x + up_east, received, upper * right_part)
    _add(to_x + down_west, received, under * left_part)
    _add(to_x + down_east, received, under * right_part)


@triton.jit
def _add(target, values, part):  # type: ignore[no-untyped-def]
    """Add ``values`` (pairs, channels) times each pair's ``part``, where there is any."""
    tl.atomic_add(target, values * part[:, None], mask=(part != 0)[:, None], sem="relaxed")
