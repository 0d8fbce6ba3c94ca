"""Line charts as image files, drawn by matplotlib (extra ``plot``)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edvr_cli.errors import EdvrError
from edvr_cli.system.files import replacing

__all__ = ["NO_CHARTS", "Panel", "charts_available", "write_chart"]

NO_CHARTS = "Charts need matplotlib: pip install 'edvr-cli[plot]'"

Curve = tuple[Sequence[float], Sequence[float]]
"""x values, y values."""


@dataclass(frozen=True)
class Panel:
    """One of the charts in a picture: its title, and curves by name; a single nameless one needs no legend."""

    title: str
    curves: Mapping[str, Curve]


def charts_available() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def write_chart(path: Path, panels: Sequence[Panel], *, across: str) -> None:
    """Draw ``panels`` one below the other over one axis called ``across``; the suffix (.png, .svg) decides the format.

    Values that are not finite leave a gap. Raises EdvrError where matplotlib is missing or refuses the suffix.
    """
    if not charts_available():
        raise EdvrError(NO_CHARTS)
    from matplotlib.figure import Figure  # noqa: PLC0415 (an extra, and slow to import)

    figure = Figure(figsize=(9.6, 1 + 2.4 * max(1, len(panels))), layout="constrained")
    for axes, panel in zip(figure.subplots(max(1, len(panels)), sharex=True, squeeze=False)[:, 0], panels, strict=True):
        for name, (x, y) in panel.curves.items():
            axes.plot(x, y, label=name, linewidth=1.2, marker="." if len(x) < 40 else "")
        axes.set_title(panel.title, loc="left", fontsize=10)
        axes.grid(alpha=0.3)
        if any(panel.curves):
            axes.legend(fontsize=8)
    figure.supxlabel(across, fontsize=9)
    with replacing(path) as file:
        try:
            figure.savefig(file, format=path.suffix.lstrip(".").lower() or "png", dpi=110)
        except ValueError as error:
            raise EdvrError(f"{path}: name the chart .png, .svg or .pdf") from error
