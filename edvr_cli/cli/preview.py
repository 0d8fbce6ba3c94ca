"""``edvr preview``: restore a few moments, and estimate the time of the whole."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.model_choice import ModelChoice
from edvr_cli.cli.option_groups import inference_options, model_options
from edvr_cli.cli.output import echo_path, markup
from edvr_cli.cli.paths import check_inputs
from edvr_cli.cli.types import FILE, TIME, Count, Finite
from edvr_cli.errors import OutputError
from edvr_cli.inference.options import InferenceOptions, describe_look
from edvr_cli.system.files import write_file
from edvr_cli.system.text import format_estimate
from edvr_cli.video.file_names import FORMATS

if TYPE_CHECKING:
    from edvr_cli.quality.preview import Restored

__all__ = ["preview_command"]

_FILE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", *FORMATS}


_FIRST = ("instants", "moments", "folder", "video", "model", "overwrite")


@click.command("preview", cls=ReadableCommand, no_args_is_help=True, first=_FIRST)
@click.argument("source", metavar="IN", type=FILE)
@click.option("--at", "instants", type=TIME, multiple=True, help="A moment: 1:30; repeatable.")
@click.option(
    "--moments",
    type=Count(1, 50),
    default=3,
    show_default=True,
    metavar="N",
    help="Number of moments, evenly spread.",
)
@click.option(
    "-o", "--output", "folder", metavar="FOLDER", type=FILE, help="Folder of the pictures.  [default: IN_preview]"
)
@click.option("--video", is_flag=True, help="Also write a short split-screen video of each moment.")
@click.option(
    "--seconds",
    type=Finite(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Length of each video.",
)
@model_options
@inference_options
@click.option("--thumbnail/--no-thumbnail", default=True, help="Show the first picture in the terminal.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace files of an earlier preview.")
def preview_command(
    source: Path,
    instants: tuple[Fraction, ...],
    moments: int,
    folder: Path | None,
    video: bool,
    seconds: float,
    choice: ModelChoice,
    inference: InferenceOptions,
    thumbnail: bool,
    overwrite: bool,
) -> None:
    """Restore a few moments of the video IN and write them as pictures: bicubic on the left, EDVR on the right.

    Below the whole frames is the part where they differ most, magnified. Estimates the time for the whole file.
    The pictures' paths go to standard output.
    """
    check_inputs(source)
    folder = _folder(source, folder)
    _check_missing(_files(folder, source, [float(instant) for instant in instants], video=video), overwrite)
    choice.check("sr", agreed=overwrite)
    import torch  # noqa: PLC0415 (torch takes seconds)

    from edvr_cli.cli.thumbnail import show_picture  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.inference.engine import StreamingEDVR  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.inference.precision import name_of  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.quality.footage import Footage  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.quality.preview import (  # noqa: PLC0415 (torch takes seconds)
        contact_sheet,
        evenly_spaced,
        restored_from,
        restored_part,
        split_screen,
    )
    from edvr_cli.video.writing.png_jpeg import png  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.video.writing.preview_clip import write_clip  # noqa: PLC0415 (torch takes seconds)

    console = Messages()
    footage = Footage.open(source)
    at = [float(instant) for instant in instants] or evenly_spaced(footage, moments)
    files = _files(folder, source, at, video=video)
    _check_missing(files, overwrite)
    targets, clips = files[: len(at)], files[len(at) :]
    network = choice.load("sr")
    engine = StreamingEDVR(network, inference)
    console.tell(
        markup(
            "[bold]{}[/]  {} → {}  {} on {}, {}",
            source.name,
            footage.size,
            footage.size.times(network.config.scale),
            network.name,
            engine.device,
            name_of(engine.dtype) + describe_look(inference),
        ),
    )
    labels = "bicubic", network.name
    folder.mkdir(parents=True, exist_ok=True)
    frames = math.ceil(seconds * footage.rate) if video else 1
    pace: list[float] = []
    larger_pace: float | None = None
    for number, (instant, target) in enumerate(zip(at, targets, strict=True)):
        # The speed is measured on a second frame of the first moment: the first frame computes a whole window.
        count = max(frames, 2) if number == 0 else frames
        restored: list[Restored] = []
        with console.status(f"restoring from {_clock(instant)} ({number + 1} of {len(at)})"):
            for frame in restored_from(footage, engine, instant, count):
                restored.append(frame)
                if len(restored) > 1:
                    pace.append(frame.took)
        other = None
        if number == 0 and (larger := choice.load_larger("sr")) is not None:
            with console.status(f"restoring a part of it with {larger.name}"):
                other_engine = StreamingEDVR(larger, inference)
                picture, larger_pace = restored_part(footage, other_engine, instant, restored[0].crop)
            other = larger.name, picture
        write_file(target, png(contact_sheet(restored[0], labels=labels, other=other)))
        echo_path(target)
        if video:
            write_clip(clips[number], ((split_screen(f, labels), f.seconds) for f in restored[:frames]), footage.rate)
            echo_path(clips[number])
        if thumbnail and number == 0:
            halves = torch.cat([restored[0].crop.of(p) for p in (restored[0].before, restored[0].after)], dim=2)
            show_picture(console, halves, labels)
    if pace:
        console.tell(_estimate(sorted(pace)[len(pace) // 2], footage.count))
    if larger is not None:
        cost = "" if larger_pace is None else f": {_estimate(larger_pace, footage.count)}"
        console.tell(f"On the right of {targets[0].name}, what --model {larger.name} would make of it{cost}")


def _estimate(each: float, count: int | None) -> str:
    every = f", {format_estimate(each * count)} for all {count} frames" if count else ""
    return f"{each:.2g} s per frame{every}"


def _folder(source: Path, given: Path | None) -> Path:
    """The folder of the pictures. Raises UsageError for one that is a file, named like one, or the source itself."""
    folder = given or source.with_name(f"{source.stem}_preview")
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"--output {folder} is a file; the pictures need a folder.")
    if not folder.exists() and folder.suffix.lower() in _FILE_SUFFIXES:
        raise click.UsageError(f"--output {folder} is named like a file; the pictures need a folder.")
    pictures = source if source.is_dir() else source.parent if "%" in source.name else None
    if pictures is not None and folder.exists() and folder.samefile(pictures):
        raise click.UsageError(f"--output {folder} holds the pictures of IN; name another folder.")
    return folder


def _files(folder: Path, source: Path, at: list[float], *, video: bool) -> list[Path]:
    """The files that a preview writes: the pictures, then the videos."""
    pictures = [folder / f"{source.stem}_{_clock(instant)}.png" for instant in at]
    return pictures + [picture.with_suffix(".mp4") for picture in pictures if video]


def _check_missing(files: list[Path], overwrite: bool) -> None:
    """Raises OutputError for a file that is there and would be replaced unasked."""
    for file in files:
        if file.exists() and not overwrite:
            raise OutputError(
                f"{file} exists: choose another folder with --output, or pass --overwrite", wrong_usage=True
            )


def _clock(seconds: float) -> str:
    """For file names: ``0m04.50s``."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:05.2f}s"
