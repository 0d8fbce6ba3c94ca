"""The GPU kernel against the definition: interpreted on the CPU, and on the GPU itself where there is one.

Triton decides at import whether it interprets, so that happens in a child process. What the interpreter cannot
tell, whether the kernel compiles for a GPU and to what, is read off the machine code compiled here.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from math import gcd
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from edvr_cli.errors import DeviceError
from edvr_cli.ops import deform_conv, deform_conv_fallback, selftest
from edvr_cli.ops.deform_conv_reference import deform_conv2d_packed_reference, deform_conv2d_reference, split_packed
from tests.support.errors import raises
from tests.support.interpreter import interpret
from tests.support.machine_code import CAPABILITIES, MachineCode, compile_kernel

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not made for this system")

HALF, BFLOAT, FLOAT = torch.float16, torch.bfloat16, torch.float32
SLOPE = 0.1
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else ["cpu"]


@dataclass(frozen=True)
class Case:
    """One random call of the operation."""

    dtype: torch.dtype
    C: int = 16
    G: int = 4
    O: int = 16
    N: int = 1
    H: int = 4
    W: int = 7
    k: int = 3
    bias: bool = True
    slope: float = SLOPE
    packed: bool = True
    offset_dtype: torch.dtype | None = None  # dtype by default
    reach: float = 3.0  # standard deviation of the offsets, in pixels
    channels_last: bool = True
    tiles: tuple[int, int, int, int, int, bool] | None = None


def arguments(case: Case, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """x, packed, weight, bias."""
    random = torch.Generator().manual_seed(0)
    K = case.k**2
    x = torch.randn(case.N, case.C, case.H, case.W, generator=random)
    packed = torch.randn(case.N, 3 * case.G * K, case.H, case.W, generator=random)
    packed[:, : 2 * case.G * K] *= case.reach
    weight = torch.randn(case.O, case.C, case.k, case.k, generator=random) / (case.C * K) ** 0.5
    bias = torch.randn(case.O, generator=random).to(device, case.dtype) if case.bias else None
    layout = torch.channels_last if case.channels_last else torch.contiguous_format
    return (
        x.to(device, case.dtype).contiguous(memory_format=layout),
        packed.to(device, case.offset_dtype or case.dtype).contiguous(memory_format=layout),
        weight.to(device, case.dtype),
        bias,
    )


def kernel(case: Case, x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton, deform_conv2d_triton
    from edvr_cli.ops.triton.tiles import Tiles

    tiles = Tiles(*case.tiles) if case.tiles else None
    if case.packed:
        return deform_conv2d_packed_triton(x, packed, weight, bias, case.slope, products="ieee", tiles=tiles)
    offset, mask = split_packed(packed, case.k)
    return deform_conv2d_triton(x, offset, mask, weight, bias, products="ieee", tiles=tiles)


def definition(case: Case, x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if case.packed:
        return deform_conv2d_packed_reference(x, packed, weight, bias, case.slope)
    return deform_conv2d_reference(x, *split_packed(packed, case.k), weight, bias)


def compute(case: Case, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """The result of the kernel, of plain torch at the same precision, and of the definition in float64."""
    given = arguments(case, device)
    exact = definition(case, *(t if t is None else t.double() for t in given))
    return kernel(case, *given).cpu(), definition(case, *given).cpu(), exact.cpu()


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Callable]:
    """Call a function of this module in a process that interprets kernels."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=interpret) as pool:
        yield lambda function, *given: pool.submit(function, *given).result()


@pytest.fixture(params=DEVICES)
def run(request: pytest.FixtureRequest, interpreted: Callable) -> Callable[[Case], tuple[Tensor, Tensor, Tensor]]:
    if request.param == "cpu":
        return lambda case: interpreted(compute, case, "cpu")
    return lambda case: compute(case, "cuda")


def assert_close(results: tuple[Tensor, Tensor, Tensor]) -> None:
    """The derived tolerance: at most twice plain torch's own error, on the whole and at the worst value."""
    result, plain, exact = (t.double() for t in results)
    assert (result - exact).norm() <= 2 * (plain - exact).norm()
    assert (result - exact).abs().max() <= 2 * (plain - exact).abs().max()


@pytest.mark.parametrize("dtype", [FLOAT, HALF, BFLOAT])
@pytest.mark.parametrize(
    ("C", "G", "O"),
    [(64, 8, 64), (32, 8, 32), (32, 2, 16), (24, 2, 20), (20, 5, 3), (36, 3, 8), (48, 1, 33), (16, 2, 130)],
)
def test_error_is_at_most_twice_plain_torchs(run: Callable, dtype: torch.dtype, C: int, G: int, O: int):
    """Groups of 4 to 48 channels, powers of two or not; the map has odd sizes and does not fill its tiles."""
    assert_close(run(Case(dtype, C, G, O)))


@pytest.mark.parametrize("dtype", [FLOAT, HALF])
@pytest.mark.parametrize(
    "change",
    [
        {"k": 1},
        {"k": 5},
        {"bias": False},
        {"slope": 1.0},
        {"packed": False, "N": 2},
        {"packed": False, "bias": False},
        {"offset_dtype": FLOAT},
        {"channels_last": False},
        {"N": 3, "H": 7, "W": 11},
        {"H": 1, "W": 1, "N": 5},
        {"H": 40, "W": 1},
        {"H": 1, "W": 40},
        {"reach": 0.0},
        {"reach": 40.0},
    ],
    ids=str,
)
def test_error_holds_for_every_form_of_the_operation(run: Callable, dtype: torch.dtype, change: dict):
    """Kernel sizes, missing bias, no activation, offsets in float32, batches, and maps a pixel wide."""
    assert_close(run(replace(Case(dtype), **change)))


@pytest.mark.parametrize("tiles", [(64, 64, 16, 4, 1, False), (16, 32, 32, 4, 2, False), (32, 128, 16, 8, 3, True)])
def test_error_does_not_depend_on_the_tiles(run: Callable, tiles: tuple):
    """Tile sizes and the order of taps and groups, with pairs that do not fill a chunk."""
    assert_close(run(Case(HALF, 24, 3, 20, H=9, W=11, tiles=tiles)))


def far_outside(device: str) -> tuple[Tensor, Tensor]:
    """Results where some offsets are ±1e6, infinite or NaN, and where their samples are masked out instead."""
    case = Case(FLOAT, reach=1.0)
    x, packed, weight, bias = arguments(case, device)
    K = case.k**2
    masked = packed.clone()
    offset, mask = packed.view(3, case.G * K, -1)[:2].reshape(case.G * K, 2, -1), masked[:, 2 * case.G * K :]
    for tap, value in enumerate((1e6, -1e6, 3e38, torch.inf, -torch.inf, torch.nan)):
        offset[tap, tap % 2, ::2] = value
        mask.flatten(2)[:, tap, ::2] = -torch.inf
    return kernel(case, x, packed, weight, bias).cpu(), kernel(case, x, masked, weight, bias).cpu()


@pytest.mark.parametrize("device", DEVICES)
def test_samples_far_outside_contribute_nothing(interpreted: Callable, device: str):
    """No address is formed from them: offsets of ±1e6, infinity and NaN read nothing."""
    result, expected = interpreted(far_outside, device) if device == "cpu" else far_outside(device)
    assert result.isfinite().all()
    assert torch.equal(result, expected)


def with_wide_index(case: Case) -> Tensor:
    from edvr_cli.ops.triton import deform_conv as deform_conv_triton

    narrow = deform_conv_triton._needs_wide_index
    deform_conv_triton._needs_wide_index = lambda *_: True
    try:
        return kernel(case, *arguments(case, "cpu"))
    finally:
        deform_conv_triton._needs_wide_index = narrow


def test_wide_addresses_give_the_same_result(interpreted: Callable):
    """The kernel for maps beyond 2³¹ elements an image, on a small one."""
    case = Case(HALF, N=2)
    assert torch.equal(interpreted(with_wide_index, case), interpreted(compute, case, "cpu")[0])


def wide_index_needed(pixels: int) -> bool:
    from edvr_cli.ops.triton.deform_conv import _needs_wide_index

    return _needs_wide_index(pixels, 64, 64, 72)


def test_wide_addresses_begin_where_32_bits_end(interpreted: Callable):
    """The widest map, the packed offsets with 216 channels, decides: 4K fits, 8K does not."""
    assert not interpreted(wide_index_needed, 3840 * 2160)
    assert interpreted(wide_index_needed, 7680 * 4320)


def layouts(case: Case) -> tuple[bool, torch.Size, torch.Size]:
    x, packed, weight, bias = arguments(case, "cpu")
    y = kernel(case, x, packed, weight, bias)
    empty = kernel(case, x[:0], packed[:0], weight, bias)
    return y.is_contiguous(memory_format=torch.channels_last), y.shape, empty.shape


def test_result_is_channels_last_and_may_be_empty(interpreted: Callable):
    """Whatever the layout of the input; a batch of none gives none."""
    is_channels_last, shape, empty = interpreted(layouts, Case(HALF, O=24, N=2, channels_last=False))
    assert is_channels_last
    assert (shape, empty) == ((2, 24, 4, 7), (0, 24, 4, 7))


def test_other_types_are_refused(interpreted: Callable):
    """Float64 has no kernel, and must not come back rounded."""
    with pytest.raises(ValueError, match="float64"):
        interpreted(compute, Case(torch.float64), "cpu")


def in_tf32() -> tuple[float, Tensor]:
    """The kernel's error in TF32, and its result for features of which one is NaN."""
    from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton

    x, packed, weight, bias = arguments(Case(FLOAT, 64, 8, 64, H=9, W=11), "cpu")
    exact = deform_conv2d_packed_reference(x.double(), packed.double(), weight.double(), bias.double(), SLOPE)
    y = deform_conv2d_packed_triton(x, packed, weight, bias, SLOPE, products="tf32")
    x[0, 5, 4, 4] = torch.nan
    spoiled = deform_conv2d_packed_triton(x, packed * 0, weight, bias, SLOPE, products="tf32")
    return float((y.double() - exact).norm() / exact.norm()), spoiled


def test_tf32_rounds_and_does_not_cut(interpreted: Callable):
    """As cuBLAS does, whose error was 9.2e-5 on an H100 where cut values had 2.4e-4; and NaN is not lost."""
    error, spoiled = interpreted(in_tf32)
    assert 5e-5 < error < 1.2e-4
    assert spoiled[0, :, 3:6, 3:6].isnan().all()
    assert spoiled[0, :, 7:].isfinite().all()


def in_half_by_default(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The kernel as the engine calls it where torch convolves float32 in TF32, its default, and the definition."""
    from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton

    given = arguments(Case(dtype), "cpu")
    torch.backends.cudnn.allow_tf32 = True
    return deform_conv2d_packed_triton(*given, SLOPE), definition(Case(dtype), *given)


@pytest.mark.parametrize("dtype", [HALF, BFLOAT])
def test_half_precision_has_no_use_for_tf32(interpreted: Callable, dtype: torch.dtype):
    """Torch's setting is for float32: the kernel that rounds to TF32 does not compile for anything else."""
    result, expected = interpreted(in_half_by_default, dtype)
    assert (result - expected).abs().max() < 0.02


def products_after(allowed: bool) -> str:
    from edvr_cli.ops.triton.tiles import products_of_torch

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        return products_of_torch()
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_float32_products_follow_torchs_setting_for_convolutions(interpreted: Callable):
    """So that "fp32" means one thing for a whole network: TF32 where torch convolves in it, which is its default."""
    assert interpreted(products_after, False) == "ieee"
    assert interpreted(products_after, True) == "tf32"


def verify_kernel(dtype: torch.dtype) -> None:
    from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton
    from edvr_cli.ops.triton.epilogue import epilogue_triton

    arguments = selftest._random_arguments(torch.device("cpu"), dtype, 16, 4)
    selftest.verify(partial(deform_conv2d_packed_triton, products="ieee"), arguments)
    selftest.verify_epilogue(partial(epilogue_triton, in_place=False), arguments)


@pytest.mark.parametrize("dtype", [FLOAT, HALF, BFLOAT])
def test_selftest_passes_the_kernel(interpreted: Callable, dtype: torch.dtype):
    """At every precision, by the same tolerance as here."""
    interpreted(verify_kernel, dtype)


@pytest.mark.parametrize("fault", [1.01, torch.nan])
def test_selftest_stops_a_kernel_that_computes_wrongly(fault: float):
    """One percent off, or NaN: an error that names the device, the precision and the way out."""
    given = selftest._random_arguments(torch.device("cpu"), HALF, 16, 4)
    with raises(DeviceError, "wrongly on cpu in float16", hint="device"):
        selftest.verify(lambda *a: deform_conv2d_packed_reference(*a) * fault, given)
    with pytest.raises(DeviceError, match=r"sum after a convolution computes wrongly on cpu in float16"):
        selftest.verify_epilogue(lambda x, bias, add, slope: (x + bias.view(-1, 1, 1) + add) * fault, given)


def test_selftest_does_nothing_where_the_kernel_is_not_used():
    """The CPU has its own implementation, which needs no check of a driver."""
    selftest.check_kernel(torch.device("cpu"), FLOAT)


@pytest.mark.parametrize(("installed", "otherwise"), [(True, "torchvision"), (False, "reference")])
def test_gpu_tensors_get_the_kernel_where_triton_runs(monkeypatch: pytest.MonkeyPatch, installed: bool, otherwise: str):
    """For training, or without Triton, they get torchvision's operation or the definition; in float64 the latter."""
    monkeypatch.setattr(deform_conv_fallback, "torchvision_serves", lambda device: installed)
    with FakeTensorMode():
        x = torch.empty(1, 8, 4, 4, device="cuda", dtype=HALF)
        monkeypatch.setattr(deform_conv, "missing_kernel", lambda device: "")
        assert deform_conv.implementation(x, x.float(), None) == "triton"
        assert deform_conv.implementation(x, x.double()) == "reference"
        assert deform_conv.implementation(x.requires_grad_()) == otherwise
        with torch.no_grad():
            assert deform_conv.implementation(x) == "triton"
        monkeypatch.setattr(deform_conv, "missing_kernel", lambda device: "Triton is not installed")
        with torch.no_grad():
            assert deform_conv.implementation(x) == otherwise


def test_triton_is_imported_only_when_the_kernel_runs():
    """The package works with torch alone."""
    code = "import sys, edvr_cli.ops.deform_conv, edvr_cli.ops.selftest; sys.exit('triton' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def machine_code(
    dtype: torch.dtype, C: int, capability: int, products: str = "ieee", pixels: int = 2**20
) -> MachineCode:
    """Of the kernel as launched for C features in 8 groups."""
    from edvr_cli.ops.triton.deform_kernels import deform_kernel
    from edvr_cli.ops.triton.tiles import choose_tiles

    tiles = choose_tiles(2**20, C, dtype.itemsize, C // 8, divmod(capability, 10))
    channels = gcd(C // 8, 16 // dtype.itemsize)
    constants = {
        "C": C,
        "O": C,
        "G": 8,
        "KERNEL": 3,
        "OFFSET_STRIDE": 216,
        "MASK_STRIDE": 216,
        "HAS_BIAS": True,
        "MASK_IS_LOGIT": True,
        "WIDE": False,
        "TAPS_FIRST": tiles.taps_first,
        "PRODUCTS": products,
        "PIXELS": tiles.pixels,
        "PAIRS": tiles.columns // channels,
        "CHANNELS": channels,
        "OUTPUTS": tiles.outputs,
    }
    element = {HALF: "*fp16", BFLOAT: "*bf16", FLOAT: "*fp32"}[dtype]
    types = dict.fromkeys(("x", "offset", "mask", "weight", "bias", "y"), element)
    types |= {"H": "i32", "W": "i32", "negative_slope": "fp32"}
    options = {"num_warps": tiles.warps, "num_stages": tiles.stages, "enable_fp_fusion": True}
    return compile_kernel(deform_kernel, types, constants, capability, **options)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("C", [32, 64, 128])
def test_kernel_compiles_for_every_gpu_to_vector_loads_and_tensor_cores(C: int, capability: int):
    """S, M and L in half precision: up to eight channels in one load, and next to nothing spilled."""
    code = machine_code(HALF, C, capability)
    product = {80: "mma.sync", 90: "wgmma.mma_async", 100: "tcgen05.mma", 120: "mma.sync"}
    assert product.get(capability, "mma.sync") in code.ptx or (capability, C) == (100, 32)
    assert (".v4.b32" if C > 32 else ".v2.b32") in code.ptx
    assert code.spills <= 4
    assert code.registers <= (255 if (C, capability) == (128, 90) else 128)


@pytest.mark.parametrize(
    ("dtype", "C", "capability", "products", "instruction"),
    [
        (BFLOAT, 128, 90, "ieee", "wgmma.mma_async"),
        (FLOAT, 64, 80, "ieee", "fma.rn.f32"),
        (FLOAT, 64, 90, "tf32", "wgmma.mma_async"),
    ],
    ids=str,
)
def test_other_types_compile_to_their_instructions(
    dtype: torch.dtype, C: int, capability: int, products: str, instruction: str
):
    """Exact float32 products have no tensor cores."""
    code = machine_code(dtype, C, capability, products)
    assert instruction in code.ptx
    assert ".v4.b32" in code.ptx


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_features_are_grouped_with_vector_loads(capability: int):
    """16 bytes read and written at a time."""
    from edvr_cli.ops.triton.deform_kernels import group_kernel

    constants = {"C": 64, "GROUP": 8, "VECTOR": 8, "WIDE": False, "BLOCK": 2048}
    code = compile_kernel(group_kernel, {"x": "*fp16", "y": "*fp16", "pixels": "i32"}, constants, capability)
    assert code.ptx.count("ld.global.v4.b32") == code.ptx.count("st.global.v4.b32") == 2048 * 2 // (128 * 16)
    assert code.spills == 0
