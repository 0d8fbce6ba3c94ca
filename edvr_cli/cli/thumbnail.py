"""A picture in the terminal: kitty's graphics where they are understood, else half blocks in 24-bit color.

Of the libraries, textual-image is LGPL and term-image has been still since 2024; this is all of them that is needed.
"""

import base64
import os

import torch
from rich.color import Color
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from torch import Tensor

from edvr_cli.quality.footage import to_size
from edvr_cli.size import Size
from edvr_cli.video.writing.png_jpeg import png

__all__ = ["show_picture"]

_KITTY_TERMINALS = {"ghostty", "WezTerm"}
_CHUNK = 4096  # bytes of base64 in one escape sequence
_MAX_COLUMNS = 100


def show_picture(console: Console, rgb: Tensor, labels: tuple[str, str] = ("", "")) -> None:
    """Show (3, H, W) uint8 as wide as the terminal is, up to a hundred columns; nothing where it cannot be seen.

    ``labels`` stand above its left and its right half.
    """
    if not console.is_terminal or console.no_color:
        return
    columns = min(console.width, _MAX_COLUMNS)
    _, height, width = rgb.shape
    in_blocks = console.color_system in ("truecolor", "256")
    if any(labels) and (_understands_kitty() or in_blocks):
        half = columns // 2
        console.print("".join(label[:half].center(half) for label in labels).rstrip())
    if _understands_kitty():
        data = base64.standard_b64encode(png(rgb)).decode()
        chunks = [data[n : n + _CHUNK] for n in range(0, len(data), _CHUNK)]
        for number, chunk in enumerate(chunks):
            more = int(number < len(chunks) - 1)
            control = f"a=T,f=100,c={columns},m={more}" if number == 0 else f"m={more}"
            console.file.write(f"\x1b_G{control};{chunk}\x1b\\")
        console.file.write("\n")
    elif in_blocks:
        rows = max(1, round(columns * height / width / 2))  # a cell is two pixels high
        console.print(Segments(_half_blocks(to_size(rgb, Size(columns, 2 * rows)))))


def _understands_kitty() -> bool:
    return "kitty" in os.environ.get("TERM", "") or os.environ.get("TERM_PROGRAM") in _KITTY_TERMINALS


def _half_blocks(rgb: Tensor) -> list[Segment]:
    """(3, 2·rows, columns) uint8: the upper pixel of a cell is its ink, the lower one its ground."""
    cells = torch.stack((rgb[:, ::2], rgb[:, 1::2])).permute(2, 3, 0, 1).tolist()
    segments = []
    for row in cells:
        segments += [
            Segment("▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))) for upper, lower in row
        ]
        segments.append(Segment.line())
    return segments
