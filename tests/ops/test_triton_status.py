"""Machines on which Triton fails: each kind of failure is caught once, remembered, and explained."""

import subprocess

import pytest
import torch

from edvr_cli.errors import DeviceError
from edvr_cli.ops import triton_status
from edvr_cli.ops.triton_status import attempt, triton_fault

GPU = torch.device("cuda:0")


class PTXASError(Exception):
    """As Triton names it."""


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """A GPU that Triton has not failed on yet."""
    monkeypatch.setattr(triton_status, "_failures", {})
    monkeypatch.setattr(triton_status, "_known_fault", lambda device: None)


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (subprocess.CalledProcessError(1, ["/usr/bin/gcc", "main.c"]), "C compiler failed", "libc6-dev"),
        (RuntimeError("Failed to find C compiler. Please specify via CC."), "no C compiler", "install gcc"),
        (FileNotFoundError(2, "No such file", "/proc/cache"), "cannot write its cache", "TRITON_CACHE_DIR"),
        (PermissionError(13, "Permission denied", "/root/.triton"), "cannot write its cache", "TRITON_CACHE_DIR"),
        (AssertionError("libcuda.so cannot found!"), "does not find libcuda", "TRITON_LIBCUDA_PATH"),
        (PTXASError("Internal PTX codegen error: `ptxas` stderr:"), "assembler failed", "TRITON_PTXAS_PATH"),
        (subprocess.CalledProcessError(255, ["ptxas", "--gpu-name=sm_120"]), "assembler failed", "update Triton"),
        (RuntimeError("Triton Error [CUDA]: device kernel image is invalid"), "driver does not load", "driver"),
        (ImportError("undefined symbol: _ZN4llvm"), "cannot be imported", "reinstall PyTorch and Triton"),
        (
            RuntimeError("PassManager::run failed"),
            "Triton failed on a kernel: RuntimeError: PassManager",
            "update PyTorch",
        ),
        (IndexError(), "Triton failed on a kernel: IndexError", "update PyTorch and Triton"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_is_remembered_with_its_reason_and_remedy(error, reason, remedy):
    """And leaves other devices alone."""
    assert triton_fault(GPU) is None
    assert attempt(GPU, "a kernel", raising(error)) is None
    fault = triton_fault(GPU)
    assert reason in fault.reason
    assert remedy in fault.remedy
    assert len(fault.reason) < 260
    assert triton_fault(torch.device("cuda:1")) is None


@pytest.mark.parametrize(
    "error",
    [
        DeviceError("the deformable convolution computes wrongly"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
    ],
    ids=str,
)
def test_what_no_other_implementation_can_mend_is_raised(error):
    """Wrong values, a lack of memory, and a GPU that no longer answers."""
    with pytest.raises(type(error)) as raised:
        attempt(GPU, "a kernel", raising(error))
    assert raised.value is error
    assert triton_fault(GPU) is None


def test_what_works_is_given_back():
    """Nothing is remembered."""
    assert attempt(GPU, "a kernel", lambda: 7) == 7
    assert triton_fault(GPU) is None


@pytest.mark.parametrize(
    ("error", "others"),
    [(RuntimeError("PassManager::run failed"), 7), (RuntimeError("Failed to find C compiler."), None)],
    ids=["of a kernel", "of the machine"],
)
def test_an_error_in_one_kernel_leaves_the_others_in_use(error, others):
    """On an H200 the kernel of one precision did not compile, and training lost its own, which did."""
    attempt(GPU, "a kernel", raising(error))
    assert attempt(GPU, "a kernel", lambda: 7) is None
    assert attempt(GPU, "another", lambda: 7) == others
    assert (triton_fault(GPU, "another") is None) == (others == 7)
    assert triton_fault(GPU) is not None
