"""The GPU kernels for training against the definition's gradients: interpreted, and on the GPU where there is one."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from edvr_cli.errors import DeviceError
from edvr_cli.ops import deform_conv, selftest
from edvr_cli.ops.deform_conv_reference import deform_conv2d_packed_reference
from edvr_cli.ops.triton_status import Fault
from tests.support.interpreter import interpreting
from tests.support.machine_code import CAPABILITIES, compile_kernel

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not made for this system")

HALF, BFLOAT, FLOAT = torch.float16, torch.bfloat16, torch.float32
SLOPE = 0.1
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Callable]:
    with interpreting() as call:
        yield call


@pytest.fixture(params=DEVICES)
def call(request: pytest.FixtureRequest, interpreted: Callable) -> Callable:
    """Call a function of this module with the device as its last argument."""
    if request.param == "cpu":
        return lambda function, *given: interpreted(function, *given, "cpu")
    return lambda function, *given: function(*given, "cuda")


def arguments(N: int, C: int, G: int, O: int, H: int, W: int, k: int, dtype: torch.dtype, device: str) -> list[Tensor]:
    """x, packed, weight, bias; samples lie between whole pixels, where the gradient jumps."""
    random = torch.Generator().manual_seed(0)
    K = k * k
    x = torch.randn(N, C, H, W, generator=random)
    offset = (torch.randn(N, 2 * G * K, H, W, generator=random) * 3).floor() + 0.25
    packed = torch.cat((offset, torch.randn(N, G * K, H, W, generator=random)), dim=1)
    weight = torch.randn(O, C, k, k, generator=random) / (C * K) ** 0.5
    return [t.to(device, dtype) for t in (x, packed, weight, torch.randn(O, generator=random))]


def kernels(*given: Tensor) -> Tensor:
    from edvr_cli.ops.triton.deform_conv_grad import deform_conv2d_packed_trained_triton

    return deform_conv2d_packed_trained_triton(*given)


def results(operation: Callable, given: list[Tensor], dtype: torch.dtype, slope: float) -> list[Tensor]:
    """What comes out, and the gradients of x, packed, weight and bias."""
    leaves = [t.detach().to(dtype).requires_grad_() for t in given]
    y = operation(*leaves, slope)
    share = torch.linspace(-1, 1, y.numel(), device=y.device, dtype=y.dtype).view_as(y)
    return [y.detach(), *torch.autograd.grad((y * share).sum(), leaves)]


def errors(shape: tuple[int, ...], dtype: torch.dtype, slope: float, device: str) -> list[tuple[float, float]]:
    """Of each result the kernels' and plain torch's distance from float64, relative."""
    given = arguments(*shape, dtype, device)
    exact = results(deform_conv2d_packed_reference, given, torch.float64, slope)
    pairs = zip(
        results(kernels, given, dtype, slope), results(deform_conv2d_packed_reference, given, dtype, slope), exact,
        strict=True,
    )  # fmt: skip
    return [(float((a.double() - e).norm() / e.norm()), float((b.double() - e).norm() / e.norm())) for a, b, e in pairs]


@pytest.mark.parametrize("dtype", [FLOAT, HALF, BFLOAT])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 64, 8, 64, 9, 5, 3),
        (2, 32, 8, 32, 6, 11, 3),
        (1, 8, 8, 4, 7, 3, 3),
        (3, 6, 3, 5, 4, 4, 1),
        (1, 32, 2, 8, 6, 5, 5),
    ],
    ids=str,
)
def test_gradients_are_as_true_as_plain_torchs(call: Callable, shape: tuple[int, ...], dtype: torch.dtype):
    """Groups of 1 to 16 channels, kernels of 1, 3 and 5, batches, maps that do not fill a program."""
    for ours, plain in call(errors, shape, dtype, SLOPE):
        assert ours <= 2 * plain + 1e-7


def test_the_operation_without_activation(call: Callable):
    """A slope of 1 is none."""
    assert all(ours <= 2 * plain + 1e-7 for ours, plain in call(errors, (1, 16, 4, 8, 5, 6, 3), FLOAT, 1.0))


def far_outside(device: str) -> list[Tensor]:
    x, packed, weight, bias = arguments(1, 16, 4, 8, 5, 6, 3, FLOAT, device)
    for tap, value in enumerate((1e6, -1e6, 3e38, torch.inf, -torch.inf, torch.nan)):
        packed[:, 2 * tap + tap % 2] = value
    return [t.cpu() for t in results(kernels, [x, packed, weight, bias], FLOAT, SLOPE)]


def test_samples_far_outside_have_no_gradient(call: Callable):
    """Offsets of ±1e6, infinity and NaN read and write nothing, and the rest is finite."""
    found = call(far_outside)
    assert all(t.isfinite().all() for t in found)
    assert not found[2][:, :12].any()  # their offsets
    assert not found[2][:, 2 * 36 : 2 * 36 + 6].any()  # and masks
    assert found[2][:, 12:72].any()


def in_training(device: str) -> tuple[torch.dtype, list[torch.dtype], bool]:
    """Types of the result and the gradients, and whether both maps are channels_last."""
    x, packed, weight, bias = arguments(2, 16, 4, 8, 5, 6, 3, FLOAT, device)
    x, packed = (t.bfloat16() for t in (x, packed))
    leaves = [t.requires_grad_() for t in (x, packed, weight, bias)]
    with torch.autocast(device, torch.bfloat16):
        y = kernels(*leaves, SLOPE)
    found = torch.autograd.grad(y.float().sum(), leaves)
    last = all(t.is_contiguous(memory_format=torch.channels_last) for t in (y, *found[:2]))
    return y.dtype, [gradient.dtype for gradient in found], last


def test_it_works_under_autocast(call: Callable):
    """Maps in bfloat16 and weights in float32, as in training."""
    assert call(in_training) == (BFLOAT, [BFLOAT, BFLOAT, FLOAT, FLOAT], True)


def test_training_on_a_gpu_takes_the_kernels(monkeypatch: pytest.MonkeyPatch):
    """Where Triton runs, groups are a power of two wide, and all is on one device in a type that it knows."""
    faults = {}
    monkeypatch.setattr(deform_conv, "triton_fault", lambda device, kernel: faults.get(kernel))
    with FakeTensorMode():

        def chosen(C: int = 32, dtype: torch.dtype = HALF, side: int = 4, trained: bool = True) -> str:
            shapes = (1, C, side, side), (1, 216, side, side), (C, C, 3, 3)
            return deform_conv.training_kernel(
                *(torch.empty(s, device="cuda", dtype=dtype).requires_grad_(trained) for s in shapes), None
            )

        assert chosen() == chosen(dtype=FLOAT) == "triton"
        assert chosen(trained=False) == chosen(C=24) == chosen(dtype=torch.float64) == chosen(side=4096) == ""
        faults[deform_conv.KERNEL] = Fault("the other kernel's", "")
        assert chosen() == "triton"
        faults[deform_conv.TRAINING_KERNEL] = Fault("it does not compile", "")
        assert chosen() == ""


@pytest.mark.parametrize("number", range(4))
def test_selftest_stops_a_gradient_that_is_wrong(number: int):
    """One percent off in one of the four, and the error names it."""

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx, gradient: Tensor) -> Tensor:
            return gradient * 1.01

    def wrong(*given: Tensor | float) -> Tensor:
        changed = [Wrong.apply(t) if n == number else t for n, t in enumerate(given)]
        return deform_conv2d_packed_reference(*changed)

    given = arguments(1, 16, 4, 16, 5, 6, 3, FLOAT, "cpu")
    selftest.verify_gradients(deform_conv2d_packed_reference, given)
    name = ("features", "offsets", "weight", "bias")[number]
    with pytest.raises(DeviceError, match=f"convolution's gradient of the {name} computes wrongly on cpu"):
        selftest.verify_gradients(wrong, given)


def selftest_of_kernels(dtype: torch.dtype) -> None:
    selftest.verify_gradients(kernels, tuple(arguments(1, 32, 8, 32, 6, 7, 3, dtype, "cpu")))


@pytest.mark.parametrize("dtype", [FLOAT, HALF, BFLOAT])
def test_selftest_passes_the_kernels(interpreted: Callable, dtype: torch.dtype):
    """At every precision, by the tolerance of the other kernels."""
    interpreted(selftest_of_kernels, dtype)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("group", [4, 8, 16])
def test_kernels_compile_for_every_gpu(group: int, capability: int):
    """S, M and L: a pair's channels in one load where 16 bytes hold them, four sums at once from Hopper on."""
    from edvr_cli.ops.triton.deform_kernels import sample_grad_kernel, sample_kernel

    sizes = {"G": 8, "GROUP": group, "KERNEL": 3, "PAIRS": 128}
    types = dict.fromkeys(("x", "packed", "columns", "gradient", "to_packed"), "*bf16")
    types |= {"to_x": "*fp32", "H": "i32", "W": "i32"}
    for kernel in (sample_kernel, sample_grad_kernel):
        code = compile_kernel(kernel, types, sizes, capability, num_warps=4)
        assert (".v4.b32" if group > 4 else ".v2.b32") in code.ptx
        assert code.spills == 0
        if kernel is sample_grad_kernel and capability >= 90:
            assert ".add.v4.f32" in code.ptx
