"""The CPU and the GPUs: their names, and the choice of one."""

import platform
from pathlib import Path

import torch

from edvr_cli.errors import DeviceError

__all__ = ["machine_name", "resolve_device"]


def machine_name(device: torch.device) -> str:
    """The product name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def resolve_device(name: str | torch.device) -> torch.device:
    """The torch device; ``auto`` is the first available of CUDA, MPS and the CPU. Raises DeviceError for others."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device {str(name)!r}: expected auto, cpu, cuda, cuda:1 or mps") from error
