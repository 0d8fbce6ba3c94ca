"""A chart of a training run as a PNG file, drawn and written here so that nothing more need be installed."""

import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edvr_cli.train.drawing import text_bitmap

__all__ = ["Curve", "write_chart"]

_WIDTH, _PANEL, _LEFT, _TOP, _BOTTOM, _RIGHT = 960, 300, 90, 40, 40, 30
_INK, _GRID, _LINE = (40, 40, 40), (225, 225, 225), (30, 90, 180)

Curve = tuple[str, Sequence[float], Sequence[float]]
"""Title, x values, y values."""


def write_chart(path: str | os.PathLike[str], curves: Sequence[Curve]) -> None:
    """Draw ``curves`` one below the other, each with its own axes; values that are not finite are left out."""
    canvas = np.full((_PANEL * max(1, len(curves)), _WIDTH, 3), 255, np.uint8)
    for number, (title, xs, ys) in enumerate(curves):
        points = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
        _panel(canvas[number * _PANEL : (number + 1) * _PANEL], title, points)
    target = Path(path)
    temporary = target.with_name(target.name + ".part")
    temporary.write_bytes(_png(canvas))
    temporary.replace(target)


def _panel(canvas: np.ndarray, title: str, points: list[tuple[float, float]]) -> None:
    _write(canvas, title, _TOP - 24, _LEFT, size=3)
    if not points:
        return
    x, y = np.array(points).T
    (x0, x1), (y0, y1) = _range(x), _range(y)
    across = _LEFT + (x - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT)
    down = _PANEL - _BOTTOM - (y - y0) / (y1 - y0) * (_PANEL - _TOP - _BOTTOM)
    for part in np.linspace(0, 1, 5):
        row = round(_PANEL - _BOTTOM - part * (_PANEL - _TOP - _BOTTOM))
        canvas[row, _LEFT : _WIDTH - _RIGHT] = _GRID
        _write(canvas, f"{y0 + part * (y1 - y0):.4g}", row - 5, 6, size=2)
        column = round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT))
        canvas[_TOP : _PANEL - _BOTTOM, column] = _GRID
        label = f"{x0 + part * (x1 - x0):.4g}"
        _write(canvas, label, _PANEL - _BOTTOM + 10, column - 4 * len(label), size=2)
    for start in range(len(across) - 1):
        a, b = (across[start], down[start]), (across[start + 1], down[start + 1])
        steps = 2 * int(max(abs(b[0] - a[0]), abs(b[1] - a[1]))) + 2
        columns = np.linspace(a[0], b[0], steps).round().astype(int)
        rows = np.linspace(a[1], b[1], steps).round().astype(int)
        canvas[rows, columns] = canvas[rows - 1, columns] = _LINE
    if len(across) == 1:
        canvas[int(down[0]) - 2 : int(down[0]) + 3, int(across[0]) - 2 : int(across[0]) + 3] = _LINE


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _write(canvas: np.ndarray, text: str, top: int, left: int, *, size: int) -> None:
    bitmap = text_bitmap(text, size)
    part = canvas[top : top + len(bitmap), max(0, left) : max(0, left) + bitmap.shape[1]]
    part[bitmap[: len(part), : part.shape[1]]] = _INK


def _png(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a PNG file."""
    height, width, _ = pixels.shape
    rows = np.concatenate((np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)), axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(rows.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
