"""``edvr upscale`` and ``edvr deblur``: restore one file, or many."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edvr_cli.cli.file_options import Files, file_options
from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.interrupt import patient_interrupt
from edvr_cli.cli.json_lines import JsonLines
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.model_choice import ModelChoice
from edvr_cli.cli.option_groups import (
    DisplayOptions,
    display_options,
    encoding_options,
    inference_options,
    input_options,
    job_options,
    model_on_devices_options,
    output_options,
    section,
)
from edvr_cli.cli.output import discard, echo_path
from edvr_cli.cli.paths import read_paths, single_target
from edvr_cli.cli.progress import Display
from edvr_cli.cli.size_options import size_options
from edvr_cli.errors import DeviceError, EdvrError, InputError, ModelError, OutputError
from edvr_cli.events import Finished, OnEvent
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.jobs.batch import restore_batch, watch
from edvr_cli.jobs.inputs import Entry, find_entries, is_batch
from edvr_cli.jobs.options import JobOptions, OutputOptions
from edvr_cli.jobs.request import check_request
from edvr_cli.jobs.target_size import TargetSize
from edvr_cli.models.registry import Task
from edvr_cli.video.file_names import STANDARD_OUTPUT
from edvr_cli.video.image_sequences import holds_images
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.writing.options import Encoding

if TYPE_CHECKING:
    from edvr_cli.jobs.backends import BackendFactory

__all__ = ["deblur", "upscale"]

_POLL_SECONDS = 2.0  # between looks into a watched folder

_FIRST = ("model", "strength", "crf", "device", "overwrite")  # what most people need

_CLUSTER = section(
    "Work",
    click.option("--cluster", metavar="ADDRESS", help="Restore on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT."),
)


@dataclass(frozen=True)
class _Request:
    """Everything that the command line says, apart from the files."""

    task: Task
    scale: float | TargetSize | None
    choice: ModelChoice
    inference: InferenceOptions
    input: InputOptions
    output: OutputOptions
    job: JobOptions
    cluster: str | None


def _restore_options(command: Callable[..., None]) -> Callable[..., None]:
    """All option groups of a restoration; the command gets the files, the request without a task, and the display."""

    def called(
        files: Files,
        encoding: Encoding,
        output: OutputOptions,
        display: DisplayOptions,
        scale: float | TargetSize | None = None,
        **values: object,
    ) -> None:
        request = _Request("sr", scale, output=replace(output, encoding=encoding), **values)  # type: ignore[arg-type]
        command(files, request, display)

    called.__doc__, called.__name__ = command.__doc__, command.__name__
    for options in (
        display_options, _CLUSTER, job_options, output_options, encoding_options, input_options, inference_options,
        model_on_devices_options, file_options,
    ):  # fmt: skip
        called = options(called)
    return called


@click.command(cls=ReadableCommand, no_args_is_help=True, first=("scale", *_FIRST))
@size_options
@_restore_options
def upscale(files: Files, request: _Request, display: DisplayOptions) -> None:
    """Enlarge the video IN and write it to OUT (default: IN_upscaled, in the same folder).

    IN may be several files, folders and 'patterns'; then OUT is a folder. Give the same command again to continue an
    interrupted run.

    Frames, their times, audio, subtitles, chapters and metadata are kept.
    """
    _restore(files, request, display, "upscaled")


@click.command(cls=ReadableCommand, no_args_is_help=True, first=_FIRST)
@_restore_options
def deblur(files: Files, request: _Request, display: DisplayOptions) -> None:
    """Remove motion blur from the video IN and write it to OUT (default: IN_deblurred, in the same folder).

    IN may be several files, folders and 'patterns'; then OUT is a folder. Give the same command again to continue an
    interrupted run.

    Frames, their times, audio, subtitles, chapters and metadata are kept.
    """
    _restore(files, replace(request, task="deblur"), display, "deblurred")


def _restore(files: Files, request: _Request, shown: DisplayOptions, suffix: str) -> None:
    """First what needs no time, so that mistakes are reported at once; then the network, which takes seconds."""
    inputs, output = read_paths(files.paths, files.input_path, files.output_path, files.list_file)
    _check_options(request, shown, output)
    listed = files.list_file is not None and (output is None or not output.suffix)
    batch = is_batch(inputs) or files.watch or listed
    if batch:
        find = _finder(inputs, output, suffix, files)
    else:
        entries = [Entry(Path(inputs[0]), single_target(Path(inputs[0]), output, suffix))]
    display = JsonLines() if shown.json else Display(bar=shown.progress)
    with display, patient_interrupt(display.interrupted) as stop, ExitStack() as workers:
        if batch:
            entries = find()
        else:
            _check(entries[0], request)
        request.choice.check(request.task, agreed=request.output.overwrite)
        restore = _restorer(request, workers, stop, display)
        if not batch:
            finished = [restore(entries[0]).target]
        else:
            outcomes = restore_batch(
                watch(find, interval=_POLL_SECONDS, stop=stop) if files.watch else entries,
                restore,
                count=None if files.watch else len(entries),
                skip_existing=files.skip_existing or files.watch,
                stop=stop,
                emit=display,
            )
            finished = [outcome.target for outcome in outcomes if outcome.status == "done"]
    if not shown.json:
        _print_paths([target for target in finished if target != STANDARD_OUTPUT])
    if batch and (failed := sum(outcome.status == "failed" for outcome in outcomes)):
        raise EdvrError(f"{failed} of {len(outcomes)} files failed.")


def _print_paths(targets: list[Path]) -> None:
    """Write the paths of finished outputs to standard output; a failure does not undo them."""
    try:
        for target in targets:
            echo_path(target)
    except OutputError as error:
        discard()
        Messages().warn(f"{error} The output is complete all the same.")


def _check_options(request: _Request, shown: DisplayOptions, output: Path | None) -> None:
    start, end = request.input.start, request.input.end
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--end must come after --start.")
    if shown.json and output == STANDARD_OUTPUT:
        raise click.UsageError("--json and the video cannot both be written to standard output.")
    if request.cluster is not None and output == STANDARD_OUTPUT:
        raise click.UsageError("--cluster cannot write to standard output; give a file name for OUT.")
    if request.cluster is not None and ("," in request.choice.device or request.choice.device == "all"):
        raise click.UsageError("--cluster has its own devices; leave out the list of --device.")
    if request.cluster is not None and find_spec("ray") is None:
        raise DeviceError("--cluster needs Ray: pip install 'edvr-cli[cluster]'.", wrong_usage=True)


def _check(entry: Entry, request: _Request) -> None:
    check_request(entry.source, entry.target, input=request.input, output=request.output, job=request.job)


def _finder(inputs: list[str], output: Path | None, suffix: str, files: Files) -> Callable[[], list[Entry]]:
    """A function that lists the files of a batch; it raises InputError for none, unless the folder is watched."""
    if output is not None and output.exists() and not output.is_dir():
        raise click.UsageError(f"{output} is a file; several inputs need a folder for OUT.")
    if files.watch and not all(Path(text).is_dir() for text in inputs):
        raise click.UsageError("--watch needs a folder for IN.")

    def find() -> list[Entry]:
        entries = find_entries(inputs, output, files.selection, suffix)
        if not entries and not files.watch:
            names = ", ".join(inputs)
            raise InputError(f"{names}: no videos found; {_instead(inputs, files)}.", wrong_usage=True)
        return entries

    return find


def _instead(inputs: list[str], files: Files) -> str:
    """What to do about folders without videos: a folder of pictures is one video, and is given by itself."""
    folders = sorted(item for text in inputs if Path(text).is_dir() for item in Path(text).iterdir() if item.is_dir())
    if pictures := next((folder for folder in folders if holds_images(folder)), None):
        return f"{pictures} holds pictures: give folders of pictures one by one, each with its own OUT"
    return "try --include PATTERN for other suffixes" + ("" if files.recursive else ", or --recursive")


def _restorer(
    request: _Request, workers: ExitStack, stop: Callable[[], bool], on_event: OnEvent
) -> Callable[[Entry], Finished]:
    """A function that restores one file; loads torch and the network. ``workers`` ends what it starts."""
    import torch  # noqa: PLC0415 (seconds)

    from edvr_cli.jobs.restore_video import restore_video  # noqa: PLC0415

    devices = request.choice.devices()
    model = request.choice.load(request.task)
    if (model.config.scale == 1) != (request.task == "deblur"):
        other = "deblur" if model.config.scale == 1 else "upscale"
        raise ModelError(f"{model.name} is a model for edvr {other}; choose another with --model.", wrong_usage=True)
    if request.job.threads is not None:
        torch.set_num_threads(request.job.threads)
    backend: BackendFactory | None = None
    if len(devices) > 1:
        from edvr_cli.jobs.device_workers import DeviceWorkers  # noqa: PLC0415

        backend = workers.enter_context(DeviceWorkers(devices))
    if request.cluster is not None:
        from edvr_cli.jobs.ray_backend import RayCluster  # noqa: PLC0415 (an extra)

        chosen = click.get_current_context().get_parameter_source("device") != ParameterSource.DEFAULT
        gpus = devices[0].startswith("cuda") if chosen else None
        backend = RayCluster(request.cluster, gpus=gpus, threads=request.job.threads)
    return lambda entry: restore_video(
        entry.source,
        entry.target,
        model=model,
        scale=request.scale,
        inference=request.inference,
        input=request.input,
        output=request.output,
        job=request.job,
        backend=backend,
        stop=stop,
        on_event=on_event,
    )
