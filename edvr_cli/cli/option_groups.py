"""Groups of command-line options: each option is declared once, and each group reaches a command as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from edvr_cli.cli.fetch import PULL_OPTION
from edvr_cli.cli.help import put_into_section
from edvr_cli.cli.model_choice import ModelChoice
from edvr_cli.cli.types import (
    DEVICE_LIST,
    DEVICE_NAME,
    KEY_VALUE,
    MODEL,
    RATE,
    RAW_FORMAT,
    REAL,
    SIZE,
    THREADS,
    TILE,
    TIME,
    Count,
    Finite,
)
from edvr_cli.inference.options import DEFAULT_TILE_PAD, PRECISIONS, TTA, InferenceOptions
from edvr_cli.jobs.options import JobOptions, OutputOptions
from edvr_cli.network.config import MAX_SHARPEN
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.writing.options import Encoding

__all__ = [
    "DisplayOptions",
    "display_options",
    "encoding_options",
    "inference_options",
    "input_options",
    "job_options",
    "model_on_devices_options",
    "model_options",
    "option_group",
    "output_options",
    "section",
]

Command = Callable[..., None]
Declaration = Callable[[Command], Command]


def option_group(
    parameter: str, title: str, build: Callable[..., object], options: Mapping[str, Declaration]
) -> Declaration:
    """A decorator that declares ``options`` by the names of ``build``'s arguments and passes what it builds.

    ``title`` heads them in the help. A name that begins with an underscore declares another flag of the option before
    it.
    """
    names = [name for name in options if not name.startswith("_")]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def called(**values: Any) -> None:
            group = build(**{name: values.pop(name) for name in names})
            command(**values, **{parameter: group})

        declared: Command = called
        for declare in reversed(list(options.values())):
            declared = section(title, declare)(declared)
        return declared

    return decorate


def section(title: str, declare: Declaration) -> Declaration:
    """The decorator ``declare`` of an option, which is shown under ``title`` in the help."""

    def decorate(command: Command) -> Command:
        declared = declare(command)
        put_into_section(vars(declared)["__click_params__"][-1], title)
        return declared

    return decorate


_MODEL_OPTIONS: dict[str, Declaration] = {
    "model": click.option(
        "-n", "--model", "--weights", "model", metavar="MODEL", type=MODEL, help="Model name or checkpoint file."
    ),
    "denoise": click.option(
        "--denoise",
        type=Finite(0, 1),
        metavar="0..1",
        help="From the model for clean video (0) to that for compressed video (1).  [default: as --model]",
    ),
    "pull": PULL_OPTION,
    "device": click.option(
        "-d", "--device", type=DEVICE_NAME, default="auto", show_default=True, help="cpu, cuda, cuda:1, mps."
    ),
}

model_options = option_group("choice", "Model", ModelChoice, _MODEL_OPTIONS)

model_on_devices_options = option_group(
    "choice",
    "Model",
    ModelChoice,
    {
        **_MODEL_OPTIONS,
        "device": click.option(
            "-d",
            "--device",
            type=DEVICE_LIST,
            default="auto",
            show_default=True,
            help="cpu, cuda, mps; several: cuda:0,cuda:1; all: every CUDA GPU.",
        ),
    },
)

inference_options = option_group(
    "inference",
    "Computation",
    InferenceOptions,
    {
        "strength": click.option(
            "--strength",
            type=Finite(0, 1),
            default=1.0,
            show_default=True,
            metavar="0..1",
            help="Share of the restored frame; the rest is the plain (bicubic) enlargement.",
        ),
        "sharpen": click.option(
            "--sharpen",
            type=Finite(0, MAX_SHARPEN),
            default=0.0,
            show_default=True,
            metavar="X",
            help="Sharpen restored frames for a crisper look: 0.3 a little, 1 a lot.",
        ),
        "tta": click.option(
            "--tta",
            type=click.Choice(TTA),
            default=1,
            show_default=True,
            help="Average this many turned copies of each frame: better, and as many times slower.",
        ),
        "precision": click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            default="auto",
            show_default=True,
            help="Numeric precision; auto: the fastest that looks the same.",
        ),
        "_fp32": click.option("--fp32", "precision", flag_value="fp32", help="Same as --precision fp32."),
        "torch_compile": click.option(
            "--compile/--no-compile",
            "torch_compile",
            default=False,
            help="Compile the network on a GPU; the first frame takes about a minute.",
        ),
        "tile": click.option(
            "-t",
            "--tile",
            type=TILE,
            default="auto",
            show_default=True,
            help="Tile size in input pixels; 0: whole frames; auto: as large as memory allows.",
        ),
        "tile_pad": click.option(
            "--tile-pad",
            type=Count(0),
            default=DEFAULT_TILE_PAD,
            show_default=True,
            metavar="N",
            help="Input pixels read around each tile.",
        ),
        "max_memory": click.option(
            "--max-memory", type=SIZE, help="Memory limit of the network: 6G, 800M.  [default: the free memory]"
        ),
    },
)

input_options = option_group(
    "input",
    "Input",
    InputOptions,
    {
        "start": click.option("--start", type=TIME, help="Start of the range to restore: 90, 1:30, 00:01:30.5."),
        "end": click.option("--end", type=TIME, help="End of the range."),
        "max_frames": click.option(
            "--frames", "max_frames", type=Count(1), metavar="N", help="Restore at most N frames."
        ),
        "rate": click.option(
            "--fps", "rate", type=RATE, help="Frame rate of pictures or raw samples: 24, 30000/1001.  [default: 25]"
        ),
        "raw": click.option(
            "--raw-input", "raw", type=RAW_FORMAT, help="Size and pixel format of raw samples on a pipe."
        ),
        "deinterlace": click.option(
            "--deinterlace",
            type=click.Choice(["frame", "field"]),
            help="Deinterlace (bwdif): one output frame per input frame, or one per field.",
        ),
        "hwaccel": click.option(
            "--hwaccel", metavar="KIND", help="Decode on a device: cuda, vaapi, ...; auto: the first available."
        ),
        "allow_network": click.option(
            "--allow-network", is_flag=True, help="Let IN be a URL, or refer to other files and URLs."
        ),
    },
)


def _encoding(encoder_options: tuple[tuple[str, str], ...], **values: Any) -> Encoding:
    return Encoding(**values, options=dict(encoder_options))


encoding_options = option_group(
    "encoding",
    "Encoding",
    _encoding,
    {
        "codec": click.option(
            "-c", "--codec", help="h264, h265, av1, vp9, or an encoder of FFmpeg.  [default: h264, or what suits OUT]"
        ),
        "crf": click.option(
            "--crf", type=REAL, help="Quality of the encoder, lower is better.  [default: 17 for libx264]"
        ),
        "preset": click.option("--preset", help="Encoder preset, ultrafast to veryslow.  [default: medium]"),
        "pix_fmt": click.option(
            "--pix-fmt", "--pix_fmt", "pix_fmt", help="Pixel format.  [default: the source's bit depth]"
        ),
        "encoder_options": click.option(
            "-e",
            "--encoder-option",
            "encoder_options",
            type=KEY_VALUE,
            multiple=True,
            help="Encoder option; repeatable.",
        ),
    },
)

output_options = option_group(
    "output",
    "Output",
    OutputOptions,
    {
        "audio": click.option("--audio/--no-audio", default=True, help="Keep the audio."),
        "subtitles": click.option("--subs/--no-subs", "subtitles", default=True, help="Keep the subtitles."),
        "strict_streams": click.option(
            "--strict-streams", is_flag=True, help="Fail at the start if OUT cannot hold every stream unchanged."
        ),
        "pipe_format": click.option(
            "--pipe-format",
            type=click.Choice(["y4m", "raw"]),
            default="y4m",
            show_default=True,
            help="Format of standard output, if OUT is -.",
        ),
        "overwrite": click.option(
            "-y", "--overwrite", is_flag=True, help="Replace OUT if it exists, and fetch a missing model."
        ),
    },
)

job_options = option_group(
    "job",
    "Work",
    JobOptions,
    {
        "split_at_cuts": click.option(
            "--shots/--no-shots", "split_at_cuts", default=True, help="Detect scene cuts and keep shots apart."
        ),
        "resume": click.option(
            "--resume", flag_value="require", help="Continue an interrupted run; fail if there is none."
        ),
        "_fresh": click.option("--fresh", "resume", flag_value="never", help="Discard what an interrupted run kept."),
        "_auto": click.option("resume", "--resume-if-possible", flag_value="auto", default=True, hidden=True),
        "threads": click.option("--threads", type=THREADS, metavar="N", help="CPU threads.  [default: one per core]"),
        "segment_seconds": click.option(
            "--segment",
            "segment_seconds",
            type=Finite(0.04, 60),
            default=4.0,
            show_default=True,
            metavar="S",
            help="Save progress every S seconds of video.",
        ),
    },
)


@dataclass(frozen=True)
class DisplayOptions:
    """How progress is shown."""

    progress: bool
    json: bool


display_options = option_group(
    "display",
    "Display",
    DisplayOptions,
    {
        "progress": click.option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal."),
        "json": click.option("--json", is_flag=True, help="Write events as JSON lines to standard output."),
    },
)
