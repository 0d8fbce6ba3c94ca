"""``edvr finetune``: train a model further within some minutes, with the footage in the device's memory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edvr_cli.cli.fetch import PULL_OPTION, available
from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import echo_path
from edvr_cli.cli.types import DEVICE_NAME, FILE, FOLDER, NEW_FILE, Count, Finite
from edvr_cli.models.registry import find_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from edvr_cli.train.clips import Clip
    from edvr_cli.train.device.pool import Pool

__all__ = ["finetune_command"]

_VERSIONS = 4  # compressed versions of each tile
_BLURRED_VERSIONS = 2  # of each blurred tile: there are more tiles
_KEEP_EVERY = 60.0  # seconds


@click.command("finetune", cls=ReadableCommand, no_args_is_help=True)
@click.argument("footage", type=FOLDER)
@click.argument("target", metavar="MODEL.safetensors", type=NEW_FILE)
@click.option("--start", metavar="MODEL", default="edvr-s-x4", show_default=True, help="Model to begin with.")
@click.option("--stills", metavar="FOLDER", type=FOLDER,
              help="Photographs that are moved as a camera would: more scenes.")  # fmt: skip
@click.option(
    "--minutes", type=Finite(0, min_open=True), default=8.0, show_default=True, help="Duration of the training."
)
@click.option("--learning-rate", type=float, default=5e-4, show_default=True)
@click.option("--degraded", type=Finite(0, 1), default=0.0, show_default=True, help="Share of compressed samples.")
@click.option("--teacher", metavar="FILE", type=FILE,
              help="BasicVSR checkpoint whose optical flow and restored frames guide the training.")  # fmt: skip
@click.option(
    "--sharpen", type=float, default=0.0, show_default=True, help="Strength of sharpening applied to the truth."
)
@click.option("--batch", type=Count(1), default=16, show_default=True)
@click.option("--singles", type=Count(0),
              help="Samples of one frame in each step, besides the windows; each costs a third.  "
              "[default: 0; three times the batch for deblurring]")  # fmt: skip
@click.option("--patch", type=Count(16), default=64, show_default=True, help="Side of an input patch.")
@click.option("--frames", type=Count(5), default=4000, show_default=True, help="Maximum number of frames in memory.")
@click.option("--steps", type=Count(1), help="Steps instead of minutes, for a trial.")
@click.option("--cache", type=FILE, help="Folder of decoded frames.  [default: MODEL.cache]")
@PULL_OPTION
@click.option("-d", "--device", type=DEVICE_NAME, default="auto", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def finetune_command(
    footage: Path, target: Path, start: str, stills: Path | None, minutes: float, learning_rate: float, degraded: float,
    teacher: Path | None, sharpen: float, batch: int, singles: int | None, patch: int, frames: int, steps: int | None,
    cache: Path | None, pull: bool, device: str, seed: int,
) -> None:  # fmt: skip
    """Train a model further on the videos, or folders of frames, in FOOTAGE, within a given time.

    A model that deblurs is trained on blur made from the footage: a camera that pans or shakes, and things that move.
    Everything is held in the device's memory and samples are cut there, which is what keeps a fast GPU busy. The model
    is written every minute, so that stopping early costs little. For long or first runs, which can be resumed, use
    edvr train.
    """
    if target.suffix != ".safetensors":
        raise click.UsageError(f"{target} must be named .safetensors")
    for name in filter(None, (start, teacher)):
        find_model(available(str(name), agreed=pull))
    from edvr_cli.models.checkpoint import load_model  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.system.hardware import resolve_device  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.clips import build_cache  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.device.phase import Phase  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.device.phases import run_phases  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.device.stills import read_stills  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.video.clip_folders import sources_in  # noqa: PLC0415 (torch takes seconds)

    on_device = resolve_device(device)
    config = load_model(start, "cpu").config
    if patch % config.multiple:
        raise click.UsageError(f"--patch must be a multiple of {config.multiple} for {start}, got {patch}")
    deblurs = config.scale == 1
    if deblurs and (teacher or sharpen):
        raise click.UsageError(f"{start} deblurs: --teacher and --sharpen are for models that enlarge")
    say = Messages().print
    pictures = [] if stills is None else read_stills(stills)
    clips = build_cache(
        sources_in(footage), cache or target.with_suffix(".cache"), on_clip=lambda name: say(f"decoding {name}")
    )
    make = _blurred_pool if deblurs else partial(_small_pool, teacher=teacher)
    pool = make(clips, pictures, on_device, frames=frames, degraded=degraded, seed=seed)
    say(f"{len(pool.shots)} tiles, {len(pool.truth)} frames on {on_device}")
    if singles is None:
        # Windows alone teach to take what is sharp from neighbors, and nothing about blur that all frames share.
        singles = 3 * batch if deblurs else 0
    phase = Phase(
        target.stem, start, 60 * minutes, rate=learning_rate, trunk_rate=0.5, degraded=degraded, sharpen=sharpen,
        supervision=0.05 if teacher else 0.0, taught=0.4 if teacher else 0.0, batch=batch, singles=singles,
        patch=patch, steps=steps or 0, keep_every=_KEEP_EVERY,
    )  # fmt: skip
    if deblurs:
        # Sharp samples counted fully would teach to do nothing, which is the quickest way to leave them alone.
        phase = replace(phase, task="deblur", relative=True, slight=0.005, trunk_rate=1.0, bias_rate=0.1, leak=0.1)
    try:
        run_phases([phase], pool, target.parent, seed=seed, record=on_device.type == "cuda", say=say)
    except ValueError as error:  # a patch that does not fit
        raise click.UsageError(str(error)) from error
    echo_path(target)


def _small_pool(
    clips: Sequence[Clip], stills: Sequence[Clip], device: torch.device, *, frames: int, degraded: float, seed: int,
    teacher: Path | None,
) -> Pool:  # fmt: skip
    """The footage, with moving stills in up to a third of the frames, and its small versions."""
    import torch  # noqa: PLC0415 (torch takes seconds)

    from edvr_cli.system.limits import cpu_count  # noqa: PLC0415 (only here)
    from edvr_cli.train.device.footage import cut_tiles, joined  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.device.pool import make_pool  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.device.stills import move_stills  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.teacher.checkpoint import load_teacher  # noqa: PLC0415 (torch takes seconds)

    versions = _VERSIONS if degraded else 0
    workers = cpu_count() if versions or stills else 0
    tiles = cut_tiles(
        clips, versions=versions, max_frames=frames - frames // 3 if stills else frames, seed=seed, workers=workers
    )
    if stills:
        share = min(frames // 3, len(tiles.truth) // 2)
        side = tiles.truth.shape[-1]
        moved = move_stills(stills, side, versions=versions, max_frames=share, seed=seed, workers=workers)
        tiles = joined(tiles, moved)
    guide = None if teacher is None else load_teacher(teacher, device)
    with torch.inference_mode():
        return make_pool(
            tiles.truth, tiles.degraded, tiles.shots, device,
            flow=None if guide is None else guide.flow, teacher=guide,
        )  # fmt: skip


def _blurred_pool(
    clips: Sequence[Clip], stills: Sequence[Clip], device: torch.device, *, frames: int, degraded: float, seed: int
) -> Pool:
    """Blurred clips made from the footage and the stills."""
    from edvr_cli.system.limits import cpu_count  # noqa: PLC0415 (only here)
    from edvr_cli.train.device.blurred_footage import blur_tiles  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.device.pool import make_pool  # noqa: PLC0415 (torch takes seconds)

    versions = _BLURRED_VERSIONS if degraded else 0
    tiles = blur_tiles([*clips, *stills], max_frames=frames, versions=versions, seed=seed, workers=cpu_count())
    return make_pool(tiles.truth, tiles.degraded, tiles.shots, device, clean=tiles.clean)
