"""Labels in pictures, drawn with the letters of an old terminal: no font and no library is needed for a few words.

Shapes: H W pixels of a picture, h w of a label.
"""

import torch
from torch import Tensor

__all__ = ["dot_for", "label_above", "label_in_corner", "lettering"]

_ROWS, _COLUMNS = 7, 5
_GAP = 1  # between two letters
_MARGIN = 3  # around a label, in dots
_ROWS_OF_DOTS, _MIN_DOT = 200, 2  # dots of one pixel in a picture of that height, unless they are too small
_WHITE = 255

# The columns of each letter from the left, five of them, the top dot in the lowest bit.
_LETTERS = {
    "A": "7e1111117e", "B": "7f49494936", "C": "3e41414122", "D": "7f4141413e", "E": "7f49494941", "F": "7f09090901",
    "G": "3e41415132", "H": "7f0808087f", "I": "00417f4100", "J": "2040413f01", "K": "7f08142241", "L": "7f40404040",
    "M": "7f021c027f", "N": "7f0408107f", "O": "3e4141413e", "P": "7f09090906", "Q": "3e4151215e", "R": "7f09192946",
    "S": "4649494931", "T": "01017f0101", "U": "3f4040403f", "V": "1f2040201f", "W": "3f4038403f", "X": "6314081463",
    "Y": "0304780403", "Z": "6151494543", "0": "3e5149453e", "1": "00427f4000", "2": "7249494946", "3": "2141494d33",
    "4": "1814127f10", "5": "2745454539", "6": "3c4a494931", "7": "4121110907", "8": "3649494936", "9": "464949291e",
    "-": "0808080808", "_": "4040404040", ".": "0000606000", " ": "0000000000",
}  # fmt: skip
_UNKNOWN = "7f4141417f"


def lettering(text: str, dot: int = 1) -> Tensor:
    """``text`` in capitals, one line: bool (7·dot, w), True where there is ink; a box for letters without a shape."""
    columns = []
    for letter in text.upper():
        columns += [*bytes.fromhex(_LETTERS.get(letter, _UNKNOWN)), *([0] * _GAP)]
    bits = torch.tensor(columns[:-_GAP], dtype=torch.int64)
    rows = torch.stack([bits >> row & 1 for row in range(_ROWS)]).bool()
    return rows.repeat_interleave(dot, dim=0).repeat_interleave(dot, dim=1)


def dot_for(height: int, width: int, *texts: str) -> int:
    """The side of a dot in pixels, so that labels suit a picture of this height and none is wider than ``width``."""
    longest = max(map(len, texts)) * (_COLUMNS + _GAP) + 2 * _MARGIN
    return max(1, min(max(_MIN_DOT, height // _ROWS_OF_DOTS), width // longest))


def label_above(picture: Tensor, text: str, dot: int) -> Tensor:
    """The picture (3, H, W) uint8 below a white strip with ``text`` in black: (3, h + H, W), h as ``dot`` has it."""
    W = picture.shape[2]
    ink = lettering(text, dot)
    strip = torch.full((3, ink.shape[0] + 2 * _MARGIN * dot, W), _WHITE, dtype=torch.uint8)
    _draw(strip, ink, _MARGIN * dot, max(0, (W - ink.shape[1]) // 2), 0)
    return torch.cat((strip, picture), dim=1)


def label_in_corner(picture: Tensor, text: str, dot: int, *, right: bool = False) -> Tensor:
    """A copy of the picture (3, H, W) uint8 with ``text``, white on black, in its upper left or right corner."""
    W = picture.shape[2]
    ink = lettering(text, dot)
    height, width = (side + 2 * _MARGIN * dot for side in ink.shape)
    labelled = picture.clone()
    corner = labelled[:, :height, max(0, W - width) :] if right else labelled[:, :height, :width]
    corner.fill_(0)
    _draw(corner, ink, _MARGIN * dot, _MARGIN * dot, _WHITE)
    return labelled


def _draw(picture: Tensor, ink: Tensor, top: int, left: int, value: int) -> None:
    """Draw as much of the ink as there is room for."""
    room = picture[:, top : top + ink.shape[0], left : left + ink.shape[1]]
    room[:, ink[: room.shape[1], : room.shape[2]]] = value
