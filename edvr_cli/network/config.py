"""The dimensions of EDVR, by which a network is described without loading torch."""

from dataclasses import dataclass

from edvr_cli.network.windows import Padding

__all__ = ["MAX_SHARPEN", "EDVRConfig"]

MAX_SHARPEN = 2.0
"""The largest amount of an unsharp mask that a model or a user may ask for."""


@dataclass(frozen=True)
class EDVRConfig:
    """The dimensions of a network; the defaults are the published EDVR-M for ×4 super-resolution."""

    features: int = 64
    frames: int = 5
    groups: int = 8
    extraction_blocks: int = 5
    reconstruction_blocks: int = 10
    tail: int = 64  # channels at output resolution
    predeblur: bool = False
    hr_in: bool = False  # the input has output resolution and is brought down ×4 inside (deblurring)
    tsa: bool = True
    cascade: bool = True  # refine the aligned features once more against the reference
    levels: int = 3  # of the alignment pyramid; 1 is TDAN's single-scale alignment

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return 1 if self.hr_in else 4

    @property
    def multiple(self) -> int:
        """What H and W of the input must be divisible by."""
        return 16 if self.hr_in else 4

    @property
    def published_padding(self) -> Padding:
        """How the published models of this kind pad windows at the ends of a shot."""
        return "replicate" if self.predeblur else "reflection_circle"

    @property
    def reference(self) -> int:
        """Index of the restored frame in its window."""
        return self.frames // 2
