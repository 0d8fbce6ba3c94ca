"""What a GPU's errors are taken for, in every library's words."""

import pytest
import torch

from edvr_cli.system.gpu_errors import explanation, is_out_of_memory, leaves_device_unusable


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
    ids=str,
)
def test_a_lack_of_memory_is_known_in_every_spelling(error):
    """And explained where nothing could be done about it."""
    assert is_out_of_memory(error)
    assert not leaves_device_unusable(error)
    assert explanation(error).hint == "device"
    assert str(explanation(error)).startswith("Out of memory")


def test_a_build_without_code_for_the_gpu_is_explained():
    """With where to get another one."""
    error = explanation(RuntimeError("CUDA error: no kernel image is available for execution on the device"))
    assert "no code for the GPU" in str(error)
    assert "pytorch.org/get-started" in str(error)


def test_a_gpu_that_no_longer_answers_is_explained():
    """Everything after it would fail."""
    error = RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...")
    assert leaves_device_unusable(error)
    assert str(explanation(error)).startswith("The GPU failed: CUDA error: an illegal memory access was encountered.")


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory"), KeyError("x")])
def test_other_errors_are_not_explained(error):
    """They are the program's own."""
    assert explanation(error) is None
