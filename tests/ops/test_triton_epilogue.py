"""What follows a convolution on a GPU: the Triton kernel against torch's operations, and where it is used."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from math import gcd

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from edvr_cli.ops import conv, triton_status
from edvr_cli.ops.conv import Conv, activated_sum
from edvr_cli.ops.triton_status import fuses, is_pixels_first
from tests.support.interpreter import interpreting
from tests.support.machine_code import CAPABILITIES, compile_kernel

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not made for this system")

HALF, BFLOAT, FLOAT = torch.float16, torch.bfloat16, torch.float32
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else ["cpu"]


@dataclass(frozen=True)
class Case:
    """One random call."""

    dtype: torch.dtype
    shape: tuple[int, int, int, int] = (4, 16, 5, 7)
    bias: bool = True
    images: int = 0  # of the added map; 0: nothing is added
    slope: float = 0.1
    in_place: bool = True


def compute(case: Case, device: str) -> tuple[Tensor, Tensor, bool]:
    """The kernel's result, the definition's in float64, and whether the input was overwritten."""
    from edvr_cli.ops.triton.epilogue import epilogue_triton

    random = torch.Generator().manual_seed(0)
    N, C, H, W = case.shape
    last = {"memory_format": torch.channels_last}
    x = torch.randn(case.shape, generator=random).to(device, case.dtype).contiguous(**last)
    bias = torch.randn(C, generator=random).to(device, case.dtype) if case.bias else None
    add = None
    if case.images:
        add = torch.randn(case.images, C, H, W, generator=random).to(device, case.dtype).contiguous(**last)
    exact = x.double()
    if bias is not None:
        exact = exact + bias.double().view(-1, 1, 1)
    if add is not None:
        exact = exact + add.double().repeat(N // case.images, 1, 1, 1)
    exact = torch.where(exact > 0, exact, exact * case.slope)
    y = epilogue_triton(x, bias, add, case.slope, in_place=case.in_place)
    assert y.dtype == case.dtype
    assert y.is_contiguous(**last)
    return y.cpu(), exact.cpu(), y.data_ptr() == x.data_ptr()


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Callable]:
    """Call a function of this module in a process that interprets kernels."""
    with interpreting() as call:
        yield call


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [FLOAT, HALF, BFLOAT])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"images": 4},
        {"images": 2},
        {"images": 1, "bias": False, "in_place": False},
        {"bias": False, "images": 4, "in_place": False},
        {"slope": 0.0, "images": 1},
        {"slope": 1.0},
        {"shape": (1, 3, 33, 31)},
        {"shape": (3, 216, 5, 9)},
        {"shape": (2, 24, 16, 8)},
        {"shape": (2, 1, 1, 1)},
        {"shape": (0, 16, 4, 4)},
    ],
    ids=str,
)
def test_the_kernel_rounds_the_exact_result_once(interpreted: Callable, device: str, dtype: torch.dtype, change: dict):
    """Bias, an added map for one or several images, LeakyReLU, ReLU or neither; in place only where allowed."""
    case = Case(dtype, **change)
    result, exact, overwritten = interpreted(compute, case, device) if device == "cpu" else compute(case, device)
    tolerance = {"atol": 1e-6, "rtol": 1e-6} if dtype == FLOAT else {"atol": 1e-6, "rtol": torch.finfo(dtype).eps / 1.9}
    torch.testing.assert_close(result.double(), exact, **tolerance)
    if exact.numel():
        assert overwritten == case.in_place


def special(device: str) -> Tensor:
    """NaN and infinities through LeakyReLU."""
    from edvr_cli.ops.triton.epilogue import epilogue_triton

    x = torch.tensor([torch.nan, torch.inf, -torch.inf, -1.0], device=device).view(1, 4, 1, 1)
    return epilogue_triton(x.contiguous(memory_format=torch.channels_last), None, None, 0.5).flatten().cpu()


@pytest.mark.parametrize("device", DEVICES)
def test_nan_stays_nan(interpreted: Callable, device: str):
    """So that the check for finite frames finds it."""
    result = interpreted(special, device) if device == "cpu" else special(device)
    assert result.isnan().tolist() == [True, False, False, False]
    assert result[1:].tolist() == [torch.inf, -torch.inf, -0.5]


def with_wide_index(case: Case) -> Tensor:
    from edvr_cli.ops.triton import epilogue

    narrow = epilogue._needs_wide_index
    epilogue._needs_wide_index = lambda *_: True
    try:
        return compute(case, "cpu")[0]
    finally:
        epilogue._needs_wide_index = narrow


def test_wide_addresses_give_the_same_result(interpreted: Callable):
    """The kernel for maps beyond 2³¹ values, on small ones."""
    case = Case(HALF, images=2)
    assert torch.equal(interpreted(with_wide_index, case), interpreted(compute, case, "cpu")[0])


def test_other_layouts_and_types_are_left_to_torch():
    """Channels must lie side by side; float64 would be rounded."""
    x = torch.zeros(2, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    nchw = torch.zeros(2, 8, 4, 4)
    assert is_pixels_first(x, None, x)
    assert not is_pixels_first(nchw)
    assert not is_pixels_first(x, nchw)
    assert not is_pixels_first(x.double())


def convolved(forward: Callable[..., Tensor]) -> list[Tensor]:
    """``Conv`` and ``activated_sum`` over batches of 4, with maps for 4, 2 and 1 images added."""
    torch.manual_seed(0)
    x = torch.randn(4, 8, 6, 5).contiguous(memory_format=torch.channels_last)
    results = []
    for kernel, stride in ((3, 1), (3, 2), (1, 1)):
        module = Conv(8, 16, stride, kernel=kernel).requires_grad_(False).to(memory_format=torch.channels_last)
        y = F.conv2d(x, module.weight, module.bias, stride, kernel // 2)
        for slope in (1.0, 0.1, 0.0):
            results.append(forward(module, x, slope, None))
            for images in (4, 2, 1):
                add = torch.randn(images, *y.shape[1:]).contiguous(memory_format=torch.channels_last)
                results += [forward(module, x, slope, add), activated_sum(y, add, slope)]
    return results


def as_on_a_gpu(module: Conv, x: Tensor, slope: float, add: Tensor | None) -> Tensor:
    return module(x, slope, add)


def spelled_out(module: Conv, x: Tensor, slope: float, add: Tensor | None) -> Tensor:
    y = F.conv2d(x, module.weight, module.bias, module.stride, module.padding)
    if add is not None:
        y = y + add.repeat(len(y) // len(add), 1, 1, 1)
    return torch.where(y > 0, y, y * slope)


def fused() -> list[Tensor]:
    conv.fuses = lambda *_: True
    with torch.no_grad():
        return convolved(as_on_a_gpu)


def test_a_convolution_equals_its_steps_fused_or_not(interpreted: Callable):
    """On a GPU the convolution goes without its bias, which the kernel adds."""
    expected = convolved(spelled_out)
    for results in (interpreted(fused), convolved(as_on_a_gpu)):
        for result, wanted in zip(results, expected, strict=True):
            torch.testing.assert_close(result, wanted, atol=1e-5, rtol=1e-5)


def test_the_kernel_is_for_gpus_without_gradients(monkeypatch: pytest.MonkeyPatch):
    """Where Triton works."""
    monkeypatch.setattr(triton_status, "triton_fault", lambda device, kernel=None: None)
    assert not fuses(torch.zeros(1))
    with FakeTensorMode():
        x = torch.empty(1, 8, 4, 4, device="cuda", dtype=HALF)
        assert fuses(x, None, x)
        weight = torch.empty(8, device="cuda", requires_grad=True)
        assert not fuses(x, weight)
        with torch.no_grad():
            assert fuses(x, weight)
        monkeypatch.setattr(triton_status, "triton_fault", lambda device, kernel=None: triton_status.Fault("", ""))
        assert not fuses(x, None, x)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("element", "C"), [("*fp16", 64), ("*bf16", 216), ("*fp32", 32)])
def test_it_compiles_to_vector_loads_without_spills(element: str, C: int, capability: int):
    """For every GPU: 16 bytes a load of each map, read once and written once."""
    from edvr_cli.ops.triton.epilogue import _BLOCK, _epilogue_kernel

    types = dict.fromkeys(("x", "bias", "add", "y"), element) | {"vectors": "i32", "added": "i32"}
    constants = {"C": C, "VECTOR": gcd(C, 16), "HAS_BIAS": True, "ADDS": True, "WIDE": False, "BLOCK": _BLOCK}
    types["negative_slope"] = "fp32"
    code = compile_kernel(_epilogue_kernel, types, constants, capability, num_warps=4, enable_fp_fusion=True)
    size = 4 if element == "*fp32" else 2
    assert code.spills == 0
    assert code.registers <= 64
    assert code.ptx.count("ld.global.v4.b32") == 3 * _BLOCK * size // (128 * 16)
    assert code.ptx.count("ld.global") == code.ptx.count("ld.global.v4.b32")
    assert code.ptx.count("st.global.v4.b32") == _BLOCK * size // (128 * 16)
