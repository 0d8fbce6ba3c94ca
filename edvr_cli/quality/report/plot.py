"""A curve over time as inline SVG that takes its colors from the page around it."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

__all__ = ["line_plot"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 200, 52, 12, 26, 24

Points = Sequence[tuple[float, float]]


def line_plot(title: str, unit: str, curves: Mapping[str, Points], marks: Sequence[float] = ()) -> Markup:
    """Draw curves of (seconds, value); ``marks`` are instants that the page shows pictures of.

    Values that are not finite are left out. Classes ``c0``, ``c1`` ... color the curves.
    """
    kept = {name: [p for p in points if math.isfinite(p[1])] for name, points in curves.items()}
    every = [point for points in kept.values() for point in points]
    label = f"{title}{f', {unit}' if unit else ''}, over seconds"
    body = [f'<text class="title" x="{_LEFT}" y="16">{escape(title)}{escape(f", {unit}" if unit else "")}</text>']
    if every:
        x_low, x_high = _range([x for x, _ in every])
        y_low, y_high = _range([y for _, y in every])

        def across(x: float) -> float:
            return _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

        def down(y: float) -> float:
            return _HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)

        for y in _ticks(y_low, y_high, 5):
            place = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{down(y):.1f}" y2="{down(y):.1f}"'
            body.append(f'<line class="grid" {place}/>')
            body.append(f'<text class="tick" text-anchor="end" x="{_LEFT - 6}" y="{down(y) + 4:.1f}">{y:.6g}</text>')
        for x in _ticks(x_low, x_high, 8):
            place = f'x="{across(x):.1f}" y="{_HEIGHT - 6}"'
            body.append(f'<text class="tick" text-anchor="middle" {place}>{x:.4g} s</text>')
        for number, mark in enumerate(marks):
            if x_low <= mark <= x_high:
                place = f'x1="{across(mark):.1f}" x2="{across(mark):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"'
                body.append(f'<line class="mark" data-frame="{number}" {place}/>')
        for number, (name, points) in enumerate(kept.items()):
            if not points:
                continue
            path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
            body.append(f'<polyline class="c{number}" points="{path}"><title>{escape(name)}</title></polyline>')
            if len(points) == 1:
                place = f'cx="{across(points[0][0]):.1f}" cy="{down(points[0][1]):.1f}"'
                body.append(f'<circle class="c{number}" {place} r="3"/>')
    else:
        body.append(f'<text class="tick" x="{_LEFT}" y="{_HEIGHT / 2}">Nothing to draw: the frames are equal.</text>')
    head = f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
    return Markup(f"{head}{''.join(body)}</svg>")  # all text in it was escaped


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    least = 1e-3 * max(1.0, abs(high))  # less is no difference to see
    return (low, high) if high - low >= least else (low - least / 2, high + least / 2)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers in a range, at most ``most`` + 1 of them."""
    rough = (high - low) / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [step * n for n in range(first, math.floor(high / step + 1e-9) + 1)]
