"""The deformable convolution: the reference against first principles, the compiled path against the reference."""

import math

import pytest
import torch
import torch.nn.functional as F

from edvr_cli.ops import deform_conv
from edvr_cli.ops.cpu.deform_conv import deform_conv2d_compiled, deform_conv2d_packed_compiled
from edvr_cli.ops.deform_conv import deform_conv2d, deform_conv2d_packed, implementation
from edvr_cli.ops.deform_conv_reference import deform_conv2d_packed_reference, deform_conv2d_reference
from edvr_cli.ops.triton_status import Fault

BOTH = pytest.mark.parametrize("convolve", [deform_conv2d_reference, deform_conv2d_compiled])


def problem(N=2, C=8, O=6, H=7, W=9, G=4, k=3, spread=2.0, dtype=torch.float32, seed=0):
    """Random (x, offset, mask, weight, bias)."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    offset, mask = random(N, 2 * G * k * k, H, W) * spread, random(N, G * k * k, H, W).sigmoid()
    return random(N, C, H, W), offset, mask, random(O, C, k, k), random(O)


def oracle(x, offset, mask, weight, bias):
    """The definition as nested loops over float64 numbers."""
    N, C, H, W = x.shape
    O, _, k, _ = weight.shape
    G = mask.shape[1] // k**2
    y = torch.zeros(N, O, H, W, dtype=torch.float64)

    def pixel(n, c, i, j):
        return float(x[n, c, i, j]) if 0 <= i < H and 0 <= j < W else 0.0

    for n in range(N):
        for i in range(H):
            for j in range(W):
                for c in range(C):
                    for t in range(k * k):
                        s = (c // (C // G)) * k * k + t
                        u = i + t // k - k // 2 + float(offset[n, 2 * s, i, j])
                        v = j + t % k - k // 2 + float(offset[n, 2 * s + 1, i, j])
                        a, b = math.floor(u), math.floor(v)
                        sample = sum(
                            (1 - abs(u - p)) * (1 - abs(v - q)) * pixel(n, c, p, q)
                            for p in (a, a + 1)
                            for q in (b, b + 1)
                        )
                        y[n, :, i, j] += weight[:, c, t // k, t % k].double() * sample * float(mask[n, s, i, j])
    return y + bias.double().view(1, O, 1, 1)


@BOTH
def test_zero_offset_is_a_plain_convolution(convolve):
    """With mask 1."""
    x, offset, mask, weight, bias = problem()
    y = convolve(x, offset * 0, mask * 0 + 1, weight, bias)
    torch.testing.assert_close(y, F.conv2d(x, weight, bias, padding=1), atol=1e-4, rtol=1e-4)


@BOTH
def test_an_integer_offset_shifts_the_input(convolve):
    """Two rows down and one column left, zeros coming in from outside."""
    x, offset, mask, weight, bias = problem()
    offset = torch.tensor([2.0, -1.0]).repeat(offset.shape[1] // 2).view(1, -1, 1, 1).expand_as(offset)
    shifted = F.pad(x, (3, 3, 3, 3))[:, :, 4 : -0 or None, 1:]  # reads one pixel more on each side than the shift
    expected = F.conv2d(shifted, weight, bias)[:, :, : x.shape[2], : x.shape[3]]
    y = convolve(x, offset, mask * 0 + 1, weight, bias)
    torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)


@BOTH
def test_mask_zero_leaves_the_bias(convolve):
    """Whatever the offsets."""
    x, offset, mask, weight, bias = problem()
    y = convolve(x, offset, mask * 0, weight, bias)
    torch.testing.assert_close(y, bias.view(1, -1, 1, 1).expand_as(y))


@BOTH
@pytest.mark.parametrize("spread", [0.5, 3.0, 50.0, 1e6, 1e30])
def test_it_equals_nested_loops_near_and_far_outside(convolve, spread):
    """Offsets from a fraction of a pixel to beyond any integer type."""
    args = problem(N=1, C=4, O=3, H=5, W=6, G=2, spread=spread)
    torch.testing.assert_close(convolve(*args).double(), oracle(*args), atol=2e-4, rtol=1e-4)


@BOTH
@pytest.mark.parametrize("position", [-1.0, -1.0001, -0.9999, 4.9999, 5.0, 5.0001, 4.0])
def test_samples_on_the_borders_count_as_the_contract_says(convolve, position):
    """Every tap of every pixel moved to one row: at −1 and at the size nothing is left, just inside something is."""
    H = W = 5
    x, offset, mask, weight, bias = problem(N=1, C=2, O=2, H=H, W=W, G=1)
    row = torch.arange(H).view(1, H, 1)
    for tap in range(9):
        offset[:, 2 * tap] = position - row - (tap // 3 - 1)
    y = convolve(x, offset, mask, weight, bias)
    torch.testing.assert_close(y.double(), oracle(x, offset, mask, weight, bias), atol=1e-4, rtol=1e-4)
    if position <= -1 or position >= H:
        torch.testing.assert_close(y, bias.view(1, -1, 1, 1).expand_as(y), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"C": 64, "O": 64, "G": 8, "H": 33, "W": 40, "N": 1},
        {"C": 12, "G": 4, "O": 5},
        {"C": 5, "G": 5},
        {"C": 16, "G": 1},
        {"k": 1},
        {"k": 5},
        {"H": 1, "W": 1},
        {"N": 1, "H": 1, "W": 300},
    ],
)
def test_the_compiled_path_equals_the_reference(sizes):
    """Called by name, over groups, kernels and shapes."""
    args = problem(**sizes)
    exact = deform_conv2d_reference(*(t.double() for t in args))
    torch.testing.assert_close(deform_conv2d_compiled(*args).double(), exact, atol=2e-4, rtol=1e-4)


def test_the_compiled_path_is_as_close_in_bf16_as_plain_torch():
    """At most twice the reference's own error at that precision."""
    args = [t.bfloat16() for t in problem(C=32, O=32, G=8, H=20, W=20)]
    exact = deform_conv2d_reference(*(t.double() for t in args))
    plain = (deform_conv2d_reference(*args).double() - exact).norm()
    y = deform_conv2d_compiled(*args)
    assert y.dtype == torch.bfloat16
    assert (y.double() - exact).norm() <= 2 * plain


@pytest.mark.parametrize("slope", [1.0, 0.1])
@pytest.mark.parametrize("bias", [True, False])
def test_the_packed_form_is_split_sigmoid_convolution_and_activation(slope, bias):
    """Of both implementations, against the steps written out."""
    x, offset, _, weight, b = problem(H=20, W=31)
    b = b if bias else None
    packed = torch.cat((offset, torch.randn(2, offset.shape[1] // 2, 20, 31)), dim=1)
    steps = deform_conv2d_reference(x, offset, packed[:, offset.shape[1] :].sigmoid(), weight, b)
    steps = torch.where(steps < 0, steps * slope, steps)
    for convolve in (deform_conv2d_packed_reference, deform_conv2d_packed_compiled, deform_conv2d_packed):
        torch.testing.assert_close(convolve(x, packed, weight, b, slope), steps, atol=2e-4, rtol=1e-4)


@BOTH
def test_memory_layout_does_not_matter(convolve):
    """Contiguous, channels_last, sliced and expanded inputs give one result."""
    args = problem(H=8, W=8)
    expected = convolve(*args)
    last = [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in args]
    sliced = [torch.stack((t, t + 1), dim=-1)[..., 0] for t in args]
    for variant in (last, sliced):
        torch.testing.assert_close(convolve(*variant), expected, atol=1e-5, rtol=1e-5)
    one = [t[:1] for t in args[:3]]
    expanded = convolve(*(t.expand(3, -1, -1, -1) for t in one), *args[3:])
    torch.testing.assert_close(expanded, convolve(*one, *args[3:]).expand(3, -1, -1, -1), atol=1e-5, rtol=1e-5)


@BOTH
def test_an_empty_batch_gives_an_empty_batch(convolve):
    """Rather than an error."""
    x, offset, mask, weight, bias = problem()
    assert convolve(x[:0], offset[:0], mask[:0], weight, bias).shape == (0, 6, 7, 9)


def test_the_compiled_path_works_inside_inference_mode_and_on_several_threads():
    """Its worker threads inherit neither; the caller's thread count is left alone."""
    args = problem(C=32, G=8, H=40, W=40)
    threads = torch.get_num_threads()
    expected = deform_conv2d_compiled(*args)
    try:
        for count in (2, 3):
            torch.set_num_threads(count)
            with torch.inference_mode():
                y = deform_conv2d_compiled(*args)
            assert torch.get_num_threads() == count
            torch.testing.assert_close(y, expected)
    finally:
        torch.set_num_threads(threads)


def test_the_reference_has_exact_gradients():
    """Of every input, by finite differences in float64."""
    args = [t.requires_grad_() for t in problem(N=1, C=4, O=2, H=3, W=4, G=2, spread=0.7, dtype=torch.float64)]
    assert torch.autograd.gradcheck(deform_conv2d_reference, args)


def test_dispatch_goes_by_facts(monkeypatch):
    """Float32 and bfloat16 on a CPU without gradients are compiled; anything else, or no numba, is the reference."""
    x, offset, mask, weight, bias = problem()
    assert implementation(x, weight) == "compiled"
    assert implementation(x.bfloat16(), weight.bfloat16()) == "compiled"
    assert implementation(x.double(), weight.double()) == "reference"
    assert implementation(x, weight.clone().requires_grad_()) == "reference"
    with torch.no_grad():
        assert implementation(x, weight.clone().requires_grad_()) == "compiled"
    expected = deform_conv2d(x, offset, mask, weight, bias)
    monkeypatch.setattr(deform_conv, "numba_fault", lambda: Fault("numba is not installed", ""))
    assert implementation(x, weight) == "reference"
    torch.testing.assert_close(deform_conv2d(x, offset, mask, weight, bias), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {0: (2, 7, 7, 9)},
        {1: (2, 71, 7, 9)},
        {2: (2, 36, 7, 8)},
        {2: (2, 18, 7, 9)},
        {3: (6, 8, 3, 2)},
        {3: (6, 8, 2, 2)},
        {4: (5,)},
        {0: (8, 7, 9)},
    ],
)
def test_shapes_that_do_not_fit_raise_with_the_shapes(change):
    """At the boundary, before any kernel runs."""
    args = [torch.zeros(change.get(i, tuple(t.shape))) for i, t in enumerate(problem())]
    with pytest.raises(ValueError, match=r"\(.*\d"):
        deform_conv2d(*args)
