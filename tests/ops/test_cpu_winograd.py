"""Winograd's convolution against the direct one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edvr_cli.ops.conv import Conv, UpConv
from edvr_cli.ops.cpu.llvm_values import LANES
from edvr_cli.ops.cpu.winograd import WinogradConv2d, winograd


def direct(conv, x):
    """The convolution in float64."""
    bias = None if conv.bias is None else conv.bias.double()
    return F.conv2d(x.double(), conv.weight.double(), bias, padding=1)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (8, 12), (7, 30), (33, 41)])
@pytest.mark.parametrize("outputs", [3, 16, 40, 216])
def test_it_equals_a_direct_convolution(size, outputs):
    """For sizes that tiles do not divide, outputs that vectors do not, and several images at once."""
    torch.manual_seed(0)
    conv = nn.Conv2d(LANES * 2, outputs, 3, padding=1).requires_grad_(False)
    x = torch.randn(2, LANES * 2, *size)
    y = WinogradConv2d(conv)(x)
    assert y.stride(1) == 1
    torch.testing.assert_close(y.double(), direct(conv, x), atol=2e-5, rtol=0)


def test_without_a_bias_none_is_added():
    """As in the neighbor's half of a convolution over a pair."""
    conv = nn.Conv2d(LANES, 8, 3, padding=1, bias=False).requires_grad_(False)
    x = torch.randn(1, LANES, 9, 9)
    torch.testing.assert_close(WinogradConv2d(conv)(x).double(), direct(conv, x), atol=2e-5, rtol=0)


@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_follows_the_convolution_is_fused(slope, adds, dtype):
    """A sum, then LeakyReLU; tiles at the border see neither more nor less of the map that is added."""
    torch.manual_seed(0)
    conv = Conv(LANES, LANES * 2).requires_grad_(False).to(dtype)
    x = torch.randn(2, LANES, 7, 12, dtype=dtype)
    add = torch.randn(2, LANES * 2, 7, 12, dtype=dtype) if adds else None
    expected = direct(conv, x) + (add.double() if adds else 0)
    expected = torch.where(expected >= 0, expected, expected * slope)
    y = WinogradConv2d(conv)(x, slope, add)
    torch.testing.assert_close(y.double(), expected, atol=2e-5 if dtype == torch.float32 else 0.1, rtol=0)


@pytest.mark.parametrize("outputs", [LANES, 8, LANES * 3])
def test_pixels_are_shuffled_on_the_way_out(outputs):
    """Also where the outputs of a pixel fill no vector."""
    conv = UpConv(LANES, outputs).requires_grad_(False)
    x = torch.randn(2, LANES, 6, 9)
    torch.testing.assert_close(WinogradConv2d(conv)(x, 0.1), conv(x, 0.1), atol=2e-5, rtol=0)


def test_maps_may_be_parts_of_wider_ones():
    """Some channels of a map, or every other image."""
    conv = Conv(LANES, LANES).requires_grad_(False)
    wide = torch.randn(4, LANES * 3, 9, 9).contiguous(memory_format=torch.channels_last)
    x, add = wide[::2, LANES : LANES * 2], wide[1::2, LANES * 2 :]
    torch.testing.assert_close(WinogradConv2d(conv)(x, 0.1, add), conv(x, 0.1, add), atol=2e-5, rtol=0)


def test_bfloat16_errs_by_less_than_two_percent():
    """Of what the output varies by, with weights and maps that are exact in bfloat16."""
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3, padding=1).requires_grad_(False).bfloat16()
    x = torch.randn(1, 64, 30, 30).bfloat16()
    y = WinogradConv2d(conv)(x)
    assert y.dtype == torch.bfloat16
    expected = direct(conv, x)
    assert (y - expected).std() < 0.02 * expected.std()


def test_threads_do_not_change_the_result():
    """Blocks are computed alike, whoever takes them."""
    conv = nn.Conv2d(LANES, LANES, 3, padding=1).requires_grad_(False)
    x = torch.randn(1, LANES, 64, 64)
    threads = torch.get_num_threads()
    convolve = WinogradConv2d(conv)
    expected = convolve(x)
    try:
        torch.set_num_threads(3)
        with torch.inference_mode():
            assert torch.equal(convolve(x), expected)
    finally:
        torch.set_num_threads(threads)


def test_only_the_convolutions_that_it_can_compute_are_replaced(monkeypatch):
    """Not strided, 1×1, or of a number of channels that does not fill vectors."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    model = nn.Sequential(
        nn.Conv2d(LANES, LANES, 3, padding=1),
        nn.Conv2d(LANES, LANES, 3, stride=2, padding=1),
        nn.Conv2d(LANES, LANES, 1),
        nn.Conv2d(3, LANES, 3, padding=1),
        nn.Sequential(nn.Conv2d(LANES, 3, 3, padding=1)),
    )
    winograd(model)
    assert [type(model[i]) for i in range(4)] == [WinogradConv2d, nn.Conv2d, nn.Conv2d, nn.Conv2d]
    assert isinstance(model[4][0], WinogradConv2d)


@pytest.mark.parametrize(
    ("capabilities", "dtype"), [({}, torch.float32), ({"avx512_f": True, "amx_bf16": True}, torch.bfloat16)]
)
def test_processors_on_which_it_would_not_pay_keep_their_convolutions(capabilities, dtype, monkeypatch):
    """Those without wide vectors, and bfloat16 where there is a matrix unit."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    model = nn.Sequential(nn.Conv2d(LANES, LANES, 3, padding=1)).to(dtype)
    winograd(model)
    assert isinstance(model[0], nn.Conv2d)
