"""The floating type that the network computes in."""

import torch

from edvr_cli.errors import DeviceError
from edvr_cli.inference.options import PRECISIONS, Precision

__all__ = ["dtype_for", "name_of"]

_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def dtype_for(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that ``precision`` means on ``device``.

    ``auto`` is fp16 on CUDA, bf16 on processors that multiply in it, fp32 elsewhere: the fastest within 0.02 dB
    of fp32 (docs/lab/performance.md). Raises DeviceError for fp16 on a CPU, and ValueError for another word.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "auto":
        if device.type == "cuda":
            return torch.float16
        return torch.bfloat16 if device.type == "cpu" and _multiplies_bfloat16() else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("a CPU has no fast fp16: choose auto, fp32 or bf16", hint="precision")
    return _DTYPES[precision]


def name_of(dtype: torch.dtype) -> Precision:
    """The word for a type that :func:`dtype_for` gives."""
    return next(name for name, named in _DTYPES.items() if named == dtype)


def _multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
