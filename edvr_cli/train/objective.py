"""What training descends, and what the guard judges weights by: both from one pass over a batch.

Shapes: B samples, T frames, H W pixels of the truth.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from edvr_cli.network.edvr import EDVR
from edvr_cli.train.alignment import alignment_loss, mean_offset, recorded_offsets, supervision_loss
from edvr_cli.train.divergence_guard import Reading
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.samples import Batch
from edvr_cli.train.stages import Stage

__all__ = ["objective", "unit"]

_EPSILON = 1e-3  # of the Charbonnier loss
_USUAL_LOSS = 0.02  # of doing nothing
_SLIGHT_LOSS = 0.002  # half a level of 255: where there is less to gain, it counts less


def objective(model: EDVR, batch: Batch, recipe: Recipe, stage: Stage, step: int) -> tuple[Tensor, Reading]:
    """The loss to descend at ``step``, a scalar with gradients, and the reading of ``model`` on ``batch``."""
    window = unit(batch.window)
    if stage.name == "align":
        with _autocast(recipe, window.device):
            total = alignment_loss(model, window, batch.flow)
        return total, Reading(float(total.detach()), offset=0.0)
    with _autocast(recipe, window.device), recorded_offsets(model) as offsets:
        output = model(window)
    truth = unit(batch.truth)
    losses = _charbonnier(output.float(), truth)
    nothing = _charbonnier(_enlarged(window, truth), truth)
    total = _share(losses, nothing) if recipe.relative else losses.mean()
    weight = recipe.supervision * (1 - (step - stage.first) / (stage.last - stage.first))
    if weight > 0 and stage.name == "plain":
        total = total + weight * supervision_loss(model, offsets, window, batch.flow, batch.known)
    return total, Reading(float(losses.detach().mean()), mean_offset(offsets), float(nothing.mean()))


def unit(frames: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return frames.float() / 255


def _autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    return nullcontext() if recipe.precision == "fp32" else torch.autocast(device.type, torch.bfloat16)


def _enlarged(window: Tensor, truth: Tensor) -> Tensor:
    """The middle frames of ``window`` (B, T, 3, h, w) at the size of ``truth``, with nothing restored."""
    middle = window[:, window.shape[1] // 2]
    return nn.functional.interpolate(middle, truth.shape[-2:], mode="bilinear", align_corners=False)


def _charbonnier(output: Tensor, truth: Tensor) -> Tensor:
    """The loss of each sample, (B,), of (B, 3, H, W)."""
    return ((output - truth).square() + _EPSILON**2).sqrt().mean(dim=(1, 2, 3))


def _share(losses: Tensor, nothing: Tensor) -> Tensor:
    """The mean of what is left of each sample's loss (B,), so that a slight blur teaches as much as a strong one."""
    # Gradients stay of the size of the plain loss's, which clipping and supervision are set for.
    return _USUAL_LOSS * (losses / (nothing + _SLIGHT_LOSS)).mean()
