"""The CPU and the GPUs: their names, and the choice of one or several."""

import platform
from pathlib import Path

import torch

from edvr_cli.errors import DeviceError
from edvr_cli.system.device_names import device_names

__all__ = ["machine_name", "multiplies_bfloat16", "resolve_device", "resolve_devices"]


def machine_name(device: torch.device) -> str:
    """The product name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` multiplies in bfloat16; others imitate it, a processor at a fifteenth of float32's speed."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0) if torch.cuda.is_available() else True
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def resolve_device(name: str | torch.device) -> torch.device:
    """The torch device; ``auto`` is the first available of CUDA, MPS and the CPU. Raises DeviceError for others."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device {str(name)!r}: expected auto, cpu, cuda, cuda:1 or mps") from error


def resolve_devices(text: str) -> tuple[str, ...]:
    """The names of the devices in a list, checked where there are several; ``all`` is every CUDA device.

    Raises DeviceError for a list that names a device which is not there, or none.
    """
    names = device_names(text)
    count = torch.cuda.device_count()
    if names == ("all",):
        if not count:
            raise DeviceError(
                "all means every CUDA device, and this machine has none: choose auto or cpu", wrong_usage=True
            )
        return tuple(f"cuda:{number}" for number in range(count))
    for name in names if len(names) > 1 else ():
        kind, _, number = name.partition(":")
        if kind == "cuda" and int(number) >= count:
            there = ", ".join(f"cuda:{number}" for number in range(count)) or "no CUDA device"
            raise DeviceError(f"{name} is not there: this machine has {there}", wrong_usage=True)
    return names
