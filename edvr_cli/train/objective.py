"""The loss that training minimizes, and the statistics for the divergence guard: both from one pass over a batch.

Shapes: B samples, T frames, H W pixels of the truth.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edvr_cli.network.edvr import EDVR
from edvr_cli.system.hardware import multiplies_bfloat16
from edvr_cli.train.alignment import alignment_loss, mean_offset, recorded_offsets, supervision_loss, texture
from edvr_cli.train.divergence_guard import StepStats
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.samples import Batch
from edvr_cli.train.skeleton import restore_alone
from edvr_cli.train.stages import Stage, supervision_weight
from edvr_cli.train.teacher.basicvsr import BasicVSR
from edvr_cli.train.teacher.guidance import Teacher, feature_loss, recorded_features, restored_by, true_motion

__all__ = ["charbonnier", "objective", "relative_loss", "to_float"]

_EPSILON = 1e-3  # of the Charbonnier loss
_USUAL_LOSS = 0.02  # of the unrestored frame
_SLIGHT_LOSS = 0.002  # half a level of 255; samples with less to gain count less


def objective(
    model: EDVR, batch: Batch, recipe: Recipe, stage: Stage, step: int, teacher: Teacher | None = None
) -> tuple[Tensor, StepStats]:
    """The loss to minimize at ``step``, a scalar with gradients, and the statistics of ``model`` on ``batch``.

    ``teacher`` supplies what the recipe asks for: the motion of real footage, and frames or features to imitate.
    """
    window = to_float(batch.window)
    if stage.name == "align":
        motion = _motion(batch, window, recipe, teacher)
        with _autocast(recipe, window.device):
            total = alignment_loss(model, window, motion.flow, motion.weight)
        return total, StepStats(float(total.detach()), offset=0.0)
    alone = stage.name == "skeleton"
    with (
        _autocast(recipe, window.device),
        recorded_offsets(model) as offsets,
        recorded_features(model) as features,
    ):
        output = restore_alone(model, window[:, recipe.frames // 2]) if alone else model(window)
    truth = to_float(batch.truth)
    losses = charbonnier(output.float(), truth)
    nothing = charbonnier(_enlarged(window, truth), truth)
    total = relative_loss(losses, nothing) if recipe.relative else losses.mean()
    weight = supervision_weight(recipe, stage, step)
    if weight > 0:
        motion = _motion(batch, window, recipe, teacher)
        counts = motion.weight
        if motion.seen is not None:
            # Motion of real footage is visible on texture alone; that of synthetic scenes is known everywhere.
            shown = texture(window[:, recipe.frames // 2]).unsqueeze(1)
            counts = torch.where(_of_samples(motion.seen), counts * shown, counts)
        total = total + weight * supervision_loss(model, offsets, window, motion.flow, motion.known, counts)
    if teacher is not None and recipe.teacher_frame + recipe.teacher_features > 0:
        total = total + _imitation(teacher, window, output.float(), features[0], recipe)
    return total, StepStats(float(losses.detach().mean()), mean_offset(offsets), float(nothing.mean()))


class _Motion(NamedTuple):
    """Motion of a batch: flow (B, T, 2, H, W), its weight (B, T, 1, H, W), and for which samples (B,) it is known."""

    flow: Tensor
    weight: Tensor
    known: Tensor
    seen: Tensor | None = None  # (B,): known from a teacher only


def _motion(batch: Batch, window: Tensor, recipe: Recipe, teacher: Teacher | None) -> _Motion:
    """The known motion of synthetic scenes, and what a teacher with an optical flow finds in real footage."""
    weight = _of_samples(batch.known).expand(-1, window.shape[1], 1, *window.shape[3:]).float()
    filmed = ~batch.known
    if not isinstance(teacher, BasicVSR) or not recipe.teacher_flow or not bool(filmed.any()):
        return _Motion(batch.flow, weight, batch.known)
    flow, weight = batch.flow.clone(), weight.clone()
    with _autocast(recipe, window.device):
        flow[filmed], weight[filmed] = true_motion(teacher, window[filmed])
    return _Motion(flow, weight, torch.ones_like(batch.known), filmed)


def _imitation(teacher: Teacher, window: Tensor, output: Tensor, features: Tensor, recipe: Recipe) -> Tensor:
    """The distance to the teacher's frame and features, weighted as in the recipe."""
    with _autocast(recipe, window.device):
        others, frame = restored_by(teacher, window)
    loss = output.new_zeros(())
    if recipe.teacher_frame > 0:
        loss = loss + recipe.teacher_frame * charbonnier(output, frame.float()).mean()
    if recipe.teacher_features > 0:
        loss = loss + recipe.teacher_features * feature_loss(features, others)
    return loss


def _of_samples(flags: Tensor) -> Tensor:
    """Flags of samples (B,) as maps of windows: (B, 1, 1, 1, 1)."""
    return flags.view(-1, 1, 1, 1, 1)


def to_float(frames: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return frames.float() / 255


def _autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    half = multiplies_bfloat16(device) if recipe.precision == "auto" else recipe.precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16) if half else nullcontext()


def _enlarged(window: Tensor, truth: Tensor) -> Tensor:
    """The middle frames of ``window`` (B, T, 3, h, w), plainly enlarged to the size of ``truth``."""
    middle = window[:, window.shape[1] // 2]
    return nn.functional.interpolate(middle, truth.shape[-2:], mode="bilinear", align_corners=False)


def charbonnier(output: Tensor, truth: Tensor) -> Tensor:
    """The loss of each sample, (B,), of (B, 3, H, W)."""
    return ((output - truth).square() + _EPSILON**2).sqrt().mean(dim=(1, 2, 3))


def relative_loss(losses: Tensor, nothing: Tensor, slight: float = _SLIGHT_LOSS) -> Tensor:
    """The mean ratio of each sample's loss (B,) to that of the unrestored frame: slight blur counts like strong.

    ``slight`` is a loss of the unrestored frame at which there is little to gain; samples below it count less.
    """
    # Gradients keep the magnitude of the plain loss's, for which clipping and supervision are set.
    return _USUAL_LOSS * (losses / (nothing + slight)).mean()
