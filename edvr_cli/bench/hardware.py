"""Timing, peak memory, and the highest rates of the hardware."""

import ctypes
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from edvr_cli.inference.options import Precision
from edvr_cli.inference.precision import dtype_for

__all__ = ["Rates", "Repeats", "measure_rates", "peak_memory", "seconds", "wait"]

_REPEATS = 5


@dataclass(frozen=True)
class Repeats:
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
    """Seconds that ``work`` takes until the device has finished."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Wait until the device has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def measure_rates(device: torch.device, precisions: Iterable[Precision]) -> Rates:
    """The rates of ``device``; the best of a few tries."""
    fast = device.type != "cpu"
    side = 8192 if fast else 1536
    product = {}
    with torch.inference_mode():
        for precision in precisions:
            a, b = (torch.randn(side, side, device=device).to(dtype_for(precision, device)) for _ in range(2))
            with _as_convolutions():
                product[precision] = 2 * side**3 / _least(lambda a=a, b=b: a @ b, device)  # type: ignore[misc]
        source = torch.zeros((1 << 28) if fast else (1 << 25), device=device)
        target = torch.empty_like(source)
        copy = 2 * source.nbytes / _least(lambda: target.copy_(source), device)
    return Rates(product, copy)


@contextmanager
def _as_convolutions() -> Iterator[None]:
    """Let products of fp32 use TF32 where convolutions do: by default torch allows it to these alone."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def peak_memory(work: Callable[[], object], device: torch.device) -> int | None:
    """Bytes of peak memory of ``work`` beyond what is held before; None where they are unknown.

    On a GPU those that torch allocates, on a CPU those of the whole process (Linux).
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - held
    before = _resident_peak() if device.type == "cpu" and _forget_peak() else None
    work()
    after = _resident_peak()
    return None if before is None or after is None else after - before


def _forget_peak() -> bool:
    """Return freed memory to Linux, and reset the peak of the process."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return False  # another C library, whose idle memory would be counted as held
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident_peak() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


def _least(work: Callable[[], object], device: torch.device) -> float:
    work()
    return min(seconds(work, device) for _ in range(_REPEATS))
