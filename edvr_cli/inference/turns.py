"""Test-time augmentation: turned and reversed copies of a window, whose restored frames are averaged.

A network is a little wrong in another way for each of a picture's eight turns, so their mean is less wrong. The
self-ensemble of EDSR (Lim et al., 2017) turns pictures alone; here time runs backwards in half of the copies, too.
"""

from dataclasses import dataclass

from torch import Tensor

__all__ = ["TURNS", "Turn"]


@dataclass(frozen=True)
class Turn:
    """One of the eight turns of a picture: mirrored along its diagonal, then from left to right, then top to bottom."""

    transposed: bool = False
    left_right: bool = False
    top_bottom: bool = False

    @property
    def reverses(self) -> bool:
        """Whether time runs backwards: where an odd number of mirrors leaves the picture mirrored."""
        return (self.transposed + self.left_right + self.top_bottom) % 2 == 1

    def apply(self, image: Tensor) -> Tensor:
        """``image`` (..., H, W) turned: (..., W, H) where it is transposed."""
        return self._flipped(image.mT if self.transposed else image)

    def undo(self, image: Tensor) -> Tensor:
        """``image`` turned back."""
        image = self._flipped(image)
        return image.mT if self.transposed else image

    def _flipped(self, image: Tensor) -> Tensor:
        sides = [side for side, wanted in ((-1, self.left_right), (-2, self.top_bottom)) if wanted]
        return image.flip(sides) if sides else image


TURNS = (
    Turn(),
    Turn(transposed=True, left_right=True, top_bottom=True),
    Turn(left_right=True, top_bottom=True),
    Turn(transposed=True),
    Turn(left_right=True),
    Turn(transposed=True, top_bottom=True),
    Turn(top_bottom=True),
    Turn(transposed=True, left_right=True),
)
"""In the order of use. The first two, the first four and all eight are groups: turned input gives turned output."""
