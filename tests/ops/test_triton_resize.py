"""Pixel-shuffle and upsampling on a GPU: the Triton kernels against torch's operations."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.ops import conv, upsample
from edvr_cli.ops.conv import UpConv
from edvr_cli.ops.upsample import concat_upsampled
from tests.support.interpreter import interpreting
from tests.support.machine_code import CAPABILITIES, compile_kernel

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not made for this system")

HALF, BFLOAT, FLOAT = torch.float16, torch.bfloat16, torch.float32
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Callable]:
    """Call a function of this module in a process that interprets kernels."""
    with interpreting() as call:
        yield call


def random_map(shape: tuple[int, ...], dtype: torch.dtype, device: str, seed: int = 0) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)
    return x.contiguous(memory_format=torch.channels_last)


def assert_rounded_once(result: Tensor, exact: Tensor) -> None:
    """The exact value, rounded to the result's type."""
    assert result.is_contiguous(memory_format=torch.channels_last)
    precise = result.dtype == FLOAT
    tolerance = {"atol": 1e-6, "rtol": 1e-6 if precise else torch.finfo(result.dtype).eps / 1.9}
    torch.testing.assert_close(result.double(), exact, **tolerance)


def shuffled(shape: tuple[int, int, int, int], dtype: torch.dtype, slope: float, device: str) -> tuple[Tensor, Tensor]:
    """The kernel's result and the exact one."""
    from edvr_cli.ops.triton.resize import shuffled_triton

    x = random_map(shape, dtype, device)
    bias = torch.randn(shape[1], generator=torch.Generator().manual_seed(1)).to(device, dtype)
    exact = F.pixel_shuffle(F.leaky_relu(x.double() + bias.double().view(-1, 1, 1), slope), 2)
    return shuffled_triton(x, bias, slope).cpu(), exact.cpu()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [FLOAT, HALF, BFLOAT])
@pytest.mark.parametrize("shape", [(2, 64, 5, 7), (1, 256, 9, 11), (3, 8, 1, 1), (1, 4, 33, 40)])
def test_pixels_are_shuffled_after_bias_and_activation(interpreted: Callable, device: str, dtype, shape):
    """Of any size, for numbers of channels that are powers of two."""
    given = shape, dtype, 0.1, device
    assert_rounded_once(*(interpreted(shuffled, *given) if device == "cpu" else shuffled(*given)))


def upsampled(
    N: int, A: int, B: int, h: int, w: int, dtype: torch.dtype, factor: float, device: str
) -> tuple[Tensor, Tensor]:
    """The kernel's result and the exact one."""
    from edvr_cli.ops.triton.resize import concat_upsampled_triton

    a, b = random_map((N, A, 2 * h, 2 * w), dtype, device), random_map((N, B, h, w), dtype, device, 1)
    exact = concat_upsampled(a.double().cpu(), b.double().cpu(), factor)
    return concat_upsampled_triton(a, b, factor).cpu(), exact


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [FLOAT, HALF, BFLOAT])
@pytest.mark.parametrize(
    "sizes", [(2, 16, 16, 5, 7), (1, 64, 64, 9, 4), (2, 8, 32, 1, 1), (1, 4, 2, 1, 17), (3, 8, 8, 6, 1)]
)
def test_maps_are_upsampled_next_to_others(interpreted: Callable, device: str, dtype, sizes):
    """Bilinear, with the borders repeated, and multiplied."""
    for factor in (1.0, 2.0):
        given = *sizes, dtype, factor, device
        assert_rounded_once(*(interpreted(upsampled, *given) if device == "cpu" else upsampled(*given)))


def networks() -> list[Tensor]:
    """``UpConv`` and ``concat_upsampled`` as modules call them, also with channels that the kernels do not take."""
    torch.manual_seed(0)
    results = []
    with torch.no_grad():
        for O in (8, 6):
            module = UpConv(4, O).to(memory_format=torch.channels_last)
            x = random_map((2, 4, 6, 5), FLOAT, "cpu")
            results += [module(x), module(x, 0.1), module(x, 0.1, random_map((1, 4 * O, 6, 5), FLOAT, "cpu"))]
            results.append(
                concat_upsampled(random_map((2, O, 6, 10), FLOAT, "cpu"), random_map((2, 4, 3, 5), FLOAT, "cpu"), 2.0)
            )
    return results


def fused() -> list[Tensor]:
    conv.fuses = upsample.fuses = lambda *_: True
    return networks()


def test_modules_give_the_same_fused_or_not(interpreted: Callable):
    """Where channels are no power of two torch does it."""
    for result, expected in zip(interpreted(fused), networks(), strict=True):
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_kernels_compile_for_every_gpu_without_spills(capability: int):
    """With vector loads."""
    from edvr_cli.ops.triton import resize

    types = dict.fromkeys(("x", "bias", "y", "a", "b"), "*fp16") | {"H": "i32", "W": "i32"}
    types |= {"negative_slope": "fp32", "factor": "fp32"}
    shuffle = {"O": 64, "HAS_BIAS": True, "WIDE": False, "PIXELS": 16}
    concat = {"A": 64, "B": 64, "WIDE": False, "PIXELS": 32}
    for kernel, constants in ((resize._shuffle_kernel, shuffle), (resize._concat_kernel, concat)):
        code = compile_kernel(kernel, types, constants, capability, num_warps=4, enable_fp_fusion=True)
        assert code.spills == 0
        assert code.registers <= 128
        assert ".v4.b32" in code.ptx
