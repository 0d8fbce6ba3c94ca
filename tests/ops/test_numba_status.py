"""What happens on machines where numba is missing, broken, or too new for the kernels."""

import sys

import pytest
import torch

from edvr_cli.errors import DeviceError
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.network.windows import windows
from edvr_cli.ops import numba_status, selftest
from edvr_cli.ops.deform_conv import missing_kernel
from edvr_cli.ops.numba_status import numba_fault
from tests.inference.test_engine import clip
from tests.support.networks import random_network


@pytest.fixture(scope="module")
def expected() -> list[torch.Tensor]:
    """What the kernels give."""
    frames, notes = restored()
    assert notes == ()
    return frames


@pytest.fixture(autouse=True)
def forget():
    """The answer is kept for the process."""
    numba_fault.cache_clear()
    yield
    numba_fault.cache_clear()


def restored() -> tuple[list[torch.Tensor], tuple[str, ...]]:
    """A clip through a new engine, and the engine's notes."""
    engine = StreamingEDVR(random_network(), InferenceOptions(precision="fp32"))
    frames = [(frame, number == 0) for number, frame in enumerate(clip(3, 16, 24))]
    return [engine.restore(window) for window in windows(frames, engine.config.frames, "reflection")], engine.notes


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (None, "numba is not installed"),
        (ImportError("Numba needs NumPy 2.4 or less. Got NumPy 2.6."), "does not work: Numba needs NumPy 2.4 or less"),
        (AttributeError("module 'numba.core.caching' has no attribute '_CacheLocator'"), "no attribute"),
        (OSError("Could not find/load shared object file: libllvmlite.so"), "libllvmlite.so"),
    ],
)
def test_without_a_working_numba_frames_are_the_same_and_the_user_is_told(monkeypatch, expected, fault, said):
    """In plain torch, with one sentence about the cause."""
    if fault is None:
        monkeypatch.setattr(numba_status, "find_spec", lambda name: None)
    else:

        def broken(name: str) -> None:
            raise fault

        monkeypatch.setattr(numba_status, "import_module", broken)
    found, notes = restored()
    for frame, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(frame, wanted, atol=1e-4, rtol=1e-4)
    assert said in missing_kernel(torch.device("cpu"))
    assert len(notes) == 1 and "slow" in notes[0] and said in notes[0]


def test_the_kernels_can_be_switched_off(monkeypatch, expected):
    """By a variable of the environment, with a note."""
    monkeypatch.setenv("EDVR_CPU_KERNELS", "0")
    found, notes = restored()
    for frame, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(frame, wanted, atol=1e-4, rtol=1e-4)
    assert len(notes) == 1 and "EDVR_CPU_KERNELS=0" in notes[0]


def test_a_fault_names_versions_and_a_remedy(monkeypatch):
    """As the import of a broken llvmlite gives it."""
    for name in [name for name in sys.modules if name.startswith("edvr_cli.ops.cpu.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    fault = numba_fault()
    assert fault is not None
    assert "numba 0." in fault.reason and "llvmlite 0." in fault.reason
    assert "pip install" in fault.remedy


def test_a_kernel_that_does_not_compile_is_a_sentence(monkeypatch):
    """Whatever numba raises while it compiles."""

    def fails(*_: object) -> torch.Tensor:
        raise KeyError("no such intrinsic")

    monkeypatch.setattr(selftest, "deform_conv2d_packed", fails)
    with pytest.raises(DeviceError, match="fails on cpu: KeyError"):
        selftest.check_operation(torch.device("cpu"), torch.float32)
