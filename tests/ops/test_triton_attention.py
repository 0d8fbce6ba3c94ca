"""What the fusion does between its convolutions, on a GPU: the Triton kernels against the definitions in float64."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from edvr_cli.ops import attention
from edvr_cli.ops.attention import gate, weigh_by_likeness
from tests.ops.test_triton_resize import BFLOAT, DEVICES, FLOAT, HALF, assert_rounded_once, random_map
from tests.support.interpreter import interpreting
from tests.support.machine_code import CAPABILITIES, compile_kernel

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not made for this system")


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Callable]:
    """Call a function of this module in a process that interprets kernels."""
    with interpreting() as call:
        yield call


def maps(B: int, T: int, C: int, h: int, w: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Frames side by side, their embedding and the reference's."""
    return (
        random_map((B, T * C, h, w), dtype, device),
        random_map((B * T, C, h, w), dtype, device, 1) / C**0.5,
        random_map((B, C, h, w), dtype, device, 2),
    )


def weighed(sizes: tuple[int, ...], dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """The kernel's result and the exact one."""
    from edvr_cli.ops.triton.attention import weighed_triton

    given = maps(*sizes, dtype, device)
    return weighed_triton(*given).cpu(), weigh_by_likeness(*(m.double().cpu() for m in given))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [FLOAT, HALF, BFLOAT])
@pytest.mark.parametrize("sizes", [(2, 5, 16, 5, 7), (1, 7, 64, 9, 4), (3, 5, 128, 1, 1), (1, 1, 1, 1, 33)])
def test_frames_are_weighed_by_their_likeness(interpreted: Callable, device: str, dtype, sizes):
    """Of several windows, each against its own reference."""
    given = sizes, dtype, device
    assert_rounded_once(*(interpreted(weighed, *given) if device == "cpu" else weighed(*given)))


def gated(shape: tuple[int, int, int, int], dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """The kernel's result and the exact one."""
    from edvr_cli.ops.triton.attention import gated_triton

    given = [random_map(shape, dtype, device, seed) for seed in range(3)]
    return gated_triton(*given).cpu(), gate(*(m.double().cpu() for m in given))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [FLOAT, HALF, BFLOAT])
@pytest.mark.parametrize("shape", [(2, 16, 5, 7), (1, 64, 9, 11), (3, 3, 1, 1), (1, 128, 33, 1)])
def test_features_are_gated_by_attention(interpreted: Callable, device: str, dtype, shape):
    given = shape, dtype, device
    assert_rounded_once(*(interpreted(gated, *given) if device == "cpu" else gated(*given)))


def operations() -> list[Tensor]:
    """Both as the network calls them, also with channels and layouts that the kernels do not take."""
    results = []
    with torch.no_grad():
        for C in (8, 6):
            given = maps(2, 5, C, 4, 6, FLOAT, "cpu")
            results += [weigh_by_likeness(*given), weigh_by_likeness(given[0].contiguous(), *given[1:])]
            three = [random_map((2, C, 4, 6), FLOAT, "cpu", seed) for seed in range(3)]
            results += [gate(*three), gate(three[0].contiguous(), *three[1:])]
    return results


def fused() -> list[Tensor]:
    attention.fuses = lambda *_: True
    return operations()


def test_operations_give_the_same_fused_or_not(interpreted: Callable):
    for result, expected in zip(interpreted(fused), operations(), strict=True):
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_kernels_compile_for_every_gpu_without_spills(capability: int):
    """With vector loads, S, M and L."""
    from edvr_cli.ops.triton import attention as kernels

    types = dict.fromkeys(("stacked", "embedded", "reference", "x", "attention", "added", "y"), "*fp16")
    types |= {"pixels": "i32", "vectors": "i32"}
    cases = [
        (kernels._weigh_kernel, {"C": C, "T": 5, "WIDE": False, "PIXELS": kernels._VALUES // C}) for C in (32, 64, 128)
    ]
    cases.append((kernels._gate_kernel, {"VECTOR": 16, "WIDE": False, "BLOCK": kernels._BLOCK}))
    for kernel, constants in cases:
        code = compile_kernel(kernel, types, constants, capability, num_warps=4, enable_fp_fusion=True)
        assert code.spills == 0
        assert code.registers <= 128
        assert ".v4.b32" in code.ptx
