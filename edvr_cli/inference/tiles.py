"""Division of a frame into tiles with padding."""

from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Tile", "tiles"]


@dataclass(frozen=True)
class Span:
    """A half-open range of rows or columns."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def slice(self, scale: int = 1) -> slice:
        """The range as a slice, of a map ``scale`` times as large."""
        return slice(self.start * scale, self.stop * scale)


@dataclass(frozen=True)
class Tile:
    """A part of a frame: its region (core and padding, limited to the frame) is read, its core is written."""

    core_y: Span
    core_x: Span
    region_y: Span
    region_x: Span

    def region(self) -> tuple[slice, slice]:
        """Rows and columns to read from the frame."""
        return self.region_y.slice(), self.region_x.slice()

    def core(self, scale: int = 1) -> tuple[slice, slice]:
        """Rows and columns to write in a frame ``scale`` times as large."""
        return self.core_y.slice(scale), self.core_x.slice(scale)

    def core_in_region(self, scale: int = 1) -> tuple[slice, slice]:
        """Rows and columns of the core within the restored region."""
        y, x = self.core_y, self.core_x
        return (
            Span(y.start - self.region_y.start, y.stop - self.region_y.start).slice(scale),
            Span(x.start - self.region_x.start, x.stop - self.region_x.start).slice(scale),
        )


def tiles(height: int, width: int, size: int, tile_pad: int, multiple: int) -> list[Tile]:
    """Cover a frame with tiles whose cores are about equal and at most ``size`` a side; size 0: one tile.

    Every boundary is a multiple of ``multiple``, as height and width must be; ``size`` and ``tile_pad`` are
    rounded up to it.
    """
    if height % multiple or width % multiple:
        raise ValueError(f"a frame of {width}×{height} is not a multiple of {multiple}")
    rows, columns = _spans(height, size, multiple), _spans(width, size, multiple)
    tile_pad = -(-tile_pad // multiple) * multiple
    return [Tile(y, x, _widened(y, tile_pad, height), _widened(x, tile_pad, width)) for y in rows for x in columns]


def _spans(length: int, size: int, multiple: int) -> list[Span]:
    """Equal parts rather than full ones and a sliver."""
    units = length // multiple
    most = max(1, -(-size // multiple)) if size else units
    parts = -(-units // most)
    edges = [units * i // parts * multiple for i in range(parts + 1)]
    return [Span(a, b) for a, b in pairwise(edges)]


def _widened(core: Span, tile_pad: int, length: int) -> Span:
    return Span(max(0, core.start - tile_pad), min(length, core.stop + tile_pad))
