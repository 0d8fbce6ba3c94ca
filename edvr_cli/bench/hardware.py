"""Clocks, memory peaks, and the rates that the hardware reaches at its best."""

import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from edvr_cli.precision import Precision, dtype_for

__all__ = ["Rates", "Timing", "machine_name", "measure_rates", "peak_memory", "reset_peak_memory", "seconds", "wait"]

_REPEATS = 5


@dataclass(frozen=True)
class Timing:
    """Seconds of each repeat."""

    repeats: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle repeat."""
        return median(self.repeats)

    @property
    def least(self) -> float:
        """The repeat least disturbed."""
        return min(self.repeats)


@dataclass(frozen=True)
class Rates:
    """``product``: FLOP/s of a large matrix product, by precision; ``copy``: bytes/s read and written."""

    product: dict[Precision, float]
    copy: float


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long ``work`` takes, until the device has done it."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def measure_rates(device: torch.device, precisions: Iterable[Precision]) -> Rates:
    """The rates that ``device`` reaches now; the best of a few tries."""
    fast = device.type != "cpu"
    side = 8192 if fast else 1536
    product = {}
    with torch.inference_mode():
        for precision in precisions:
            a, b = (torch.randn(side, side, device=device).to(dtype_for(precision, device)) for _ in range(2))
            product[precision] = 2 * side**3 / _least(lambda a=a, b=b: a @ b, device)  # type: ignore[misc]
        source = torch.zeros((1 << 28) if fast else (1 << 25), device=device)
        target = torch.empty_like(source)
        copy = 2 * source.nbytes / _least(lambda: target.copy_(source), device)
    return Rates(product, copy)


def machine_name(device: torch.device) -> str:
    """What people call the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement for :func:`peak_memory`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif device.type == "cpu":
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass  # then the peak is that of the process's life


def peak_memory(device: torch.device) -> int | None:
    """Bytes: allocated on the GPU, or held by the whole process on a CPU (Linux); None where nobody counts."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


def _least(work: Callable[[], object], device: torch.device) -> float:
    work()
    return min(seconds(work, device) for _ in range(_REPEATS))
