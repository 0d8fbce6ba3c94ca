"""Options of inference: numeric precision, tiles and memory."""

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["DEFAULT_TILE_PAD", "PRECISIONS", "InferenceOptions", "Precision"]

Precision = Literal["auto", "fp32", "fp16", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

DEFAULT_TILE_PAD = 32  # input pixels; docs/lab/performance.md has the measurements


@dataclass(frozen=True)
class InferenceOptions:
    """How the network processes frames.

    Attributes:
        precision: floating-point type of the computation; ``auto`` is the fastest within 0.02 dB of fp32.
        tile: largest side of a tile in input pixels; 0: whole frames; None: as large as memory allows.
        tile_pad: input pixels read around each tile.
        max_memory: limit for the network in bytes; None: the free memory.
        torch_compile: fuse the network with torch.compile on a GPU; the first frame takes about a minute.
    """

    precision: Precision = "auto"
    tile: int | None = None
    tile_pad: int = DEFAULT_TILE_PAD
    max_memory: int | None = None
    torch_compile: bool = False
