"""``edvr eval``: PSNR and SSIM of a model, or of plain resampling, on a set of clips."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from rich.table import Table

from edvr_cli.cli.fetch import PULL_OPTION, available
from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import PlainConsole, echo_json
from edvr_cli.cli.types import DEVICE_NAME, FOLDER, Count
from edvr_cli.errors import EdvrError
from edvr_cli.inference.options import TTA
from edvr_cli.models.registry import default_model, find_model
from edvr_cli.video.quality_scales import CODECS, WORST_QUALITY, Codec

if TYPE_CHECKING:
    from edvr_cli.image.resize import Kernel
    from edvr_cli.quality.benchmark_sets import ClipScore, Method

__all__ = ["evaluate_command"]

_RESAMPLING: dict[str, Kernel] = {"bicubic": "bicubic", "lanczos": "lanczos"}


class _Compression(click.ParamType):
    """A codec and its quality."""

    name = "codec:quality"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Codec, int]:
        """``("h264", 23)`` of ``h264:23``."""
        if isinstance(value, tuple):
            return value
        codec, _, quality = str(value).partition(":")
        if codec in CODECS and quality.isdecimal() and int(quality) <= WORST_QUALITY[codec]:
            return codec, int(quality)
        scales = ", ".join(f"{name} (up to {worst})" for name, worst in WORST_QUALITY.items())
        raise click.BadParameter(f"{value!r}: write a codec of {scales} and its quality, as h264:23", ctx, param)


@click.command("eval", cls=ReadableCommand, no_args_is_help=True)
@click.argument("truth", metavar="TRUTH", type=FOLDER)
@click.option("--inputs", metavar="FOLDER", type=FOLDER, help="Clips to restore.  [default: made from TRUTH]")
@click.option("-n", "--model", metavar="MODEL", help="A model's name or file, or bicubic, or lanczos.")
@PULL_OPTION
@click.option("-d", "--device", type=DEVICE_NAME, default="auto", show_default=True, help="cpu, cuda, cuda:1, mps.")
@click.option(
    "--rounding",
    type=click.Choice(["once", "twice"]),
    default="once",
    show_default=True,
    help="Rounding of generated inputs: once for Vid4, twice for REDS.",
)
@click.option("--compress", type=_Compression(), help="Compress the inputs first: h264:23.")
@click.option("--copies", is_flag=True, help="Restore each frame from copies of itself, without its neighbors.")
@click.option("--tta", type=click.Choice(TTA), default=1, show_default=True,
              help="Average this many turned copies of each frame.")  # fmt: skip
@click.option("--frames", type=Count(1), metavar="N", help="Measure at most N frames per clip.")
@click.option("--vmaf", is_flag=True, help="Measure VMAF too.")
@click.option("--json", "as_json", is_flag=True, help="Write the scores to standard output as JSON.")
def evaluate_command(
    truth: Path,
    inputs: Path | None,
    model: str | None,
    pull: bool,
    device: str,
    rounding: Literal["once", "twice"],
    compress: tuple[Codec, int] | None,
    copies: bool,
    tta: int,
    frames: int | None,
    vmaf: bool,
    as_json: bool,
) -> None:
    """Measure a ×4 model on the clips in the folder TRUTH: RGB and Y PSNR and SSIM, the published way.

    All frames count, as 8-bit values, with no border cropped. Clips are videos, or folders of images.
    """
    if model is not None and model not in _RESAMPLING:
        find_model(available(model, agreed=pull))
    from edvr_cli.models.checkpoint import load_model  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.quality.benchmark_sets import EvaluationOptions, evaluate, mean_score  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.system.hardware import resolve_device  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.video.vmaf import vmaf_available  # noqa: PLC0415 (torch takes seconds)

    if vmaf and not vmaf_available():
        raise EdvrError("the FFmpeg binary of imageio-ffmpeg cannot measure VMAF here; leave --vmaf out")
    on = resolve_device(device)
    method: Method = _RESAMPLING.get(model or "") or load_model(model or default_model("sr", str(on)), on)
    options = EvaluationOptions(rounding, compress, copies, frames, vmaf, tta)
    progress = Messages()
    scores = []
    for score in evaluate(truth, inputs, method, options):
        progress.print(f"{score.clip}: {score.psnr_y:.2f} dB (Y), {score.frames} frames")
        scores.append(score)
    scores.append(mean_score(scores))
    if as_json:
        echo_json([asdict(score) for score in scores], indent=2)
    else:
        PlainConsole().print(_table(scores))


def _table(scores: list[ClipScore]) -> Table:
    table = Table("clip", *("frames", "PSNR RGB", "SSIM RGB", "PSNR Y", "SSIM Y", "flicker", "VMAF"))
    for column in table.columns[1:]:
        column.justify = "right"
    for s in scores:
        figures = f"{s.psnr:.2f}", f"{s.ssim:.4f}", f"{s.psnr_y:.2f}", f"{s.ssim_y:.4f}", f"{s.flicker:.2f}"
        vmaf = "" if s.vmaf is None else f"{s.vmaf:.1f}"
        table.add_row(s.clip, str(s.frames), *figures, vmaf, end_section=s is scores[-2])
    return table
