"""The state of a run on disk: everything that the next step depends on, written atomically."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edvr_cli.errors import ModelError
from edvr_cli.system.files import replacing
from edvr_cli.train.recipe import NetworkSize, Recipe

__all__ = ["STATE_FILE", "Checkpoint", "read_checkpoint", "write_checkpoint"]

STATE_FILE = "state.pt"
_VERSION = 3


@dataclass(frozen=True)
class Checkpoint:
    """Everything that decides how a run continues, apart from its clips.

    No generator's state is in it: samples and new weights are drawn from the recipe's seed and the step.
    """

    recipe: Recipe
    step: int  # steps done
    stage: str  # to which network and optimizer belong
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    averaged: int  # steps in the average
    optimizer: dict[str, Any]
    rate_factor: float  # halved at every rollback
    rollbacks: int
    usual: list[tuple[float, float]]  # loss ratios and offsets that the guard compares with


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write under another name, then rename: a kill at any moment leaves the old state or the new one."""
    content = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}
    content |= {"version": _VERSION, "recipe": asdict(checkpoint.recipe)}
    with replacing(path) as file:
        torch.save(content, file)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what :func:`write_checkpoint` wrote; ModelError where there is none, or none of this version."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"there is no run to resume: {path} does not exist") from error
    except Exception as error:  # Over junk PyTorch raises whatever it comes upon.
        raise ModelError(f"{path} is not a readable training state: start a new run") from error
    if not isinstance(content, dict) or content.pop("version", None) != _VERSION:
        raise ModelError(f"{path} is a training state of another version: start a new run")
    try:
        stored = content.pop("recipe")
        return Checkpoint(recipe=Recipe(**{**stored, "size": NetworkSize(**stored["size"])}), **content)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is a training state of another version: start a new run") from error
