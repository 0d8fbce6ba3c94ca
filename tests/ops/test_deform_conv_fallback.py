"""The deformable convolution without a kernel: torchvision's and the definition in strips, against the definition."""

import sys
import types

import pytest
import torch
import torch.nn.functional as F

from edvr_cli.ops import deform_conv, deform_conv_fallback
from edvr_cli.ops.deform_conv import deform_conv2d_packed
from edvr_cli.ops.deform_conv_fallback import deform_conv2d_in_strips, deform_conv2d_torchvision, torchvision_works
from edvr_cli.ops.deform_conv_reference import deform_conv2d_reference, split_packed
from tests.ops.test_deform_conv import problem


def strided(x, offset, weight, bias=None, *, stride=(1, 1), padding=0, mask=None):
    """What torchvision documents, for a kernel of 3 and a padding of 1: samples of x at strided positions."""
    assert padding == 1
    (N, C, H, W), (O, _, k, _) = x.shape, weight.shape
    K, h, w = k * k, (H - 1) // stride[0] + 1, (W - 1) // stride[1] + 1
    assert offset.shape[2:] == mask.shape[2:] == (h, w)
    assert offset.dtype == mask.dtype == x.dtype == torch.float32
    G = mask.shape[1] // K
    tap = torch.arange(K)
    y = (
        offset.view(N, G, K, 2, h, w)[:, :, :, 0]
        + (tap // k - 1).view(K, 1, 1)
        + (torch.arange(h) * stride[0])[:, None]
    )
    z = offset.view(N, G, K, 2, h, w)[:, :, :, 1] + (tap % k - 1).view(K, 1, 1) + torch.arange(w) * stride[1]
    grid = torch.stack(((z + 0.5) * 2 / W - 1, (y + 0.5) * 2 / H - 1), dim=-1).view(N * G, K * h, w, 2)
    samples = F.grid_sample(x.reshape(N * G, C // G, H, W), grid, align_corners=False).view(N, G, C // G, K, h, w)
    columns = (samples * mask.view(N, G, 1, K, h, w)).view(N, C * K, h * w)
    y = (weight.view(O, C * K) @ columns).view(N, O, h, w)
    return y if bias is None else y + bias.view(1, O, 1, 1)


@pytest.fixture
def torchvision(monkeypatch):
    """A module like torchvision, that notes how many rows it is asked for."""
    rows = []

    def deform_conv2d(x, offset, *args, mask=None, **kwargs):
        rows.append(offset.shape[2])
        return strided(x, offset, *args, mask=torch.ones_like(offset[:, ::2]) if mask is None else mask, **kwargs)

    ops = types.ModuleType("torchvision.ops")
    ops.deform_conv2d = deform_conv2d
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.ops", ops)
    torchvision_works.cache_clear()
    yield rows
    torchvision_works.cache_clear()


@pytest.mark.parametrize("height", [1, 7, 10, 31])
@pytest.mark.parametrize("strips", [1, 2, 3, 4, 7, 40])
def test_strips_together_are_the_whole(height, strips, torchvision, monkeypatch):
    """By the definition and by torchvision, whose rows are fitted by its stride."""
    args = problem(H=height)
    expected = deform_conv2d_reference(*args)
    for convolve, values in ((deform_conv2d_in_strips, (2 * 8 + 6 * 4) * 9), (deform_conv2d_torchvision, 8 * 9)):
        bound = -(-height // strips)
        monkeypatch.setattr(deform_conv_fallback, "STRIP_BYTES", bound * values * 4 * 9)
        torch.testing.assert_close(convolve(*args), expected, atol=1e-4, rtol=1e-4)
    assert max(torchvision) <= bound * 1.5


def test_gradients_are_the_definition_s(torchvision):
    """Of all inputs; strips would keep their samples all the same."""
    grads = []
    for convolve in (deform_conv2d_torchvision, deform_conv2d_in_strips, deform_conv2d_reference):
        leaves = [t.clone().requires_grad_() for t in problem()]
        convolve(*leaves).square().sum().backward()
        grads.append([leaf.grad for leaf in leaves])
    for found in grads[:-1]:
        for a, b in zip(found, grads[-1], strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)
    assert torchvision == [7]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_results_only(dtype, torchvision):
    """As close to float64 as the definition."""
    args = [t.to(dtype) for t in problem()]
    exact = deform_conv2d_reference(*(t.double() for t in args))
    plain = (deform_conv2d_reference(*args).double() - exact).norm()
    for convolve in (deform_conv2d_torchvision, deform_conv2d_in_strips):
        y = convolve(*args)
        assert y.dtype == dtype
        assert (y.double() - exact).norm() <= 1.01 * plain


def test_half_precision_is_widened_an_image_at_a_time(torchvision, monkeypatch):
    """With all of them at once, the peak on an H200 was 1.3 GB and more above what was planned."""
    args = [t.half() for t in problem(N=4)]
    sizes, widened = [], torch.Tensor.float
    monkeypatch.setattr(torch.Tensor, "float", lambda t: (sizes.append(len(t)), widened(t))[1])
    deform_conv2d_torchvision(*args)
    weight = args[3]
    assert set(sizes) == {1, len(weight)}


def test_the_packed_form_is_dispatched_to_torchvision(torchvision, monkeypatch):
    """With sigmoid and LeakyReLU around it."""
    x, offset, mask, weight, bias = problem()
    packed = torch.cat((offset, mask), dim=1)
    expected = F.leaky_relu(deform_conv2d_reference(x, offset, split_packed(packed, 3)[1].sigmoid(), weight, bias), 0.1)
    monkeypatch.setattr(deform_conv, "implementation", lambda *_: "torchvision")
    torch.testing.assert_close(deform_conv2d_packed(x, packed, weight, bias, 0.1), expected, atol=1e-4, rtol=1e-4)
    assert torchvision == [7, 7]


def test_torchvision_must_prove_that_it_works(torchvision, monkeypatch):
    """Builds for another torch, or without the device's operations, raise on import or when called."""
    assert torchvision_works(torch.device("cpu"))
    torchvision_works.cache_clear()

    def foreign(*_, **__):
        raise NotImplementedError("Could not run 'torchvision::deform_conv2d' with arguments from the 'CUDA' backend")

    monkeypatch.setattr(sys.modules["torchvision.ops"], "deform_conv2d", foreign)
    assert not torchvision_works(torch.device("cpu"))
    torchvision_works.cache_clear()
    monkeypatch.setitem(sys.modules, "torchvision.ops", None)
    assert not torchvision_works(torch.device("cpu"))


def test_torchvision_is_left_alone_on_other_streams(monkeypatch: pytest.MonkeyPatch):
    """It would start its kernels on the default stream, out of order; so a recorded training step does without it."""
    monkeypatch.setattr(deform_conv_fallback, "torchvision_works", lambda _: True)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda _: "default")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: "default")
    assert deform_conv_fallback.torchvision_serves(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: "another")
    assert not deform_conv_fallback.torchvision_serves(torch.device("cuda"))
