"""The stages of a run: which network each trains, which of its parameters, and at what rate."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from edvr_cli.network.edvr import EDVR, TSAFusion
from edvr_cli.train.alignment import alignment_parameters
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.skeleton import skeleton_parameters

__all__ = ["Stage", "learning_rate", "rebuild", "stages", "supervision_weight", "trained", "transfer_weights"]

StageName = Literal["skeleton", "align", "plain", "fusion", "all"]
_FLOOR = 0.02  # of the learning rate, at the end of a period


@dataclass(frozen=True)
class Stage:
    """Steps ``first`` to ``last`` − 1 of a run."""

    name: StageName
    first: int
    last: int
    keeps_attention: bool = False  # of a network that had it from the start

    @property
    def tsa(self) -> bool:
        """Whether its network has temporal and spatial attention."""
        return self.keeps_attention or self.name in ("fusion", "all")


def stages(recipe: Recipe) -> list[Stage]:
    """The stages of ``recipe`` in order, without empty ones; they cover all its steps."""
    skeleton = min(recipe.skeleton, recipe.steps)
    align = min(skeleton + recipe.align, recipe.steps)
    with_tsa = round((recipe.steps - align) * recipe.attention) if recipe.tsa else 0
    fusion = min(recipe.fusion, with_tsa)
    bounds = [0, skeleton, align, recipe.steps - with_tsa, recipe.steps - with_tsa + fusion, recipe.steps]
    names: tuple[StageName, ...] = ("skeleton", "align", "plain", "fusion", "all")
    # Where no step is without attention, the alignment's must not drop it, either.
    kept = with_tsa > 0 and bounds[2] == bounds[3]
    spans = zip(names, pairwise(bounds), strict=True)
    return [Stage(name, *span, keeps_attention=kept and name == "align") for name, span in spans if span[1] > span[0]]


def learning_rate(recipe: Recipe, stage: Stage, step: int) -> float:
    """Warm-up, then a cosine from the full rate to nearly nothing, ``restarts`` times per stage."""
    rates = {"skeleton": recipe.skeleton_rate, "align": recipe.align_rate}
    base = rates.get(stage.name, recipe.learning_rate)
    length, done = stage.last - stage.first, step - stage.first
    warm_up = min(recipe.warm_up, max(1, length // 10))
    phase = (done * recipe.restarts / length) % 1.0
    return base * min(1.0, (done + 1) / warm_up) * (_FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * phase)) / 2)


def supervision_weight(recipe: Recipe, stage: Stage, step: int) -> float:
    """Weight of the offsets' loss on known motion: fading to nothing over the first stage that restores windows."""
    first = "plain" if any(other.name == "plain" for other in stages(recipe)) else "all"
    return recipe.supervision * (stage.last - step) / (stage.last - stage.first) if stage.name == first else 0.0


def trained(model: EDVR, stage: Stage) -> list[nn.Parameter]:
    """The parameters that ``stage`` trains; the others are frozen."""
    if stage.name == "align":
        chosen = alignment_parameters(model)
    elif stage.name == "skeleton":
        chosen = skeleton_parameters(model)
    elif stage.name == "fusion":
        chosen = list(model.fusion.parameters())
    else:
        chosen = list(model.parameters())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in chosen:
        parameter.requires_grad_(True)
    return chosen


def rebuild(recipe: Recipe, stage: Stage) -> EDVR:
    """The network of ``stage`` with random weights, which the seed and the stage decide."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed * 1_000_003 + stage.first)
        return EDVR(recipe.config(tsa=stage.tsa))


@torch.no_grad()
def transfer_weights(model: EDVR, target: EDVR) -> list[str]:
    """Copy the weights of ``model`` that fit into ``target``; returns the names of those that ``target`` keeps.

    Equal names and shapes are copied. A 1×1 fusion becomes the feature fusion of a TSA whose attention starts at
    "all alike", so that the new network begins where the plain one ended; a TSA leaves its feature fusion to a
    plain network in the same way.
    """
    source, known = model.state_dict(), target.state_dict()
    if isinstance(target.fusion, TSAFusion) and not isinstance(model.fusion, TSAFusion):
        for key in ("weight", "bias"):
            # Temporal attention starts near a half, the sigmoid of nothing.
            source[f"fusion.feat_fusion.{key}"] = source[f"fusion.{key}"] * (2 if key == "weight" else 1)
        _start_alike(target.fusion)
    elif isinstance(model.fusion, TSAFusion) and not isinstance(target.fusion, TSAFusion):
        source["fusion.weight"] = source["fusion.feat_fusion.weight"] / 2
        source["fusion.bias"] = source["fusion.feat_fusion.bias"]
    fitting = {k: v for k, v in source.items() if k in known and known[k].shape == v.shape}
    target.load_state_dict(fitting, strict=False)
    return [key for key in known if key not in fitting]


def _start_alike(fusion: TSAFusion) -> None:
    fusion.temporal_attn1.weight.mul_(0.1)
    for conv in (fusion.spatial_attn5, fusion.spatial_attn_add2):
        # sigmoid(0) · 2 = 1: the spatial attention neither weighs nor adds at first.
        nn.init.zeros_(conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
