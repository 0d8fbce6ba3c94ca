"""The size of a picture: width before height wherever people or files are meant."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Size"]


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), the order of a tensor's axes."""
        return self.height, self.width

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def turned(self) -> Size:
        """The size after a quarter turn."""
        return Size(self.height, self.width)

    def times(self, factor: int) -> Size:
        """The size ``factor`` times as wide and as high."""
        return Size(self.width * factor, self.height * factor)
