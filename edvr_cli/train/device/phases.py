"""A plan of training on the device: phase after phase, each within its time."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from edvr_cli.models.checkpoint import load_model, save_model
from edvr_cli.network.edvr import EDVR
from edvr_cli.network.model import Model
from edvr_cli.train.device.objective import restore_windows
from edvr_cli.train.device.phase import Phase
from edvr_cli.train.device.pool import Pool
from edvr_cli.train.device.sampler import Sampler
from edvr_cli.train.device.trainer import train_phase
from edvr_cli.train.device.validation import validate
from edvr_cli.train.revival import revive

__all__ = ["run_phases"]

_LOOKS = 2  # batches that show which channels do something


def run_phases(
    phases: Sequence[Phase],
    pool: Pool,
    folder: Path,
    *,
    validation: Pool | None = None,
    seed: int = 0,
    record: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Train every phase in turn and write its averaged weights to ``folder`` as ``<name>.safetensors``.

    Raises ModelError for a start that is not an EDVR network, ValueError for a patch that does not fit it or the pool.
    """
    device = pool.truth.device
    ended: dict[str, Model] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for number, phase in enumerate(phases):
        start = ended.get(phase.start) or load_model(phase.start, "cpu")
        if phase.patch % start.config.multiple:
            raise ValueError(f"patch must be a multiple of {start.config.multiple}, got {phase.patch}")
        network = copy.deepcopy(start.network).to(device)
        generator = torch.Generator(device).manual_seed(seed * 1000 + number)
        sampler = _sampler(phase, pool, generator, start.config.frames)
        _revive(network, replace(sampler, generator=torch.Generator(device).manual_seed(seed)), seed, say)
        keep = partial(_save, start=start, phase=phase, folder=folder)
        average = train_phase(phase, network, sampler, record=record, say=say, keep=keep)
        ended[phase.name] = replace(start, network=network.cpu())
        if phase.keep:
            keep(average)
        if validation is not None and phase.task == "sr":
            say(f"{phase.name}: {validate(average, validation)}")


def _revive(network: EDVR, sampler: Sampler, seed: int, say: Callable[[str], None]) -> None:
    def run() -> None:
        for _ in range(_LOOKS):
            restore_windows(network, sampler.draw().window)

    dead, channels = revive(network, run, torch.Generator().manual_seed(seed))
    if dead:
        say(f"{dead} of {channels} channels in residual blocks did nothing and got new weights")


def _save(average: EDVR, *, start: Model, phase: Phase, folder: Path) -> None:
    save_model(replace(start, network=average), folder / f"{phase.name}.safetensors", name=phase.name, task=phase.task)


def _sampler(phase: Phase, pool: Pool, generator: torch.Generator, frames: int) -> Sampler:
    return Sampler(
        pool,
        generator,
        frames=frames,
        batch=phase.batch,
        patch=phase.patch,
        degraded=phase.degraded,
        taught=phase.taught > 0,
        motion=phase.supervision > 0,
    )
