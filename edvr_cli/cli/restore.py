"""``edvr upscale`` and ``edvr deblur``: one file into another, or many."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import click
import torch
from click.core import ParameterSource

from edvr_cli.cli.fetch import available
from edvr_cli.cli.interrupt import patient_interrupt
from edvr_cli.cli.json_lines import JsonLines
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.option_groups import RestoreOptions, restore_options
from edvr_cli.cli.output import discard, echo_path
from edvr_cli.cli.paths import read_paths, single_target
from edvr_cli.cli.progress import Display
from edvr_cli.cli.types import SCALE
from edvr_cli.errors import DeviceError, EdvrError, InputError, ModelError, OutputError
from edvr_cli.events import Finished, OnEvent
from edvr_cli.jobs.backends import Hire
from edvr_cli.jobs.batch import restore_batch, watch
from edvr_cli.jobs.inputs import Entry, find_entries, is_batch
from edvr_cli.jobs.restore_video import restore_video
from edvr_cli.models.checkpoint import load_model
from edvr_cli.models.registry import Task, default_model
from edvr_cli.network.edvr import EDVR
from edvr_cli.video.muxing.plan import STANDARD_OUTPUT

__all__ = ["deblur", "upscale"]

_LOOK_EVERY = 2.0  # seconds between looks at a watched folder


@click.command(no_args_is_help=True)
@restore_options
@click.option(
    "-s", "--scale", type=SCALE, default=4, show_default=True, metavar="X",
    help="Enlarge by X, 1 to 4; the network does 4, what is less is made by shrinking that.",
)  # fmt: skip
def upscale(options: RestoreOptions, scale: float) -> None:
    """Enlarge the video IN and write it to OUT (IN_upscaled beside it, if not given).

    IN may be several files, folders and 'patterns'; OUT is a folder then. What was interrupted goes on when the
    same command is given again.

    Frames, their times, sound, subtitles, chapters and metadata stay the source's.
    """
    _restore("sr", "upscaled", scale, options)


@click.command(no_args_is_help=True)
@restore_options
def deblur(options: RestoreOptions) -> None:
    """Remove motion blur from the video IN and write it to OUT (IN_deblurred beside it, if not given).

    IN may be several files, folders and 'patterns'; OUT is a folder then. What was interrupted goes on when the
    same command is given again.

    Frames, their times, sound, subtitles, chapters and metadata stay the source's.
    """
    _restore("deblur", "deblurred", 1, options)


def _restore(task: Task, suffix: str, scale: float, options: RestoreOptions) -> None:
    inputs, output = read_paths(options.paths, options.input_path, options.output_path, options.list_file)
    start, end = options.start, options.end
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--end must come after --start.")
    if options.json and output == STANDARD_OUTPUT:
        raise click.UsageError("--json writes to standard output, which the video goes to.")
    batch = is_batch(inputs) or options.watch
    if batch:
        find = _finder(inputs, output, suffix, options)
        entries = find()
    else:
        entries = [Entry(Path(inputs[0]), single_target(Path(inputs[0]), output, suffix))]
    name = available(options.model or default_model(task), agreed=options.pull or options.overwrite)
    model = load_model(name, options.device)
    if (model.config.scale == 1) != (task == "deblur"):
        other = "deblur" if model.config.scale == 1 else "upscale"
        raise ModelError(f"{model.name} is not a model for this: use it with edvr {other}, or name another --model")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    display = JsonLines() if options.json else Display(bar=options.progress)
    with display, patient_interrupt(display.interrupted) as stop:
        hire = _hire(options) if options.cluster is not None else None
        restore = _restorer(model, scale, options, stop, display, hire)
        if not batch:
            finished = [restore(entries[0]).target]
        else:
            outcomes = restore_batch(
                watch(find, interval=_LOOK_EVERY, stop=stop) if options.watch else entries,
                restore,
                count=None if options.watch else len(entries),
                skip_existing=options.skip_existing or options.watch,
                stop=stop,
                tell=display,
            )
            finished = [outcome.target for outcome in outcomes if outcome.status == "done"]
    if not options.json:
        _name([target for target in finished if target != STANDARD_OUTPUT])
    if batch and (failed := sum(outcome.status == "failed" for outcome in outcomes)):
        raise EdvrError(f"{failed} of {len(outcomes)} files failed.")


def _name(targets: list[Path]) -> None:
    """Write the paths of finished outputs to standard output; they are there, whether or not that takes them."""
    try:
        for target in targets:
            echo_path(target)
    except OutputError as error:
        discard()
        Messages().warn(f"{error} The output is finished all the same.")


def _finder(inputs: list[str], output: Path | None, suffix: str, options: RestoreOptions) -> Callable[[], list[Entry]]:
    """Looks for the files of a batch; there must be some, unless they are waited for."""
    if output is not None and output.exists() and not output.is_dir():
        raise click.UsageError(f"{output} is a file; several inputs need a folder for OUT.")
    if options.watch and not all(Path(text).is_dir() for text in inputs):
        raise click.UsageError("--watch needs a folder for IN.")

    def find() -> list[Entry]:
        entries = find_entries(inputs, output, options.selection, suffix)
        if not entries and not options.watch:
            raise InputError(f"{', '.join(inputs)}: no video there; --include PATTERN takes others, -r goes deeper.")
        return entries

    return find


def _hire(options: RestoreOptions) -> Hire:
    """The cluster that is asked for."""
    if find_spec("ray") is None:
        raise DeviceError("--cluster needs Ray: pip install 'edvr-cli[cluster]'.")
    from edvr_cli.jobs.ray_backend import Cluster  # noqa: PLC0415 (an extra)

    chosen = click.get_current_context().get_parameter_source("device") != ParameterSource.DEFAULT
    gpus = options.device.type == "cuda" if chosen else None
    return Cluster(str(options.cluster), gpus=gpus, threads=options.threads)


def _restorer(
    model: EDVR, scale: float, options: RestoreOptions, stop: Callable[[], bool], on_event: OnEvent, hire: Hire | None
) -> Callable[[Entry], Finished]:
    tile = options.tile
    return lambda entry: restore_video(
        entry.source,
        entry.target,
        model=model,
        scale=scale,
        precision=options.precision,
        compiled=options.compiled,
        shots=options.shots,
        tile=None if isinstance(tile, str) else tile,
        halo=options.tile_pad,
        encoding=options.encoding,
        start=options.start,
        end=options.end,
        max_frames=options.frames,
        audio=options.audio,
        subtitles=options.subtitles,
        strict_streams=options.strict_streams,
        reading=options.reading,
        pipe_format=options.pipe_format,
        overwrite=options.overwrite,
        threads=options.threads,
        max_memory=options.max_memory,
        segment_seconds=options.segment_seconds,
        resume=options.resume,
        stop=stop,
        hire=hire,
        on_event=on_event,
    )
