"""The floating-point type of the computation."""

import torch

from edvr_cli.errors import DeviceError
from edvr_cli.inference.options import PRECISIONS, Precision
from edvr_cli.system.hardware import multiplies_bfloat16

__all__ = ["dtype_for", "name_of"]

_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def dtype_for(precision: Precision, device: torch.device) -> torch.dtype:
    """The floating-point type for ``precision`` on ``device``.

    ``auto`` is fp16 on GPUs from compute capability 7.0 on (older ones are slower in it), bf16 on processors that
    multiply in it, fp32 elsewhere: the fastest within 0.02 dB of fp32 (docs/lab/performance.md). Raises DeviceError
    for fp16 on a CPU, and ValueError for another word.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "auto":
        if device.type == "cuda":
            return torch.float16 if _is_fast_in_half(device) else torch.float32
        return torch.bfloat16 if device.type == "cpu" and multiplies_bfloat16(device) else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("a CPU has no fast fp16: choose auto, fp32 or bf16", hint="precision")
    return _DTYPES[precision]


def name_of(dtype: torch.dtype) -> Precision:
    """The name of a type that :func:`dtype_for` returns."""
    return next(name for name, named in _DTYPES.items() if named == dtype)


def _is_fast_in_half(device: torch.device) -> bool:
    if not torch.cuda.is_available() or torch.version.hip is not None:
        return True
    return torch.cuda.get_device_capability(device) >= (7, 0)
