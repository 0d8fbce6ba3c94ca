"""How the deformable convolution's kernel divides its work on a GPU, and how it multiplies float32 values."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import triton
from torch import Tensor

__all__ = ["Products", "Tiles", "choose_tiles", "products_of_torch", "tiles_on"]

Products = Literal["ieee", "tf32"]
"""How float32 values are multiplied: exactly, or on tensor cores with 10-bit mantissas."""


@dataclass(frozen=True)
class Tiles:
    """How the work is divided; the sizes are powers of two, and at least 16."""

    pixels: int  # of a program
    columns: int  # gathered and multiplied at once: pairs × channels of a group
    outputs: int  # channels of a program; the programs for the rest of O gather everything again
    warps: int
    stages: int  # of software pipelining; 1 is none
    taps_first: bool = False  # go through the groups of one tap, then the next tap; else the taps of a group


def choose_tiles(
    pixels: int, outputs: int, itemsize: int, group: int = 8, capability: tuple[int, int] = (8, 0)
) -> Tiles:
    """Tiles for a map of so many ``pixels`` (over the batch), O, bytes an element, and channels of a ``group``.

    The fastest of those that were measured on an H100 (``benchmarks.gpu_drill``, its part ``sweep``). 64 columns
    of 16 pixels per warp are 32 float32 values per thread, next to an accumulator of as many or twice as many: what
    fits the registers. A small map needs small tiles to occupy the device.
    """
    narrow = group < 8
    columns = 32 if itemsize == 4 or narrow else 64
    shape = min(128, max(16, triton.next_power_of_2(outputs)))
    if pixels < 32768 or (capability[0] == 10 and narrow):
        # Triton 3.6 fails to compile 64 pixels for B200, whose tensor cores take no fewer, where groups are narrow.
        return Tiles(32, 32 if itemsize == 4 else 64, shape, warps=4, stages=1)
    if itemsize == 4 or narrow:
        return Tiles(32 if itemsize == 4 and shape == 128 else 64, columns, shape, warps=4, stages=1)
    # 128 outputs of 128 pixels leave one program per multiprocessor: faster on an H100, which alone was measured.
    return Tiles(128 if shape < 128 or capability[0] == 9 else 64, columns, shape, warps=8, stages=1)


def tiles_on(device: torch.device, pixels: int, weight: Tensor, groups: int) -> Tiles:
    """:func:`choose_tiles` for a map of so many ``pixels`` on ``device``, by the type and shape of ``weight``."""
    O, C = weight.shape[:2]
    return choose_tiles(pixels, O, weight.element_size(), C // groups, _capability(device))


@lru_cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (8, 0)


def products_of_torch() -> Products:
    """How torch multiplies float32 values in convolutions on the GPU at present."""
    cudnn = torch.backends.cudnn
    # Torch 2.9 renamed the setting, and raises where the old name is asked for after the new one was set.
    if hasattr(cudnn, "conv"):
        return "tf32" if cudnn.conv.fp32_precision == "tf32" else "ieee"
    return "tf32" if cudnn.allow_tf32 else "ieee"
