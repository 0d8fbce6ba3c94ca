"""``edvr report``: an HTML page that compares a video with its restoration."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import Progress

from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import echo_path
from edvr_cli.cli.paths import check_inputs
from edvr_cli.cli.types import DEVICE_NAME, FILE, KEY_VALUE, MODEL, TIME, Count
from edvr_cli.errors import InputError, OutputError
from edvr_cli.size import Size
from edvr_cli.system.files import write_file
from edvr_cli.system.text import format_duration

if TYPE_CHECKING:
    from edvr_cli.quality.report import ModelCard

__all__ = ["report_command"]

_MAX_FRAMES = 300


_EXAMPLES = {
    "edvr upscale in.mp4 out.mp4 --json > run.jsonl": "keep what the run says",
    "edvr report in.mp4 out.mp4 --run run.jsonl": "with its settings and model on the page",
}


@click.command("report", cls=ReadableCommand, no_args_is_help=True, examples=_EXAMPLES)
@click.argument("source", metavar="IN", type=FILE)
@click.argument("result", metavar="OUT", type=FILE)
@click.option("-o", "--output", "target", metavar="FILE.html", type=FILE, help="The page.  [default: OUT.html]")
@click.option("--ref", metavar="TRUTH", type=FILE, help="Measure both against this video or folder of images.")
@click.option("--start", type=TIME, default=0, metavar="TIME", help="Start of OUT in IN and TRUTH.")
@click.option("--pictures", type=Count(1, 40), default=6, show_default=True, help="Frames to show.")
@click.option(
    "--frames",
    type=Count(1),
    default=_MAX_FRAMES,
    show_default=True,
    metavar="N",
    help="Measure at most N frames.",
)
@click.option("--vmaf/--no-vmaf", default=True, help="Also measure VMAF, if --ref is given.")
@click.option("-n", "--model", metavar="MODEL", type=MODEL, help="The model that made OUT: its card comes on the page.")
@click.option("-d", "--device", type=DEVICE_NAME, default="auto", show_default=True, help="The device it was made on.")
@click.option(
    "--run",
    "run_file",
    metavar="FILE",
    type=FILE,
    help="Output of `edvr upscale --json`: shows its settings and model.",
)
@click.option(
    "--setting", "settings", type=KEY_VALUE, multiple=True, help="Another line of settings: crf=17; repeatable."
)
@click.option("-y", "--overwrite", is_flag=True, help="Replace the page if it exists.")
def report_command(
    source: Path,
    result: Path,
    target: Path | None,
    ref: Path | None,
    start: Fraction,
    pictures: int,
    frames: int,
    vmaf: bool,
    model: str | None,
    device: str,
    run_file: Path | None,
    settings: tuple[tuple[str, str], ...],
    overwrite: bool,
) -> None:
    """Write an HTML page that compares the video IN with its restoration OUT: one file, viewable offline.

    It has a slider over frames of both, the parts that changed most, figures over time, and what made OUT.
    """
    check_inputs(source, result, ref)
    from edvr_cli.models.library import list_models  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.quality.footage import Footage  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.quality.report import build_report  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.system.hardware import resolve_device  # noqa: PLC0415 (likewise)

    target = target or result.with_suffix(".html")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists: choose another name with --output, or pass --overwrite", wrong_usage=True)
    made = _run_settings(run_file, result) if run_file else {}
    if model is None and made.get("model") in {listed.name for listed in list_models()}:
        model = made["model"]
    footage = Footage.open(source, start), Footage.open(result)
    if _is_smaller(footage[1].size, footage[0].size):
        raise InputError(
            f"{result} is smaller than {source}: the source comes first. Try edvr report {result} {source}",
            wrong_usage=True,
        )
    truth = Footage.open(ref, start) if ref else None
    console = Messages()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("measuring", total=2 * min(frames, footage[1].count or frames))
        page = build_report(
            *footage,
            truth=truth,
            pictures=pictures,
            max_frames=frames,
            vmaf=vmaf,
            settings=made | dict(settings),
            model=_model(model) if model else None,
            device=resolve_device(device),
            on_frame=lambda: bar.advance(task),
        )
    write_file(target, page.encode("utf-8", "replace"))
    echo_path(target)


def _run_settings(path: Path, result: Path) -> dict[str, str]:
    """Settings of the run that made a file, from its JSON lines. Raises InputError where it made another."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        events = [line for line in lines if Path(line.get("target", "")).name == result.name]
        begun = next(event for event in events if event["event"] == "started")
    except (OSError, ValueError, AttributeError, StopIteration) as error:
        raise InputError(f"{path} does not mention {result.name}: give the output of `edvr upscale --json`") from error
    settings = {
        "model": begun["model"],
        "device": begun["device"],
        "precision": begun["precision"],
        "tiles": f"{begun['tile']} pixels" if begun["tile"] else "whole frames",
    }
    for name, usual in (("strength", 1), ("sharpen", 0), ("tta", 1)):
        if begun.get(name, usual) != usual:
            settings[name] = f"{begun[name]:g}"
    for end in (event for event in events if event["event"] == "finished"):
        settings |= {"frames": str(end["frames"]), "took": format_duration(end["seconds"])}
    return settings


def _model(name: str) -> ModelCard:
    from edvr_cli.models.library import describe  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.quality.report import ModelCard  # noqa: PLC0415 (torch takes seconds)

    facts = describe(name)
    kept = (
        "name",
        "summary",
        "task",
        "scale",
        "license",
        "parameters",
        "quality",
        "window_padding",
        "sharpen",
        "sha256",
    )
    rows = {key.replace("_", " "): str(facts[key]) for key in kept if facts.get(key)}
    card = facts.get("card")
    return ModelCard(rows, Path(card).read_text(encoding="utf-8") if card else "")


def _is_smaller(size: Size, other: Size) -> bool:
    return size.width < other.width and size.height < other.height
