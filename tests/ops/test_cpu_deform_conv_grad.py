"""The compiled backward against the reference's, both called by name."""

import pytest
import torch
from torch import Tensor

from edvr_cli.ops.cpu.deform_conv_grad import deform_conv2d_packed_trained
from edvr_cli.ops.deform_conv_reference import deform_conv2d_packed_reference


def inputs(N: int, C: int, O: int, G: int, H: int, W: int, reach: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(N + C + H)
    shapes = (N, C, H, W), (N, 27 * G, H, W), (O, C, 3, 3), (O,)
    x, packed, weight, bias = (torch.randn(shape, generator=generator) for shape in shapes)
    return [t.requires_grad_() for t in (x, packed * reach, weight * 0.1, bias)]


@pytest.mark.parametrize("slope", [1.0, 0.1])
@pytest.mark.parametrize(
    "shape",
    [(2, 32, 32, 8, 13, 17, 2.0), (3, 16, 8, 2, 9, 5, 30.0), (1, 8, 8, 8, 40, 33, 0.1), (2, 64, 16, 8, 6, 7, 4.0)],
)
def test_gradients_equal_the_references(shape, slope):
    """Of input, offsets, mask, weight and bias, offsets small, large and far outside: as true as the reference's.

    Both are held against float64. The reference's float32 error is the measure: it computes positions less exactly.
    """
    tensors = inputs(*shape)
    gradient = torch.randn(shape[0], shape[2], *shape[4:6])
    doubles = [t.detach().double().requires_grad_() for t in tensors]
    truth = torch.autograd.grad(deform_conv2d_packed_reference(*doubles, slope), doubles, gradient.double())
    plain = torch.autograd.grad(deform_conv2d_packed_reference(*tensors, slope), tensors, gradient)
    compiled = torch.autograd.grad(deform_conv2d_packed_trained(*tensors, slope), tensors, gradient)
    for exact, a, b in zip(truth, plain, compiled, strict=True):
        assert (b - exact).abs().max() <= 2 * (a - exact).abs().max() + 1e-6 * exact.abs().max()


def test_gradients_do_not_depend_on_the_number_of_threads():
    """Bit for bit, or a resumed run would not repeat itself."""
    tensors = inputs(4, 32, 32, 8, 32, 32, 2.0)
    threads = torch.get_num_threads()
    found = []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            found.append(torch.autograd.grad(deform_conv2d_packed_trained(*tensors).sum(), tensors))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_it_works_under_autocast_and_returns_the_inputs_type():
    """Maps in bfloat16 and weights in float32, as in training; gradients come back in each tensor's type."""
    x, packed, weight, bias = inputs(2, 16, 16, 2, 8, 8, 1.0)
    x, packed = x.detach().bfloat16().requires_grad_(), packed.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = deform_conv2d_packed_trained(x, packed, weight, bias)
    y.float().sum().backward()
    assert y.dtype == x.grad.dtype == packed.grad.dtype == torch.bfloat16
    assert weight.grad.dtype == torch.float32
