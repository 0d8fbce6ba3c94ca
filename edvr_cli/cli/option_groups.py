"""What can be asked of ``edvr upscale`` and ``edvr deblur``: each option declared once, with its type."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import click
import torch

from edvr_cli.cli.fetch import PULL_OPTION
from edvr_cli.cli.types import DEVICE, KEY_VALUE, MODEL, RATE, RAW_FORMAT, SIZE, TILE, TIME
from edvr_cli.inference.engine import DEFAULT_HALO
from edvr_cli.inference.precision import PRECISIONS, Precision
from edvr_cli.jobs.inputs import Selection
from edvr_cli.jobs.restore_video import Resume
from edvr_cli.video.muxing.plan import PipeFormat
from edvr_cli.video.reading.deinterlace import Deinterlace
from edvr_cli.video.reading.sources import RawFormat, Reading
from edvr_cli.video.writing.encoders import Encoding

__all__ = ["RestoreOptions", "restore_options"]

_FILE = click.Path(path_type=Path)
_P = ParamSpec("_P")


@dataclass(frozen=True)
class RestoreOptions:
    """What both commands are told. A field's annotation holds its type, and how click gets it."""

    paths: Annotated[
        tuple[str, ...],
        click.argument("paths", metavar="IN... [OUT]", nargs=-1),
    ]
    input_path: Annotated[
        str | None,
        click.option("-i", "--input", "input_path", metavar="IN", help="The same as IN."),
    ]
    output_path: Annotated[
        str | None,
        click.option("-o", "--output", "output_path", metavar="OUT", help="The same as OUT."),
    ]
    list_file: Annotated[
        Path | None,
        click.option(
            "--list", "list_file", metavar="FILE", type=_FILE, help="Take inputs from FILE as well, one a line."
        ),
    ]
    recursive: Annotated[
        bool,
        click.option("-r", "--recursive", is_flag=True, help="Take folders with all that is below them."),
    ]
    include: Annotated[
        tuple[str, ...],
        click.option("--include", metavar="PATTERN", multiple=True, help="Of folders, only these files: '*.mov'."),
    ]
    exclude: Annotated[
        tuple[str, ...],
        click.option("--exclude", metavar="PATTERN", multiple=True, help="Of folders and patterns, all but these."),
    ]
    skip_existing: Annotated[
        bool,
        click.option("--skip-existing", is_flag=True, help="Leave out files whose output exists."),
    ]
    watch: Annotated[
        bool,
        click.option("--watch", is_flag=True, help="Wait for files to appear in the folder IN, until Ctrl-C."),
    ]
    model: Annotated[
        str | None,
        click.option(
            "-n",
            "--model",
            "--weights",
            "model",
            metavar="MODEL",
            type=MODEL,
            help="A model's name or checkpoint file.",
        ),
    ]
    pull: Annotated[bool, PULL_OPTION]
    device: Annotated[
        torch.device,
        click.option("-d", "--device", type=DEVICE, default="auto", show_default=True, help="cpu, cuda, cuda:1, mps."),
    ]
    precision: Annotated[
        Precision,
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            default="auto",
            show_default=True,
            help="What the network computes in; auto: the fastest that looks the same.",
        ),
        click.option("--fp32", "precision", flag_value="fp32", help="The same as --precision fp32."),
    ]
    compiled: Annotated[
        bool,
        click.option(
            "--compile/--no-compile",
            "compiled",
            default=False,
            help="Have torch.compile fuse the network on a GPU, which takes a minute at first.",
        ),
    ]
    tile: Annotated[
        int | str,
        click.option(
            "-t",
            "--tile",
            type=TILE,
            default="auto",
            show_default=True,
            help="Side of a tile in input pixels; 0: whole frames; auto: as free memory allows.",
        ),
    ]
    tile_pad: Annotated[
        int,
        click.option(
            "--tile-pad",
            type=click.IntRange(0),
            default=DEFAULT_HALO,
            show_default=True,
            metavar="N",
            help="Pixels that a tile sees beyond its edges.",
        ),
    ]
    shots: Annotated[
        bool,
        click.option("--shots/--no-shots", default=True, help="Keep scene cuts apart, or treat the video as one shot."),
    ]
    codec: Annotated[
        str | None,
        click.option("-c", "--codec", help="Video encoder, by FFmpeg's name.  [default: libx264, or what suits OUT]"),
    ]
    crf: Annotated[
        float | None,
        click.option("--crf", type=float, help="Quality of the encoder, lower is better.  [default: 17 for libx264]"),
    ]
    preset: Annotated[
        str | None,
        click.option("--preset", help="Speed of the encoder, ultrafast to veryslow.  [default: medium]"),
    ]
    pix_fmt: Annotated[
        str | None,
        click.option("--pix-fmt", "--pix_fmt", "pix_fmt", help="Pixel format.  [default: the source's bit depth]"),
    ]
    encoder_options: Annotated[
        tuple[tuple[str, str], ...],
        click.option(
            "-e", "encoder_options", type=KEY_VALUE, multiple=True, help="An option of the encoder; repeatable."
        ),
    ]
    start: Annotated[
        Fraction | None,
        click.option("--start", type=TIME, help="Begin here: 90, 1:30, 00:01:30.5."),
    ]
    end: Annotated[
        Fraction | None,
        click.option("--end", type=TIME, help="End here."),
    ]
    frames: Annotated[
        int | None,
        click.option("--frames", type=click.IntRange(1), metavar="N", help="Restore this many frames at most."),
    ]
    audio: Annotated[
        bool,
        click.option("--audio/--no-audio", default=True, help="Keep the sound, or leave it out."),
    ]
    subtitles: Annotated[
        bool,
        click.option("--subs/--no-subs", "subtitles", default=True, help="Keep subtitles, or leave them out."),
    ]
    strict_streams: Annotated[
        bool,
        click.option(
            "--strict-streams", is_flag=True, help="Fail, before the work, where OUT cannot hold every stream as it is."
        ),
    ]
    fps: Annotated[
        Fraction | None,
        click.option(
            "--fps", type=RATE, help="Frames a second of pictures or raw samples: 24, 30000/1001.  [default: 25]"
        ),
    ]
    raw_input: Annotated[
        RawFormat | None,
        click.option("--raw-input", type=RAW_FORMAT, help="What raw samples on a pipe are, if IN has no header."),
    ]
    pipe_format: Annotated[
        PipeFormat,
        click.option(
            "--pipe-format",
            type=click.Choice(["y4m", "raw"]),
            default="y4m",
            show_default=True,
            help="What is written to standard output, if OUT is -.",
        ),
    ]
    deinterlace: Annotated[
        Deinterlace | None,
        click.option(
            "--deinterlace",
            type=click.Choice(["frame", "field"]),
            help="Make interlaced pictures progressive (bwdif): a frame for each, or one for each of its two fields.",
        ),
    ]
    hwaccel: Annotated[
        str | None,
        click.option(
            "--hwaccel", metavar="KIND", help="Decode on a device: cuda, vaapi, ..., auto: the first there is."
        ),
    ]
    allow_network: Annotated[
        bool,
        click.option(
            "--allow-network", is_flag=True, help="Let IN be an address, or lead to other files and addresses."
        ),
    ]
    overwrite: Annotated[
        bool,
        click.option("-y", "--overwrite", is_flag=True, help="Replace OUT if it exists, and fetch a missing model."),
    ]
    resume: Annotated[
        Resume,
        click.option("--resume", flag_value="require", help="Go on with an interrupted run, or fail if there is none."),
        click.option("--fresh", "resume", flag_value="never", help="Start over, without what an earlier run kept."),
        click.option("resume", "--resume-if-possible", flag_value="auto", default=True, hidden=True),
    ]
    cluster: Annotated[
        str | None,
        click.option(
            "--cluster", metavar="ADDRESS", help="Restore on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT."
        ),
    ]
    max_memory: Annotated[
        int | None,
        click.option("--max-memory", type=SIZE, help="Memory for the network: 6G, 800M.  [default: what is free]"),
    ]
    threads: Annotated[
        int | None,
        click.option(
            "--threads", type=click.IntRange(1), metavar="N", help="Processor threads.  [default: one a core]"
        ),
    ]
    segment_seconds: Annotated[
        float,
        click.option(
            "--segment",
            "segment_seconds",
            type=click.FloatRange(0.04, 60),
            default=4.0,
            show_default=True,
            metavar="S",
            help="Keep the work every so many seconds of video.",
        ),
    ]
    progress: Annotated[
        bool,
        click.option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal."),
    ]
    json: Annotated[
        bool,
        click.option("--json", is_flag=True, help="Tell of the work in lines of JSON on standard output."),
    ]

    @property
    def selection(self) -> Selection:
        """Which files of folders are meant."""
        return Selection(self.recursive, self.include, self.exclude)

    @property
    def encoding(self) -> Encoding:
        """What is asked of the encoder."""
        return Encoding(
            codec=self.codec,
            crf=self.crf,
            preset=self.preset,
            pix_fmt=self.pix_fmt,
            options=dict(self.encoder_options),
        )

    @property
    def reading(self) -> Reading:
        """What is said of the inputs."""
        return Reading(
            rate=self.fps,
            raw=self.raw_input,
            allow_network=self.allow_network,
            deinterlace=self.deinterlace,
            hwaccel=self.hwaccel,
        )


def restore_options(command: Callable[Concatenate[RestoreOptions, _P], None]) -> Callable[..., None]:
    """Give a command these options; it is called with them in one piece."""

    @wraps(command)
    def called(**values: Any) -> None:
        options = RestoreOptions(**{field.name: values.pop(field.name) for field in fields(RestoreOptions)})
        command(options, **values)  # type: ignore[call-arg]

    hints = get_type_hints(RestoreOptions, include_extras=True)
    declared = [parameter for field in fields(RestoreOptions) for parameter in hints[field.name].__metadata__]
    for parameter in reversed(declared):
        called = parameter(called)
    return called
