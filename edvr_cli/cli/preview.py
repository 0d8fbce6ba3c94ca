"""``edvr preview``: what would come out, and how long it would take."""

import math
from fractions import Fraction
from pathlib import Path

import click
import torch

from edvr_cli.cli.fetch import PULL_OPTION, available
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import echo_path, markup
from edvr_cli.cli.progress import duration
from edvr_cli.cli.thumbnail import show_picture
from edvr_cli.cli.types import DEVICE, MODEL, TILE, TIME
from edvr_cli.errors import OutputError
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.precision import PRECISIONS, Precision, name_of
from edvr_cli.models.checkpoint import load_model
from edvr_cli.models.registry import default_model
from edvr_cli.quality.footage import Footage
from edvr_cli.quality.preview import Restored, difference_crop, restored_from, sheet, split_screen, spread
from edvr_cli.system.files import write_file
from edvr_cli.video.writing.png_jpeg import png
from edvr_cli.video.writing.preview_clip import write_clip

__all__ = ["preview_command"]

_FILE = click.Path(path_type=Path)


@click.command("preview", no_args_is_help=True)
@click.argument("source", metavar="IN", type=_FILE)
@click.option("--at", "instants", type=TIME, multiple=True, help="A moment, as 1:30; repeatable.")
@click.option(
    "--moments", type=click.IntRange(1, 50), default=3, show_default=True, metavar="N", help="Spread so many evenly."
)
@click.option("-o", "--output", "folder", metavar="FOLDER", type=_FILE, help="Where to.  [default: IN_preview]")
@click.option("--video", is_flag=True, help="Write a short split-screen video from each moment as well.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Its length.",
)
@click.option("-n", "--model", metavar="MODEL", type=MODEL, help="A model's name or checkpoint file.")
@PULL_OPTION
@click.option("-d", "--device", type=DEVICE, default="auto", show_default=True, help="cpu, cuda, cuda:1, mps.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True)
@click.option("-t", "--tile", type=TILE, default="auto", show_default=True, help="Side of a tile; 0: whole frames.")
@click.option("--thumbnail/--no-thumbnail", default=True, help="Show the first part in the terminal.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace files of an earlier preview.")
def preview_command(
    source: Path,
    instants: tuple[Fraction, ...],
    moments: int,
    folder: Path | None,
    video: bool,
    seconds: float,
    model: str | None,
    pull: bool,
    device: torch.device,
    precision: Precision,
    tile: int | str,
    thumbnail: bool,
    overwrite: bool,
) -> None:
    """Restore a few moments of the video IN and write them as pictures: bicubic on the left, EDVR on the right.

    Below the whole frames is the part where they differ most, magnified. Says how long the whole file would take.
    The pictures' paths go to standard output.
    """
    console = Messages()
    footage = Footage.open(source)
    network = load_model(available(model or default_model("sr"), agreed=pull or overwrite), device)
    engine = StreamingEDVR(network, precision=precision, tile=None if isinstance(tile, str) else tile)
    at = [float(instant) for instant in instants] or spread(footage, moments)
    folder = folder or source.with_name(f"{source.stem}_preview")
    targets = [folder / f"{source.stem}_{_clock(instant)}.png" for instant in at]
    clips = [target.with_suffix(".mp4") for target in targets] if video else []
    for target in (*targets, *clips):
        if target.exists() and not overwrite:
            raise OutputError(f"{target} exists: choose another folder with --output, or pass --overwrite")
    width, height = footage.size
    scale = network.config.scale
    console.print(
        markup(
            "[bold]{}[/]  {} → {}  {} on {}, {}",
            source.name,
            f"{width}×{height}",
            f"{width * scale}×{height * scale}",
            network.name,
            engine.device,
            name_of(engine.dtype),
        ),
        soft_wrap=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    frames = math.ceil(seconds * footage.rate) if video else 1
    pace: list[float] = []
    for number, (instant, target) in enumerate(zip(at, targets, strict=True)):
        # One frame more at the first moment tells the pace: only the first of a run computes a whole window.
        count = max(frames, 2) if number == 0 else frames
        restored: list[Restored] = []
        with console.status(f"restoring from {_clock(instant)} ({number + 1} of {len(at)})"):
            for frame in restored_from(footage, engine, instant, count):
                restored.append(frame)
                if len(restored) > 1:
                    pace.append(frame.took)
        write_file(target, png(sheet(restored[0])))
        echo_path(target)
        if video:
            write_clip(clips[number], ((split_screen(f), f.seconds) for f in restored[:frames]), footage.rate)
            echo_path(clips[number])
        if thumbnail and number == 0:
            crop = difference_crop(restored[0].before, restored[0].after)
            show_picture(console, torch.cat([crop.of(p) for p in (restored[0].before, restored[0].after)], dim=2))
    if pace:
        each = sorted(pace)[len(pace) // 2]
        every = f", about {duration(each * footage.count)} for all {footage.count} frames" if footage.count else ""
        console.print(f"{each:.2g} s a frame now{every}", soft_wrap=True)


def _clock(seconds: float) -> str:
    """For file names: ``0m04.50s``."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:05.2f}s"
