"""Guidance by a teacher: the motion of real footage, and restored frames and features to imitate.

Shapes: B windows, T frames, C features, D the teacher's features, H W pixels of the input, h w of the features.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.errors import ModelError
from edvr_cli.network.edvr import EDVR
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.teacher.basicvsr import BasicVSR
from edvr_cli.train.teacher.flow import warp

__all__ = ["Teacher", "check_teacher", "feature_loss", "recorded_features", "restored_by", "true_motion"]

Teacher = BasicVSR | EDVR
"""A trained network to learn from. Only BasicVSR has an optical flow."""

_NOISE = 2 / 255  # difference between frames that says nothing
_AROUND = 5  # pixels across, over which differences are averaged
_RIDGE = 1e-4  # of the features' mean square


def check_teacher(teacher: Teacher | None, recipe: Recipe) -> None:
    """Raise ModelError where ``recipe`` needs a teacher and has none, or one that cannot teach it."""
    wanted = recipe.teacher_frame > 0 or recipe.teacher_features > 0
    if teacher is None:
        if wanted or recipe.teacher is not None:
            raise ModelError(f"the run learns from {recipe.teacher or 'a teacher'}, which is not given")
    elif isinstance(teacher, BasicVSR):
        if recipe.task != "sr":
            raise ModelError("this teacher enlarges four times: it cannot teach to deblur")
    else:
        config = teacher.config
        if config.scale != recipe.scale or config.frames != recipe.frames:
            raise ModelError(
                f"the teacher restores ×{config.scale} from {config.frames} frames, the network to be "
                f"trained ×{recipe.scale} from {recipe.frames}"
            )
        if not wanted:
            raise ModelError("the teacher has no optical flow: learn from its frames or features")


@torch.no_grad()
def true_motion(teacher: BasicVSR, window: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel of the reference lies in every frame, and how far that can be trusted.

    window (B, T, 3, H, W) in [0, 1], T odd. Returns the flow (B, T, 2, H, W) in (dy, dx) pixels and its weight
    (B, T, 1, H, W) in [0, 1], float32. The weight is the share of the difference to the reference that moving the
    frame by the flow removes; zero where the flow leaves the frame. The reference itself has weight one.
    """
    B, T, _, H, W = window.shape
    r = T // 2
    others = [t for t in range(T) if t != r]
    neighbor = window[:, others].flatten(0, 1)
    reference = window[:, r].repeat_interleave(T - 1, dim=0)
    found = teacher.flow(reference, neighbor)
    before = _difference(neighbor, reference)
    after = _difference(warp(neighbor, found, padding="border"), reference)
    helps = ((before - after + _NOISE) / (before + _NOISE)).clamp(0, 1)
    inside = warp(torch.ones_like(before), found) > 1 - 1e-3
    flow = window.new_zeros((B, T, 2, H, W), dtype=torch.float32)
    weight = window.new_ones((B, T, 1, H, W), dtype=torch.float32)
    flow[:, others] = found.flip(1).unflatten(0, (B, T - 1))
    weight[:, others] = (helps * inside).unflatten(0, (B, T - 1))
    return flow, weight


@torch.no_grad()
def restored_by(teacher: Teacher, window: Tensor) -> tuple[Tensor, Tensor]:
    """The teacher's features before its tail, (B, D, h, w), and its middle frame, of ``window`` (B, T, 3, H, W)."""
    if isinstance(teacher, BasicVSR):
        return teacher.middle(window)
    with recorded_features(teacher) as features:
        frame = teacher(window)
    return features[0], frame


@contextmanager
def recorded_features(model: EDVR) -> Iterator[list[Tensor]]:
    """Collect the features (B, C, h, w) that each pass through ``model`` hands to its tail."""
    found: list[Tensor] = []
    hook = model.reconstruction.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    try:
        yield found
    finally:
        hook.remove()


def feature_loss(own: Tensor, truth: Tensor) -> Tensor:
    """The share of the variance of ``truth`` (B, D, h, w) that no linear map of ``own`` (B, C, h, w) explains.

    The map is the best one for this batch, so networks of any width and any order of channels can be compared. A
    scalar in [0, 1] with gradients for ``own``.
    """
    x = own.float().permute(0, 2, 3, 1).flatten(0, 2)
    y = truth.float().permute(0, 2, 3, 1).flatten(0, 2)
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    with torch.no_grad():
        # At the optimum the loss does not depend on the map, so no gradient is lost here.
        ridge = _RIDGE * x.square().mean() * len(x) + 1e-12
        best = torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1], device=x.device), x.T @ y)
    return (x @ best - y).square().mean() / y.square().mean().clamp(min=1e-12)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference around each pixel: (N, 3, H, W) each → (N, 1, H, W)."""
    return F.avg_pool2d((a.float() - b.float()).abs().mean(dim=1, keepdim=True), _AROUND, 1, _AROUND // 2)
