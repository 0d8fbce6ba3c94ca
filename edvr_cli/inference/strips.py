"""Strips: rows of the network's last, large maps that are computed together.

Shapes: B frames, h w of their features.
"""

from collections.abc import Iterator

import torch

from edvr_cli.network.edvr import TAIL_REACH

__all__ = ["rows_per_strip", "strips"]

# Features' pixels at a time in the tail. On a CPU more than these no longer find their maps in the cache (a fifth
# slower in bf16), on a GPU fewer would leave it idle.
_PIXELS, _PIXELS_CPU = 32 * 1024, 6400
_MIN_ROWS = 16  # thin strips would repeat too much of their neighbors' work
_COUNT = 5  # strips of a large frame on a GPU


def rows_per_strip(B: int, h: int, w: int, device: torch.device, *, at_once: bool) -> int:
    """Rows of features in a strip, for ``B`` frames with features of h × w on ``device``.

    ``at_once`` says that neighbors were aligned at once: on a GPU the maps of the whole frame then need less memory
    than the alignment's before.
    """
    pixels = _PIXELS_CPU if device.type == "cpu" else max(_PIXELS, B * h * w // (1 if at_once else _COUNT))
    return max(_MIN_ROWS, pixels // (B * w))


def strips(height: int, rows: int) -> Iterator[tuple[int, int, int, int]]:
    """Rows to write (from, to) and to read for that (from, to), of strips of at most ``rows`` rows.

    All are read equally high, so a compiler meets one size.
    """
    count = -(-height // rows)
    step = -(-height // count)
    tall = min(height, step + 2 * TAIL_REACH)
    for start in range(0, height, step):
        top = min(max(0, start - TAIL_REACH), height - tall)
        yield start, min(start + step, height), top, top + tall
