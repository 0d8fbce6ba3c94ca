"""Whether Triton works on a GPU: checked before the first use, and remembered after a failure.

Triton compiles at run time, with tools and libraries of the machine. When that fails, torch can compute the same:
:func:`attempt` is the one place that catches such a failure. What the machine lacks stops all kernels; an error in
one of them leaves the others in use.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TypeVar

import torch
from torch import Tensor

from edvr_cli.errors import EdvrError
from edvr_cli.system.gpu_errors import is_missing_image, is_out_of_memory, leaves_device_unusable

__all__ = ["Fault", "attempt", "fuses", "is_pixels_first", "triton_fault"]

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """Why something does not work, in a few words, and what to do about it."""

    reason: str
    remedy: str
    of_kernel: bool = False  # of one kernel, not of the machine


_TYPES = (torch.float16, torch.bfloat16, torch.float32)
_failures: dict[tuple[torch.device, str], Fault] = {}  # of a kernel, or "" of the machine


def triton_fault(device: torch.device, kernel: str | None = None) -> Fault | None:
    """Why Triton is not used on the CUDA ``device``; None where it is.

    Asked for a ``kernel``, by the name that :func:`attempt` was given: why that one is not used. For "", what stops
    all of them; without a name, the first fault of any.
    """
    if fault := _known_fault(device) or _failures.get((device, "")):
        return fault
    if kernel is None:
        return next((fault for (where, _), fault in _failures.items() if where == device), None)
    return _failures.get((device, kernel))


def attempt(device: torch.device, kernel: str, work: Callable[[], T]) -> T | None:
    """The result of ``work``, which launches the Triton ``kernel`` on ``device``; None where Triton fails.

    A failure is remembered: from then on :func:`triton_fault` reports it, and ``work`` is not called. Errors of the
    package itself, a lack of memory, and errors after which the device is unusable are raised.
    """
    if not _failures.keys().isdisjoint({(device, kernel), (device, "")}):
        return None
    try:
        return work()
    except Exception as error:
        if isinstance(error, EdvrError) or is_out_of_memory(error) or leaves_device_unusable(error):
            raise
        fault = _diagnosed(error, kernel)
        _failures[device, kernel if fault.of_kernel else ""] = fault
    return None


def fuses(x: Tensor, *others: Tensor | None) -> bool:
    """Whether a Triton kernel without backward may take these: on a GPU where Triton works, without gradients."""
    return (
        x.is_cuda
        and not torch.compiler.is_compiling()
        and not (torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, *others)))
        and triton_fault(x.device, "") is None
    )


def is_pixels_first(*maps: Tensor | None) -> bool:
    """Whether maps are of a type that kernels take, with the channels of a pixel side by side."""
    return all(m is None or (m.dtype in _TYPES and m.is_contiguous(memory_format=torch.channels_last)) for m in maps)


@lru_cache
def _known_fault(device: torch.device) -> Fault | None:
    if find_spec("triton") is None:
        return Fault("Triton is not installed", "pip install triton (on Windows: triton-windows)")
    if torch.version.hip is None and torch.cuda.get_device_capability(device) < (8, 0):
        return Fault("the Triton kernel needs a GPU of compute capability 8.0", "use a newer GPU")
    return None


def _diagnosed(error: Exception, kernel: str) -> Fault:
    """The cause of a failure of ``kernel``, by what Triton 3.2 to 3.9 raise."""
    text = " ".join(str(error).split())
    kind = type(error).__name__
    for matches, reason, remedy in (
        (
            isinstance(error, ImportError),
            "Triton cannot be imported",
            "reinstall PyTorch and Triton in versions made for each other",
        ),
        (
            "C compiler" in text,
            "Triton found no C compiler",
            "install gcc, or set CC to a C compiler",
        ),
        (
            isinstance(error, subprocess.CalledProcessError) and "ptxas" not in text,
            "the C compiler failed on Triton's launcher",
            "install the headers of the C library and of Python (libc6-dev and python3-dev, or python3-devel)",
        ),
        (
            "libcuda" in text,
            "Triton does not find libcuda",
            "set TRITON_LIBCUDA_PATH to the folder of libcuda.so.1 (WSL: /usr/lib/wsl/lib)",
        ),
        (
            "ptxas" in text.lower() or "PTXAS" in kind,
            "Triton's assembler failed",
            "update Triton; unset TRITON_PTXAS_PATH if it is set",
        ),
        (
            is_missing_image(error) or "PTX" in text,
            "the GPU's driver does not load Triton's machine code",
            "update the GPU's driver",
        ),
        (
            isinstance(error, OSError),
            "Triton cannot write its cache",
            "set TRITON_CACHE_DIR to a folder that can be written",
        ),
    ):
        if matches:
            return Fault(f"{reason} ({_shortened(text) or kind})", remedy)
    reason = f"Triton failed on {kernel}: {kind}: {_shortened(text)}"
    return Fault(reason, "update PyTorch and Triton", of_kernel=True)


def _shortened(text: str, length: int = 160) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
