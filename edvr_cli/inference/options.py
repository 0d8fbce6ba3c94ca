"""Options of inference: numeric precision, tiles and memory."""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from edvr_cli.network.config import MAX_SHARPEN

__all__ = ["DEFAULT_TILE_PAD", "PRECISIONS", "TTA", "InferenceOptions", "Look", "Precision", "describe_look"]

Precision = Literal["auto", "fp32", "fp16", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

TTA = 1, 2, 4, 8

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
        strength: share of the network's output in a frame, 0 to 1; the rest is the frame's plain (bicubic) enlargement.
        sharpen: how much the network's output is sharpened, 0 to 2, besides what belongs to the model.
        tta: test-time augmentation: 1, or the mean of 2, 4 or 8 outputs: of a window and turned, reversed copies.

    Raises ValueError for values outside that.
    """

    precision: Precision = "auto"
    tile: int | None = None
    tile_pad: int = DEFAULT_TILE_PAD
    max_memory: int | None = None
    torch_compile: bool = False
    strength: float = 1.0
    sharpen: float = 0.0
    tta: int = 1

    def __post_init__(self) -> None:
        """Check strength, sharpening and the number of turns."""
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be from 0 to 1, got {self.strength}")
        if not 0 <= self.sharpen <= MAX_SHARPEN:
            raise ValueError(f"sharpen must be from 0 to {MAX_SHARPEN:g}, got {self.sharpen}")
        if self.tta not in TTA:
            raise ValueError(f"tta must be one of {', '.join(map(str, TTA))}, got {self.tta}")


class Look(Protocol):
    """What is done with the network's output."""

    @property
    def strength(self) -> float:
        """As in :class:`InferenceOptions`."""

    @property
    def sharpen(self) -> float:
        """As in :class:`InferenceOptions`."""

    @property
    def tta(self) -> int:
        """As in :class:`InferenceOptions`."""


def describe_look(look: Look) -> str:
    """What differs from the usual, as the end of a line: ``, strength 0.7, sharpen 0.3, tta 4``, or nothing."""
    parts = [("strength", look.strength, 1), ("sharpen", look.sharpen, 0), ("tta", look.tta, 1)]
    return "".join(f", {name} {value:g}" for name, value, usual in parts if value != usual)
