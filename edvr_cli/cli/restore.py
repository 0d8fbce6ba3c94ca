"""``edvr upscale`` and ``edvr deblur``: one file into another, or many."""

import os
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypedDict, Unpack

import click
import torch
from click.core import ParameterSource

from edvr_cli.cli.interrupt import patient_interrupt
from edvr_cli.cli.json_lines import JsonLines
from edvr_cli.cli.parameters import DEVICE, KEY_VALUE, MODEL, RATE, RAW_FORMAT, SCALE, SIZE, TILE, TIME
from edvr_cli.cli.paths import read_paths, single_target
from edvr_cli.cli.progress import Display
from edvr_cli.edvr import EDVR
from edvr_cli.engine import DEFAULT_HALO
from edvr_cli.errors import DeviceError, EdvrError, InputError, ModelError
from edvr_cli.events import Finished, OnEvent
from edvr_cli.jobs.batch import restore_batch, watch
from edvr_cli.jobs.entries import Entry, Selection, find_entries, is_batch
from edvr_cli.jobs.video import Resume, restore_video
from edvr_cli.jobs.workers import Hire
from edvr_cli.models import Task, default_model
from edvr_cli.precision import PRECISIONS, Precision
from edvr_cli.video.encoders import Encoding
from edvr_cli.video.interlace import Deinterlace
from edvr_cli.video.source import RawFormat, Reading
from edvr_cli.video.streams import PipeFormat
from edvr_cli.video.target import STANDARD_OUTPUT
from edvr_cli.weights import load_model

__all__ = ["deblur", "upscale"]


class _Options(TypedDict):
    paths: tuple[str, ...]
    input_path: str | None
    output_path: str | None
    list_file: Path | None
    recursive: bool
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    skip_existing: bool
    watch: bool
    model: str | None
    device: torch.device
    precision: Precision
    tile: int | str
    tile_pad: int
    shots: bool
    codec: str | None
    crf: float | None
    preset: str | None
    pix_fmt: str | None
    encoder_options: tuple[tuple[str, str], ...]
    start: Fraction | None
    end: Fraction | None
    frames: int | None
    audio: bool
    subtitles: bool
    strict_streams: bool
    allow_network: bool
    deinterlace: Deinterlace | None
    hwaccel: str | None
    fps: Fraction | None
    raw_input: RawFormat | None
    pipe_format: PipeFormat
    overwrite: bool
    cluster: str | None
    threads: int | None
    max_memory: int | None
    segment_seconds: float
    resume: Resume
    progress: bool
    json: bool


_LOOK_EVERY = 2.0  # seconds between looks at a watched folder
_FILE = click.Path(path_type=Path)
_PARAMETERS: list[Callable[[Any], Any]] = [
    click.argument("paths", metavar="IN... [OUT]", nargs=-1),
    click.option("-i", "--input", "input_path", metavar="IN", help="The same as IN."),
    click.option("-o", "--output", "output_path", metavar="OUT", help="The same as OUT."),
    click.option("--list", "list_file", metavar="FILE", type=_FILE, help="Take inputs from FILE as well, one a line."),
    click.option("-r", "--recursive", is_flag=True, help="Take folders with all that is below them."),
    click.option("--include", metavar="PATTERN", multiple=True, help="Of folders, only these files: '*.mov'."),
    click.option("--exclude", metavar="PATTERN", multiple=True, help="Of folders and patterns, all but these."),
    click.option("--skip-existing", is_flag=True, help="Leave out files whose output exists."),
    click.option("--watch", is_flag=True, help="Wait for files to appear in the folder IN, until Ctrl-C."),
    click.option(
        "-n", "--model", "--weights", "model", metavar="MODEL", type=MODEL, help="A model's name or checkpoint file.",
    ),
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
    click.option("-c", "--codec", help="Video encoder, by FFmpeg's name.  [default: libx264, or what suits OUT]"),
    click.option("--crf", type=float, help="Quality of the encoder, lower is better.  [default: 17 for libx264]"),
    click.option("--preset", help="Speed of the encoder, ultrafast to veryslow.  [default: medium]"),
    click.option("--pix-fmt", "--pix_fmt", "pix_fmt", help="Pixel format.  [default: the source's bit depth]"),
    click.option("-e", "encoder_options", type=KEY_VALUE, multiple=True, help="An option of the encoder; repeatable."),
    click.option("--start", type=TIME, help="Begin here: 90, 1:30, 00:01:30.5."),
    click.option("--end", type=TIME, help="End here."),
    click.option("--frames", type=click.IntRange(1), metavar="N", help="Restore this many frames at most."),
    click.option("--audio/--no-audio", default=True, help="Keep the sound, or leave it out."),
    click.option("--subs/--no-subs", "subtitles", default=True, help="Keep subtitles, or leave them out."),
    click.option(
        "--strict-streams", is_flag=True, help="Fail, before the work, where OUT cannot hold every stream as it is."
    ),
    click.option("--fps", type=RATE, help="Frames a second of pictures or raw samples: 24, 30000/1001.  [default: 25]"),
    click.option("--raw-input", type=RAW_FORMAT, help="What raw samples on a pipe are, if IN has no header."),
    click.option(
        "--pipe-format", type=click.Choice(["y4m", "raw"]), default="y4m", show_default=True,
        help="What is written to standard output, if OUT is -.",
    ),
    click.option(
        "--deinterlace", type=click.Choice(["frame", "field"]),
        help="Make interlaced pictures progressive (bwdif): a frame for each, or one for each of its two fields.",
    ),
    click.option("--hwaccel", metavar="KIND", help="Decode on a device: cuda, vaapi, ..., auto: the first there is."),
    click.option("--allow-network", is_flag=True, help="Let IN be an address, or lead to other files and addresses."),
    click.option("-y", "--overwrite", is_flag=True, help="Replace OUT if it exists."),
    click.option("--resume", flag_value="require", help="Go on with an interrupted run, or fail if there is none."),
    click.option("--fresh", "resume", flag_value="never", help="Start over, without what an earlier run kept."),
    click.option("resume", "--resume-if-possible", flag_value="auto", default=True, hidden=True),
    click.option("--cluster", metavar="ADDRESS", help="Restore on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT."),
    click.option("--max-memory", type=SIZE, help="Memory for the network: 6G, 800M.  [default: what is free]"),
    click.option("--threads", type=click.IntRange(1), metavar="N", help="Processor threads.  [default: one a core]"),
    click.option(
        "--segment", "segment_seconds", type=click.FloatRange(0.04, 60), default=4.0, show_default=True,
        metavar="S", help="Keep the work every so many seconds of video.",
    ),
    click.option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal."),
    click.option("--json", is_flag=True, help="Tell of the work in lines of JSON on standard output."),
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

    IN may be several files, folders and 'patterns'; OUT is a folder then. What was interrupted goes on when the
    same command is given again.

    Frames, their times, sound, subtitles, chapters and metadata stay the source's.
    """
    _restore("sr", "upscaled", scale, options)


@click.command(no_args_is_help=True)
@_restore_options
def deblur(**options: Unpack[_Options]) -> None:
    """Remove motion blur from the video IN and write it to OUT (IN_deblurred beside it, if not given).

    IN may be several files, folders and 'patterns'; OUT is a folder then. What was interrupted goes on when the
    same command is given again.

    Frames, their times, sound, subtitles, chapters and metadata stay the source's.
    """
    _restore("deblur", "deblurred", 1, options)


def _restore(task: Task, suffix: str, scale: float, options: _Options) -> None:
    inputs, output = read_paths(options["paths"], options["input_path"], options["output_path"], options["list_file"])
    start, end = options["start"], options["end"]
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--end must come after --start.")
    if options["json"] and output == STANDARD_OUTPUT:
        raise click.UsageError("--json writes to standard output, which the video goes to.")
    batch = is_batch(inputs) or options["watch"]
    if batch:
        find = _finder(inputs, output, suffix, options)
        entries = find()
    else:
        entries = [Entry(Path(inputs[0]), single_target(Path(inputs[0]), output, suffix))]
    model = load_model(options["model"] or default_model(task), options["device"])
    if (model.config.scale == 1) != (task == "deblur"):
        other = "deblur" if model.config.scale == 1 else "upscale"
        raise ModelError(f"{model.name} is not a model for this: use it with edvr {other}, or name another --model")
    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    display = JsonLines() if options["json"] else Display(bar=options["progress"])
    with display, patient_interrupt(display.interrupted) as stop:
        hire = _hire(options) if options["cluster"] is not None else None
        restore = _restorer(model, scale, options, stop, display, hire)
        if not batch:
            finished = [restore(entries[0]).target]
        else:
            outcomes = restore_batch(
                watch(find, interval=_LOOK_EVERY, stop=stop) if options["watch"] else entries,
                restore,
                count=None if options["watch"] else len(entries),
                skip_existing=options["skip_existing"] or options["watch"],
                stop=stop,
                tell=display,
            )
            finished = [outcome.target for outcome in outcomes if outcome.status == "done"]
    if not options["json"]:
        for target in finished:
            if target != STANDARD_OUTPUT:
                click.echo(os.fsencode(target))  # as the file system has it, whatever the terminal's encoding is
    if batch and (failed := sum(outcome.status == "failed" for outcome in outcomes)):
        raise EdvrError(f"{failed} of {len(outcomes)} files failed.")


def _finder(inputs: list[str], output: Path | None, suffix: str, options: _Options) -> Callable[[], list[Entry]]:
    """Looks for the files of a batch; there must be some, unless they are waited for."""
    selection = Selection(options["recursive"], options["include"], options["exclude"])
    if output is not None and output.exists() and not output.is_dir():
        raise click.UsageError(f"{output} is a file; several inputs need a folder for OUT.")
    if options["watch"] and not all(Path(text).is_dir() for text in inputs):
        raise click.UsageError("--watch needs a folder for IN.")

    def find() -> list[Entry]:
        entries = find_entries(inputs, output, selection, suffix)
        if not entries and not options["watch"]:
            raise InputError(f"{', '.join(inputs)}: no video there; --include PATTERN takes others, -r goes deeper.")
        return entries

    return find


def _hire(options: _Options) -> Hire:
    """The cluster that is asked for."""
    if find_spec("ray") is None:
        raise DeviceError("--cluster needs Ray: pip install 'edvr-cli[cluster]'.")
    from edvr_cli.cluster import Cluster  # noqa: PLC0415 (an extra)

    chosen = click.get_current_context().get_parameter_source("device") != ParameterSource.DEFAULT
    gpus = options["device"].type == "cuda" if chosen else None
    return Cluster(str(options["cluster"]), gpus=gpus, threads=options["threads"])


def _restorer(
    model: EDVR, scale: float, options: _Options, stop: Callable[[], bool], on_event: OnEvent, hire: Hire | None
) -> Callable[[Entry], Finished]:
    tile = options["tile"]
    return lambda entry: restore_video(
        entry.source,
        entry.target,
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
        start=options["start"],
        end=options["end"],
        max_frames=options["frames"],
        audio=options["audio"],
        subtitles=options["subtitles"],
        strict_streams=options["strict_streams"],
        reading=Reading(
            rate=options["fps"],
            raw=options["raw_input"],
            allow_network=options["allow_network"],
            deinterlace=options["deinterlace"],
            hwaccel=options["hwaccel"],
        ),
        pipe_format=options["pipe_format"],
        overwrite=options["overwrite"],
        threads=options["threads"],
        max_memory=options["max_memory"],
        segment_seconds=options["segment_seconds"],
        resume=options["resume"],
        stop=stop,
        hire=hire,
        on_event=on_event,
    )
