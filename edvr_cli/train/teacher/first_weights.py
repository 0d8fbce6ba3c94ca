"""The first weights of a run: random, another network's, a teacher's, or assembled from both."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from edvr_cli.errors import ModelError
from edvr_cli.network.edvr import EDVR
from edvr_cli.train.clips import Clip
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.samples import Samples
from edvr_cli.train.stages import transfer_weights
from edvr_cli.train.teacher.assembly import assemble, why_not_assembled
from edvr_cli.train.teacher.basicvsr import BasicVSR
from edvr_cli.train.teacher.guidance import Teacher
from edvr_cli.train.teacher.transplant import transplant
from edvr_cli.train.teacher.widening import why_not_widened, widen

__all__ = ["InitName", "choose_init", "first_weights", "recipe_after"]

InitName = Literal["random", "start", "widen", "transplant", "assemble"]
"""``start``: another network's weights as far as they fit; ``widen``: all of them, the function kept;
``transplant``: a teacher's weights as far as they fit; ``assemble``: a teacher and a small network that aligns."""

_WINDOWS = 24  # seen by the assembly's least squares
_SIDES = (64, 48, 32)  # input pixels of such a window, as many as the footage allows

# A network that aligns and attends already keeps both.
_CONTINUED: dict[str, Any] = {"align": 0, "attention": 1.0, "fusion": 0}
_ASSEMBLED = _CONTINUED | {"learning_rate": 2e-4, "known": 0.3, "supervision": 0.03}


def choose_init(recipe: Recipe, start: EDVR | None, teacher: Teacher | None) -> InitName:
    """The way to begin that uses most of ``start`` and ``teacher`` for the network of ``recipe``."""
    config = recipe.config(tsa=recipe.tsa)
    if start is not None:
        if isinstance(teacher, BasicVSR) and why_not_assembled(teacher, start.config, config) is None:
            return "assemble" if start.config != config else "start"
        return "widen" if start.config != config and why_not_widened(start.config, config) is None else "start"
    return "transplant" if isinstance(teacher, BasicVSR) and not config.predeblur else "random"


def recipe_after(init: InitName, recipe: Recipe, start: EDVR | None, given: frozenset[str]) -> Recipe:
    """``recipe`` with the schedule that suits its first weights, except for the fields that were ``given``."""
    if init == "assemble":
        suits = _ASSEMBLED
    elif init == "widen" or (init == "start" and start is not None and start.config == recipe.config(tsa=recipe.tsa)):
        suits = _CONTINUED
    else:
        return recipe
    return replace(recipe, **{name: value for name, value in suits.items() if name not in given})


def first_weights(
    init: InitName,
    recipe: Recipe,
    clips: Sequence[Clip],
    start: EDVR | None,
    teacher: Teacher | None,
    on_note: Callable[[str], None],
    device: str | torch.device = "cpu",
) -> EDVR | None:
    """The network that a run of ``recipe`` begins with, or None for random weights.

    ``clips`` are footage to fit layers on, which is done on ``device``. ``on_note`` is called with a sentence on what
    was done. Returns a network on the CPU. Raises ModelError where ``init`` needs a start or a teacher that is not
    given, or that does not fit.
    """
    if init == "random":
        return None
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = EDVR(recipe.config(tsa=recipe.tsa)).eval().requires_grad_(False)
    if init == "transplant":
        if teacher is None:
            raise ModelError("transplanting weights needs a teacher, and none is given")
        copied = _transplanted(teacher, model)
        on_note(f"{copied} of {len(model.state_dict())} parameters come from the teacher")
        return model
    if start is None:
        raise ModelError("there is no model to start from")
    if init == "start":
        return start
    if init == "widen":
        widen(start, model)
        on_note(f"the start is widened to {model.config.features} features; it computes the same as before")
        return model
    if not isinstance(teacher, BasicVSR):
        raise ModelError("a network is assembled from a BasicVSR checkpoint as the teacher and a small model")
    on_note("assembling a network from the teacher and the start: this takes minutes")
    windows = [window.to(device) for window in _windows(recipe, clips)]
    explained = assemble(teacher.to(device), start.to(device), model.to(device), windows)
    model.cpu()
    on_note("variance explained: " + ", ".join(f"{name} {share:.2f}" for name, share in explained.items()))
    return model


def _transplanted(teacher: Teacher, model: EDVR) -> int:
    if isinstance(teacher, BasicVSR):
        return len(transplant(teacher, model))
    return len(model.state_dict()) - len(transfer_weights(teacher, model))


def _windows(recipe: Recipe, clips: Sequence[Clip]) -> list[Tensor]:
    """Windows of real footage, degraded as the teacher knows it, (1, T, 3, h, w) in [0, 1]."""
    sides = {min(clip.frames.shape[2:]) // recipe.scale for clip in clips}
    side = next((side for side in _SIDES if side <= max(sides)), _SIDES[-1])
    samples = Samples(clips, replace(recipe, degradation="clean", patch=side, batch=1))
    return [samples.batch(n, known=0.0).window.float() / 255 for n in range(_WINDOWS)]
