"""A schedule that fits a given time: a few steps are timed, and the rest is planned from their pace."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from edvr_cli.train.clips import Clip
from edvr_cli.train.events import Event, Progress
from edvr_cli.train.loop import train
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.teacher.guidance import Teacher

__all__ = ["fit_steps_to_minutes"]

_WARM_UP_STEPS = 3  # which compile
_TIMED_STEPS = 6
_RESERVE = 0.05  # of the time, for validation and checkpoints


def fit_steps_to_minutes(
    recipe: Recipe,
    clips: Sequence[Clip],
    minutes: float,
    *,
    device: str | torch.device = "cpu",
    workers: int = 0,
    teacher: Teacher | None = None,
) -> Recipe:
    """``recipe`` in as many steps as ``minutes`` allow on this machine, all its stages included.

    Nothing is kept of the steps that are tried, on the whole network; their time counts.
    """
    began = time.monotonic()
    never = _WARM_UP_STEPS + _TIMED_STEPS + 1
    trial = replace(
        recipe,
        steps=_WARM_UP_STEPS + _TIMED_STEPS,
        skeleton=0,
        align=0,
        attention=1.0,
        fusion=0,
        save_every=never,
        validate_every=never,
    )
    ended: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, Progress):
            ended.append(time.monotonic())

    with tempfile.TemporaryDirectory(prefix="edvr-train-") as folder:
        train(trial, clips, Path(folder) / "trial.safetensors", run=Path(folder), device=device, workers=workers,
              teacher=teacher, on_event=note)  # fmt: skip
    # The median, as a pause of the machine must not count.
    step = median(
        later - earlier for earlier, later in zip(ended[_WARM_UP_STEPS - 1 :], ended[_WARM_UP_STEPS:], strict=False)
    )
    left = 60 * minutes * (1 - _RESERVE) - (time.monotonic() - began)
    return recipe.shortened(max(1, int(left / step)))
