"""Kinds of GPU errors: torch, Triton, cuBLAS and cuDNN each report them differently."""

import torch

from edvr_cli.errors import DeviceError, lacks_memory

__all__ = ["explanation", "is_missing_image", "is_out_of_memory", "leaves_device_unusable"]

_MISSING_IMAGE = ("no kernel image is available", "device kernel image is invalid")
_UNUSABLE = (
    "illegal memory access",
    "illegal address",
    "illegal instruction",
    "misaligned address",
    "device-side assert",
    "unspecified launch failure",
    "has fallen off the bus",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host ran out of memory, whichever library reports it."""
    return isinstance(error, torch.OutOfMemoryError) or lacks_memory(error)


def is_missing_image(error: BaseException) -> bool:
    """Whether this build of a library has no machine code for the GPU, or the driver is too old to load it."""
    return _says(error, _MISSING_IMAGE)


def leaves_device_unusable(error: BaseException) -> bool:
    """Whether every later call on the device will fail too."""
    return _says(error, _UNUSABLE)


def explanation(error: BaseException) -> DeviceError | None:
    """A DeviceError with a remedy for an error that the device caused; None for other errors."""
    if not isinstance(error, RuntimeError):
        return None
    first = next(iter(str(error).splitlines()), "")
    sentence = ""
    if is_missing_image(error):
        sentence = (
            f"PyTorch {torch.__version__} has no code for the GPU, or its driver is too old: "
            "install a build for it from https://pytorch.org/get-started/locally/, or update the driver"
        )
    elif is_out_of_memory(error):
        sentence = f"Out of memory: {first}. Close other programs, or choose smaller tiles"
    elif leaves_device_unusable(error):
        sentence = f"The GPU failed: {first}. Finished segments are kept; update the driver and start again"
    return DeviceError(sentence, hint="device").with_traceback(error.__traceback__) if sentence else None


def _says(error: BaseException, phrases: tuple[str, ...]) -> bool:
    text = str(error)
    return any(phrase in text for phrase in phrases)
