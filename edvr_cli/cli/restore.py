"""``edvr upscale`` and ``edvr deblur``: one file into another."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict, Unpack

import click
import torch

from edvr_cli.cli.interrupt import patient_interrupt
from edvr_cli.cli.parameters import DEVICE, KEY_VALUE, SCALE, TILE, TIME
from edvr_cli.cli.progress import Display
from edvr_cli.engine import DEFAULT_HALO
from edvr_cli.errors import ModelError
from edvr_cli.jobs.video import Resume, restore_video
from edvr_cli.models import Task, default_model
from edvr_cli.precision import PRECISIONS, Precision
from edvr_cli.video.encoders import Encoding
from edvr_cli.video.streams import FORMATS
from edvr_cli.weights import load_model

__all__ = ["deblur", "upscale"]


class _Options(TypedDict):
    source: Path | None
    target: Path | None
    input_path: Path | None
    output_path: Path | None
    model: str | None
    device: torch.device
    precision: Precision
    tile: int | str
    tile_pad: int
    shots: bool
    codec: str
    crf: float | None
    preset: str | None
    pix_fmt: str | None
    encoder_options: tuple[tuple[str, str], ...]
    start: Fraction | None
    end: Fraction | None
    frames: int | None
    audio: bool
    subtitles: bool
    overwrite: bool
    threads: int | None
    segment_seconds: float
    resume: Resume
    progress: bool


_FILE = click.Path(path_type=Path)
_PARAMETERS: list[Callable[[Any], Any]] = [
    click.argument("source", metavar="IN", type=_FILE, required=False),
    click.argument("target", metavar="[OUT]", type=_FILE, required=False),
    click.option("-i", "--input", "input_path", metavar="IN", type=_FILE, help="The same as IN."),
    click.option("-o", "--output", "output_path", metavar="OUT", type=_FILE, help="The same as OUT."),
    click.option("-n", "--model", "--weights", "model", metavar="MODEL", help="A model's name or checkpoint file."),
    click.option("-d", "--device", type=DEVICE, default="auto", show_default=True, help="cpu, cuda, cuda:1, mps."),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="What the network computes in; auto: the fastest that looks the same.",
    ),
    click.option("--fp32", "precision", flag_value="fp32", help="The same as --precision fp32."),
    click.option(
        "-t", "--tile", type=TILE, default="auto", show_default=True,
        help="Side of a tile in input pixels; 0: whole frames; auto: as free memory allows.",
    ),
    click.option(
        "--tile-pad", type=click.IntRange(0), default=DEFAULT_HALO, show_default=True, metavar="N",
        help="Pixels that a tile sees beyond its edges.",
    ),
    click.option("--shots/--no-shots", default=True, help="Keep scene cuts apart, or treat the video as one shot."),
    click.option("-c", "--codec", default="libx264", show_default=True, help="Video encoder, by FFmpeg's name."),
    click.option("--crf", type=float, help="Quality of the encoder, lower is better.  [default: 17 for libx264]"),
    click.option("--preset", help="Speed of the encoder, ultrafast to veryslow.  [default: medium]"),
    click.option("--pix-fmt", "--pix_fmt", "pix_fmt", help="Pixel format.  [default: the source's bit depth]"),
    click.option("-e", "encoder_options", type=KEY_VALUE, multiple=True, help="An option of the encoder; repeatable."),
    click.option("--start", type=TIME, help="Begin here: 90, 1:30, 00:01:30.5."),
    click.option("--end", type=TIME, help="End here."),
    click.option("--frames", type=click.IntRange(1), metavar="N", help="Restore this many frames at most."),
    click.option("--audio/--no-audio", default=True, help="Keep the sound, or leave it out."),
    click.option("--subs/--no-subs", "subtitles", default=True, help="Keep subtitles, or leave them out."),
    click.option("-y", "--overwrite", is_flag=True, help="Replace OUT if it exists."),
    click.option("--resume", flag_value="require", help="Go on with an interrupted run, or fail if there is none."),
    click.option("--fresh", "resume", flag_value="never", help="Start over, without what an earlier run kept."),
    click.option("resume", "--resume-if-possible", flag_value="auto", default=True, hidden=True),
    click.option("--threads", type=click.IntRange(1), metavar="N", help="Processor threads.  [default: one a core]"),
    click.option(
        "--segment", "segment_seconds", type=click.FloatRange(0.04, 60), default=4.0, show_default=True,
        metavar="S", help="Keep the work every so many seconds of video.",
    ),
    click.option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal."),
]  # fmt: skip


def _restore_options(command: Callable[..., None]) -> Callable[..., None]:
    """The parameters that upscale and deblur share."""
    for parameter in reversed(_PARAMETERS):
        command = parameter(command)
    return command


@click.command(no_args_is_help=True)
@_restore_options
@click.option(
    "-s", "--scale", type=SCALE, default=4, show_default=True, metavar="X",
    help="Enlarge by X, 1 to 4; the network does 4, what is less is made by shrinking that.",
)  # fmt: skip
def upscale(scale: float, **options: Unpack[_Options]) -> None:
    """Enlarge the video IN and write it to OUT (IN_upscaled beside it, if not given).

    Frames, their times, sound, subtitles, chapters and metadata stay the source's.
    """
    _restore("sr", "upscaled", scale, options)


@click.command(no_args_is_help=True)
@_restore_options
def deblur(**options: Unpack[_Options]) -> None:
    """Remove motion blur from the video IN and write it to OUT (IN_deblurred beside it, if not given).

    Frames, their times, sound, subtitles, chapters and metadata stay the source's.
    """
    _restore("deblur", "deblurred", 1, options)


def _restore(task: Task, suffix: str, scale: float, options: _Options) -> None:
    source = _one_of(options["source"], options["input_path"], "IN")
    target = _one_of(options["target"], options["output_path"], "OUT")
    if source is None:
        raise click.UsageError("Missing argument 'IN': the video to restore.")
    if target is None:
        # Containers that only other programs write, or that do not hold what encoders make by default, become
        # the one that holds anything.
        suffixes = FORMATS.keys() - {".webm"}
        extension = source.suffix if source.suffix.lower() in suffixes else ".mkv"
        target = source.with_name(f"{source.stem}_{suffix}{extension}")
    start, end = options["start"], options["end"]
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--end must come after --start.")
    model = load_model(options["model"] or default_model(task), options["device"])
    if (model.config.scale == 1) != (task == "deblur"):
        other = "deblur" if model.config.scale == 1 else "upscale"
        raise ModelError(f"{model.name} is not a model for this: use it with edvr {other}, or name another --model")
    tile = options["tile"]
    with Display(bar=options["progress"]) as display, patient_interrupt(display.interrupted) as interrupted:
        finished = restore_video(
            source,
            target,
            model=model,
            scale=scale,
            precision=options["precision"],
            shots=options["shots"],
            tile=None if isinstance(tile, str) else tile,
            halo=options["tile_pad"],
            encoding=Encoding(
                codec=options["codec"],
                crf=options["crf"],
                preset=options["preset"],
                pix_fmt=options["pix_fmt"],
                options=dict(options["encoder_options"]),
            ),
            start=start,
            end=end,
            max_frames=options["frames"],
            audio=options["audio"],
            subtitles=options["subtitles"],
            overwrite=options["overwrite"],
            threads=options["threads"],
            segment_seconds=options["segment_seconds"],
            resume=options["resume"],
            stop=interrupted,
            on_event=display,
        )
    click.echo(os.fsencode(finished.target))  # as the file system has it, whatever the terminal's encoding is


def _one_of(argument: Path | None, option: Path | None, name: str) -> Path | None:
    if argument is not None and option is not None:
        raise click.UsageError(f"{name} is given twice: {argument} and {option}.")
    return option if argument is None else argument
