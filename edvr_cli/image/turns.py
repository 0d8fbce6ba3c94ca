"""The eight turns of a picture: by right angles, and mirrored.

Shapes: H W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ["TURNS", "UNTURNED", "Turn"]


@dataclass(frozen=True)
class Turn:
    """One turn: mirrored along the diagonal, then from left to right, then top to bottom."""

    transposed: bool = False
    left_right: bool = False
    top_bottom: bool = False

    @classmethod
    def of_display_matrix(cls, matrix: Sequence[int]) -> "Turn | None":
        """The turn that makes a stored picture upright, by its display matrix (ISO/IEC 14496-12, 8.2.2).

        ``matrix`` is a b u c d v x y w, which shows the pixel (x, y) at (a·x + c·y, b·x + d·y). None for an angle
        between right ones.
        """
        a, b, _, c, d, *_ = matrix
        if (a == d == 0) == (b == c == 0):
            return None
        return cls(a == 0, left_right=a + c < 0, top_bottom=b + d < 0)

    @property
    def mirrors(self) -> bool:
        """Whether it leaves the picture mirrored, as an odd number of mirrors does."""
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


UNTURNED = Turn()

TURNS = (
    UNTURNED,
    Turn(transposed=True, left_right=True, top_bottom=True),
    Turn(left_right=True, top_bottom=True),
    Turn(transposed=True),
    Turn(left_right=True),
    Turn(transposed=True, top_bottom=True),
    Turn(top_bottom=True),
    Turn(transposed=True, left_right=True),
)
"""All eight, ordered so that the first two, four and eight are groups: two of them in a row make a third."""
