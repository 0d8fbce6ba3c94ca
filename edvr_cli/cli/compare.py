"""``edvr compare``: PSNR, SSIM and VMAF of one video against another, frame by frame."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import Progress
from rich.table import Table

from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import PlainConsole, echo, echo_json, markup, plain
from edvr_cli.cli.paths import check_inputs
from edvr_cli.cli.types import FILE, REAL, TIME, Count, parsed_size
from edvr_cli.errors import EdvrError, OutputError
from edvr_cli.size import Size
from edvr_cli.system.charts import Panel, write_chart
from edvr_cli.system.files import write_file

if TYPE_CHECKING:
    from torch import Tensor

    from edvr_cli.quality.compare import CommonSize, Comparison, FrameScore, OnPair

__all__ = ["compare_command"]


class _SizeChoice(click.ParamType):
    """``larger``, ``smaller``, or width and height."""

    name = "larger|smaller|WxH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> CommonSize:
        """The word, or the size."""
        if isinstance(value, Size):
            return value
        if (size := parsed_size(str(value))) is not None:
            return size
        if value == "larger" or value == "smaller":  # noqa: PLR1714 (the type is narrowed)
            return value
        raise click.BadParameter(f"{value!r} is not a size; write larger, smaller, or 1280x720", ctx, param)


_EXAMPLES = {
    "edvr compare source.mp4 restored.mp4": "how much restoring changed (A enlarged by bicubic)",
    "edvr compare bicubic.mp4 edvr.mp4 --ref true.mp4": "which is nearer to the truth",
}


@click.command("compare", cls=ReadableCommand, no_args_is_help=True, examples=_EXAMPLES)
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--ref", metavar="TRUTH", type=FILE, help="Measure both A and B against this video or folder.")
@click.option(
    "--size",
    type=_SizeChoice(),
    help="Size both are brought to (bicubic) before they are compared.  [default: TRUTH's, or the larger of A and B]",
)
@click.option("--start", type=TIME, default=0, metavar="TIME", help="Begin A, or TRUTH, here: B is a part of it.")
@click.option("--frames", type=Count(1), metavar="N", help="Compare at most N frames.")
@click.option("--vmaf/--no-vmaf", default=True, help="Also measure VMAF.")
@click.option("--plot", metavar="FILE.png", type=FILE, help="Draw the figures over time (needs matplotlib).")
@click.option(
    "--pictures", metavar="FOLDER", type=FILE, help="Write the frames with the lowest and the highest PSNR there."
)
@click.option("--min-psnr", type=REAL, metavar="DB", help="Exit with 1 if B's mean PSNR (RGB) is below this.")
@click.option("--json", "form", flag_value="json", help="Write all figures to standard output as JSON.")
@click.option("--csv", "form", flag_value="csv", help="Write the frames' figures to standard output as CSV.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace what --plot and --pictures name, if it exists.")
def compare_command(
    a: Path,
    b: Path,
    ref: Path | None,
    size: CommonSize | None,
    start: Fraction,
    frames: int | None,
    vmaf: bool,
    plot: Path | None,
    pictures: Path | None,
    min_psnr: float | None,
    form: str | None,
    overwrite: bool,
) -> None:
    """Measure video B against A, or both against --ref: PSNR, SSIM (RGB and Y) and VMAF of every frame.

    A and B are videos or folders of images. Frames are matched by time, counted from each file's first frame
    (folders: by number). Figures are those of publications: 8 bits, no border cropped, means over frames.
    """
    check_inputs(a, b, ref)
    from edvr_cli.quality.compare import compare  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.quality.footage import Footage  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.video.vmaf import vmaf_available  # noqa: PLC0415 (torch takes seconds)

    console = Messages()
    for target in (plot, *([pictures / name for name in ("worst.png", "best.png")] if pictures else [])):
        if target is not None and target.exists() and not overwrite:
            raise OutputError(f"{target} exists: choose another name, or pass --overwrite", wrong_usage=True)
    if vmaf and not vmaf_available():
        console.warn("the FFmpeg of this platform cannot measure VMAF; it is left out.")
        vmaf = False
    truth = Footage.open(ref or a, start)
    measured: CommonSize = size or (truth.size if ref else "larger")
    comparisons, extremes = [], _Extremes()
    for path in (a, b) if ref else (b,):
        extremes = _Extremes()  # those of B, which comes last, are kept
        image = Footage.open(path)
        if not ref and image.size.width < truth.size.width and image.size.height < truth.size.height:
            console.warn(f"{a} is larger than {b}; if {b} is the source, name it first.")
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            counts = [count for count in (image.count, truth.count, frames) if count]
            task = bar.add_task(plain(path.name), total=min(counts, default=None))
            on_pair = _both(extremes.add, lambda *_: bar.advance(task))  # noqa: B023 (called within this turn)
            comparisons.append(compare(image, truth, size=measured, vmaf=vmaf, max_frames=frames, on_pair=on_pair))
    if plot is not None:
        _plot(plot, comparisons)
    if pictures is not None:
        extremes.write(pictures)
    if form == "json":
        echo_json(_as_json(comparisons), indent=2)
    elif form == "csv":
        echo(_as_csv(comparisons).rstrip("\n"))
    else:
        _show(comparisons)
        if not ref and any(c.image.size != c.truth.size for c in comparisons):
            console.tell(
                "One of the two was made from the other? Then this says how much changed, not which is better: "
                "only --ref ORIGINAL can show that.",
            )
    mean = comparisons[-1].mean("psnr")
    if min_psnr is not None and mean is not None and mean < min_psnr:
        raise EdvrError(f"{b} has {mean:.2f} dB, less than --min-psnr {min_psnr:g}")


class _Extremes:
    """Keeps the frames with the lowest and the highest PSNR, next to their truth."""

    def __init__(self) -> None:
        self._worst: tuple[float, Tensor] | None = None
        self._best: tuple[float, Tensor] | None = None

    def add(self, score: FrameScore, x: Tensor, y: Tensor) -> None:
        """Take the next pair."""
        import torch  # noqa: PLC0415 (torch takes seconds)

        if self._worst is None or score.psnr < self._worst[0]:
            self._worst = score.psnr, torch.cat((x, y), dim=2)
        if self._best is None or score.psnr > self._best[0]:
            self._best = score.psnr, torch.cat((x, y), dim=2)

    def write(self, folder: Path) -> None:
        """As worst.png and best.png: the frame on the left, its truth on the right."""
        from edvr_cli.video.writing.png_jpeg import png  # noqa: PLC0415 (torch takes seconds)

        folder.mkdir(parents=True, exist_ok=True)
        for name, found in (("worst.png", self._worst), ("best.png", self._best)):
            if found is not None:
                write_file(folder / name, png(found[1]))


def _both(first: OnPair, second: OnPair) -> OnPair:
    def on_pair(score: FrameScore, x: Tensor, y: Tensor) -> None:
        first(score, x, y)
        second(score, x, y)

    return on_pair


def _show(comparisons: Sequence[Comparison]) -> None:
    from edvr_cli.quality.compare import METRICS  # noqa: PLC0415 (torch takes seconds)

    console = PlainConsole()
    for comparison in comparisons:
        console.tell(
            markup(
                "[bold]{}[/] against [bold]{}[/]: {}",
                comparison.image.path.name,
                comparison.truth.path.name,
                f"{len(comparison.frames)} frames at {comparison.size}{_how(comparison)}",
            ),
        )
        table = Table("", "mean", "lowest", "at", "highest", "at", box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for metric, name in METRICS.items():
            if (mean := comparison.mean(metric)) is not None:
                low, high = comparison.worst(metric), comparison.best(metric)
                cells = [
                    cell
                    for score in (low, high)
                    for cell in (_figure(metric, getattr(score, metric)), f"{score.seconds:.2f} s (#{score.index})")
                ]
                table.add_row(name, _figure(metric, mean), *cells)
        console.print(table)
        for path, count in zip((comparison.image.path, comparison.truth.path), comparison.unmatched, strict=True):
            if count:
                text = "[yellow]{} frames of {} have none at their time in the other.[/]"
                console.print(markup(text, count, path.name))


def _how(comparison: Comparison) -> str:
    """Which of the two was resized, in words."""
    changed = [
        f"{footage.path.name} ({footage.size})"
        for footage in (comparison.image, comparison.truth)
        if footage.size != comparison.size
    ]
    return f"; {' and '.join(changed)} brought to that by bicubic interpolation" if changed else ""


def _figure(metric: str, value: float) -> str:
    if math.isinf(value):
        return "equal"
    return f"{value:.4f}" if metric.startswith("ssim") else f"{value:.2f}" + (" dB" if "psnr" in metric else "")


def _as_json(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Plain values; a PSNR that is infinite, of equal frames, becomes null."""
    from edvr_cli.quality.compare import METRICS  # noqa: PLC0415 (torch takes seconds)

    first = comparisons[0]
    return {
        "truth": str(first.truth.path),
        "size": first.size,
        "comparisons": [
            {
                "file": str(c.image.path),
                "matched": len(c.frames),
                "unmatched": {"file": c.unmatched[0], "truth": c.unmatched[1]},
                "mean": {metric: c.mean(metric) for metric in METRICS},
                "frames": [asdict(frame) for frame in c.frames],
            }
            for c in comparisons
        ],
    }


def _labels(comparisons: Sequence[Comparison]) -> list[str]:
    """Labels for charts and tables: file names, or whole paths where two names are equal."""
    names = [c.image.path.name for c in comparisons]
    return [str(c.image.path) for c in comparisons] if len(set(names)) < len(names) else names


def _as_csv(comparisons: Sequence[Comparison]) -> str:
    """One row per frame of each file; PSNR of equal frames is inf."""
    from edvr_cli.quality.compare import METRICS  # noqa: PLC0415 (torch takes seconds)

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("file", "frame", "seconds", *METRICS))
    for label, c in zip(_labels(comparisons), comparisons, strict=True):
        for frame in c.frames:
            figures = (getattr(frame, metric) for metric in METRICS)
            cells = ("" if value is None else f"{value:.6f}" for value in figures)
            writer.writerow((label, frame.index, f"{frame.seconds:.6f}", *cells))
    return text.getvalue()


def _plot(path: Path, comparisons: Sequence[Comparison]) -> None:
    from edvr_cli.quality.compare import METRICS  # noqa: PLC0415 (torch takes seconds)

    units = {"psnr": ", dB", "psnr_y": ", dB"}
    panels = []
    for metric, name in METRICS.items():
        curves = {
            label: ([frame.seconds for frame in c.frames], c.values(metric))
            for label, c in zip(_labels(comparisons), comparisons, strict=True)
            if c.values(metric)
        }
        if curves:
            panels.append(Panel(name + units.get(metric, ""), curves))
    write_chart(path, panels, across="seconds")
