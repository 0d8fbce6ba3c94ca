"""``edvr bench``: speed of the network, compared with its published form and the limits of the hardware."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE
from rich.table import Table

from edvr_cli.bench.sizes import SIZES
from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import PlainConsole, echo_json
from edvr_cli.cli.types import DEVICE_NAME, parsed_size
from edvr_cli.inference.options import PRECISIONS
from edvr_cli.size import Size

if TYPE_CHECKING:
    from edvr_cli.bench.hardware import Repeats
    from edvr_cli.bench.suite import CaseResult, Report

__all__ = ["bench_command"]

_RESOLUTIONS = Size(320, 180), Size(640, 360), Size(1280, 720)
_BUDGET, _QUICK_BUDGET = 60.0, 20.0  # seconds a measurement; each case takes about three of them


class _Resolution(click.ParamType):
    """Width and height."""

    name = "WxH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        """``Size(320, 180)`` of ``320x180``."""
        if isinstance(value, Size):
            return value
        if (size := parsed_size(str(value), least=16)) is not None:
            return size
        raise click.BadParameter(f"{value!r} is not a size; write 320x180, each side at least 16", ctx, param)


@click.command("bench", cls=ReadableCommand)
@click.option(
    "--size",
    "sizes",
    type=click.Choice(list(SIZES)),
    multiple=True,
    help="Network; repeatable.  [default: all; s and m if --quick]",
)
@click.option(
    "--resolution",
    "resolutions",
    type=_Resolution(),
    multiple=True,
    help="Size of the input; repeatable.  [default: 320x180, 640x360, 1280x720; 320x180 if --quick]",
)
@click.option("-d", "--device", type=DEVICE_NAME, default="auto", show_default=True, help="cpu, cuda, cuda:1, mps.")
@click.option(
    "--precision",
    "precisions",
    type=click.Choice([p for p in PRECISIONS if p != "auto"]),
    multiple=True,
    help="Precision of the engine; repeatable.  [default: all that the device has]",
)
@click.option("--quick", is_flag=True, help="Few repeats of small cases: minutes, not an hour.")
@click.option("--json", "as_json", is_flag=True, help="Write all figures to standard output as JSON.")
def bench_command(
    sizes: tuple[str, ...],
    resolutions: tuple[Size, ...],
    device: str,
    precisions: tuple[Any, ...],
    quick: bool,
    as_json: bool,
) -> None:
    """Measure the speed of EDVR on this machine, with random weights.

    Side by side and in turns: the published form (a whole window for every frame, NCHW, fp32), the engine at each
    precision (on a GPU at the fastest one compiled as well), and the floor: the work of direct convolutions at the
    rate of a large matrix product, or their maps at the rate of a large copy, whichever takes longer. Then the parts
    of the engine's time, and a video decoded, encoded, and restored end to end. Times are medians.
    """
    from edvr_cli.bench.suite import bench, default_precisions  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.system.hardware import resolve_device  # noqa: PLC0415 (torch takes seconds)

    progress = Messages()
    on_device = resolve_device(device)
    report = bench(
        sizes or (("s", "m") if quick else tuple(SIZES)),
        resolutions or (_RESOLUTIONS[:1] if quick else _RESOLUTIONS),
        on_device,
        precisions or default_precisions(on_device),
        budget=_QUICK_BUDGET if quick else _BUDGET,
        on_case=lambda case: progress.print(f"{case} ..."),
    )
    if as_json:
        echo_json(asdict(report), indent=2)
    else:
        _show(report)


def _show(report: Report) -> None:
    console = PlainConsole()
    rates = ", ".join(f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in report.rates.product.items())
    threads = f", {report.threads} threads" if report.device == "cpu" else ""
    console.print(f"{report.machine} ({report.device}{threads}), torch {report.torch}")
    console.print(f"matrix product: {rates}; copy: {report.rates.copy / 1e9:.3g} GB/s read and written")
    for case in report.cases:
        console.print()
        console.print(_table(case))
        for line in _lines(case):
            console.print(line)


def _table(case: CaseResult) -> Table:
    published = case.network.published
    table = Table("", *("s/frame", "least", "ratio", "floor", "of floor", "TFLOP", "memory"), box=SIMPLE)
    table.title = f"EDVR-{case.size.upper()}, {case.width}×{case.height}"
    for column in table.columns[1:]:
        column.justify = "right"
    work = f"{published.flops / 1e12:.3g}"
    ratio = "1" if published.time else ""
    table.add_row("published", *_time(published.time), ratio, "", "", work, _memory(published.memory))
    for engine in case.network.engines:
        ratio = f"{published.time.median / engine.time.median:.2f}" if published.time and engine.time else ""
        table.add_row(
            engine.name,
            *_time(engine.time),
            ratio,
            f"{engine.floor:.3g}",
            f"{engine.floor / engine.time.median:.0%}" if engine.time else "",
            f"{engine.flops / 1e12:.3g}",
            _memory(engine.memory),
        )
    return table


def _lines(case: CaseResult) -> list[str]:
    """Results without a column in the table."""
    from edvr_cli.inference.engine import STAGES  # noqa: PLC0415 (torch takes seconds)

    published = case.network.published
    lines = [f"published: fp32, deformable convolutions by {published.op}"]
    for engine in case.network.engines:
        if engine.time:
            parts = ", ".join(f"{name} {engine.parts[name]:.3g}" for name in STAGES)
            tiles = f"tiles of {engine.tile}; " if engine.tile else ""
            first = f"first window {engine.first:.3g} s; " if engine.first is not None else ""
            lines.append(f"{engine.name}: {tiles}{first}parts in s/frame: {parts}")
    if video := case.video:
        lines.append(
            f"video of {video.frames} frames, {video.precision}, s/frame: decode {video.decode:.3g}, "
            f"network {video.network:.3g}, encode (x264 {video.preset}) {video.encode:.3g}, "
            f"end to end {video.end_to_end:.3g} ({video.network / video.end_to_end:.0%} of the network's speed)"
        )
    left_out = [("published", published.why_not)]
    left_out += [(engine.name, engine.why_not) for engine in case.network.engines]
    return [*lines, *(f"left out: {name}: {why}" for name, why in left_out if why)]


def _time(timing: Repeats | None) -> tuple[str, str]:
    return ("", "") if timing is None else (f"{timing.median:.3g}", f"{timing.least:.3g}")


def _memory(peak: int | None) -> str:
    return "" if peak is None else f"{peak / 2**30:.2f} GiB"
