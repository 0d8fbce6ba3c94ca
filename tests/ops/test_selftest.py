"""The check before the work looks at every GPU kernel, and stops the work where one computes wrongly."""

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from edvr_cli import ops
from edvr_cli.errors import DeviceError
from edvr_cli.ops import selftest
from edvr_cli.ops.attention import FRAMES, PLACES, gate_in_steps
from edvr_cli.ops.conv import EPILOGUE, SHUFFLE
from edvr_cli.ops.deform_conv import KERNEL
from edvr_cli.ops.upsample import ENLARGING
from tests.support.errors import raises
from tests.support.interpreter import interpreting

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Callable]:
    """Call a function of this module in a process that interprets kernels."""
    with interpreting() as call:
        yield call


def verify_others(dtype: torch.dtype, features: int) -> list[str]:
    x = selftest._random_arguments(CPU, dtype, features, 4)[0]
    checks = selftest._between_convolutions(x)
    for verify_one in checks.values():
        verify_one()
    return list(checks)


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not made for this system")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_kernels_between_convolutions_pass(interpreted: Callable, dtype: torch.dtype):
    """At every precision; those that take powers of two are not asked for other numbers of features."""
    assert interpreted(verify_others, dtype, 16) == [FRAMES, PLACES, ENLARGING, SHUFFLE]
    assert interpreted(verify_others, dtype, 12) == [PLACES]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("fault", [1.01, torch.nan])
def test_a_kernel_that_computes_wrongly_is_named(dtype: torch.dtype, fault: float):
    """One percent off, or NaN."""
    x = selftest._random_arguments(CPU, dtype, 16, 4)[0]
    with raises(DeviceError, "attention to places computes wrongly on cpu", hint="device"):
        selftest.verify_steps(PLACES, lambda *maps: gate_in_steps(*maps) * fault, gate_in_steps, (x, x.flip(1), x))


def test_every_kernel_is_checked_before_the_work(monkeypatch: pytest.MonkeyPatch):
    """Whatever the package would launch by name, but for the one that trains, which has a check of its own."""
    checked: list[str] = []
    monkeypatch.setattr(selftest, "implementation", lambda *_: "triton")
    monkeypatch.setattr(selftest, "attempt", lambda device, kernel, work: checked.append(kernel))
    selftest.check_kernel.__wrapped__(CPU, torch.float16)
    assert checked == [KERNEL, EPILOGUE, FRAMES, PLACES, ENLARGING, SHUFFLE]
    sources = (path.read_text() for path in Path(ops.__path__[0]).glob("*.py") if path.stem != "selftest")
    launched = {name for text in sources for name in re.findall(r"attempt\(\s*[\w.]+,\s*(\w+|\".*?\"),", text)}
    assert launched == {"KERNEL", "EPILOGUE", "FRAMES", "PLACES", "ENLARGING", "SHUFFLE", "TRAINING_KERNEL"}
