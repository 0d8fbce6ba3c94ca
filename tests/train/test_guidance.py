"""What teachers say of a batch, and how much of it is believed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edvr_cli.errors import ModelError
from edvr_cli.train.alignment import alignment_loss, recorded_offsets, supervision_loss
from edvr_cli.train.objective import objective, to_float
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.samples import Samples
from edvr_cli.train.stages import Stage
from edvr_cli.train.synthetic_pictures import line_art
from edvr_cli.train.teacher.basicvsr import BasicVSR
from edvr_cli.train.teacher.guidance import check_teacher, feature_loss, recorded_features, restored_by, true_motion
from tests.support.networks import random_network
from tests.train.test_samples import TINY, footage
from tests.train.test_teacher import constant_flow_network, random_teacher

PLAIN = Stage("plain", 0, 10)


def teacher_of_motion(dx: float, dy: float) -> BasicVSR:
    """A teacher that sees everything move by (dx, dy) pixels, in frames of 64."""
    teacher = random_teacher(blocks=1)
    teacher.spynet = constant_flow_network(dx / 32, dy / 32)
    return teacher


def sliding_window(dx: int, size: int = 64) -> torch.Tensor:
    """A drawing that slides to the left by ``dx`` pixels per frame: (1, 5, 3, size, size)."""
    still = torch.from_numpy(line_art(np.random.default_rng(1), size + 4 * dx)).float() / 255
    return torch.stack([still[:, :size, n * dx : n * dx + size] for n in range(5)])[None]


def test_flow_counts_where_moving_the_frame_by_it_helps():
    """A pixel of the reference lay two to the right in the frame before; said of the frame after it is wrong."""
    flow, weight = true_motion(teacher_of_motion(2, 0), sliding_window(2))
    assert flow.shape == (1, 5, 2, 64, 64)
    assert weight.shape == (1, 5, 1, 64, 64)
    assert torch.allclose(flow[:, 1, 1], torch.tensor(2.0), atol=1e-4)  # (dy, dx)
    assert torch.allclose(flow[:, 1, 0], torch.tensor(0.0), atol=1e-4)
    assert not flow[:, 2].any()
    inner = (0, slice(None), 0, slice(4, -4), slice(4, -4))
    right, wrong = weight[inner][1], weight[inner][3]
    assert right.min() > 0.99
    moves = (sliding_window(2)[0, 3] - sliding_window(2)[0, 2]).abs().mean(dim=0)[4:-4, 4:-4] > 0.2
    assert wrong[moves].mean() < 0.3
    assert not weight[0, 1, 0, :, -2:].any()  # the flow leaves the frame


def test_feature_loss_is_blind_to_linear_maps_and_sees_what_is_missing():
    """None for a mixture of the own features, however many; all for unrelated ones; gradients reduce it."""
    torch.manual_seed(0)
    own = torch.randn(2, 6, 20, 20)
    mixture = torch.einsum("bchw,dc->bdhw", own, torch.randn(9, 6)) + 3
    assert feature_loss(own, mixture) < 1e-3
    assert feature_loss(torch.randn(2, 6, 20, 20), mixture) > 0.9
    learning = torch.randn(2, 6, 20, 20, requires_grad=True)
    before = feature_loss(learning, mixture)
    (slope,) = torch.autograd.grad(before, learning)
    assert feature_loss(learning - 0.1 * slope / slope.abs().mean(), mixture) < before


def test_a_teacher_of_either_kind_gives_features_and_a_frame():
    """A BasicVSR its fused features, an EDVR what its tail gets."""
    window = torch.rand(1, 5, 3, 16, 16)
    teacher = random_teacher()
    assert all(torch.equal(a, b) for a, b in zip(restored_by(teacher, window), teacher.middle(window), strict=True))
    model = random_network()
    features, frame = restored_by(model, window)
    assert torch.equal(frame, model(window))
    assert torch.allclose(model.upsample(features, window[:, 2]), frame, atol=1e-5)
    assert not model.reconstruction._forward_hooks


def test_features_are_recorded_with_their_gradients():
    """And no hook is left behind."""
    model = random_network().requires_grad_(True)
    with recorded_features(model) as features:
        model(torch.rand(1, 5, 3, 16, 16))
    assert features[0].requires_grad
    assert not model.reconstruction._forward_hooks


@pytest.mark.parametrize(
    ("teacher", "changes", "reason"),
    [
        (None, {"teacher_frame": 1.0}, "which is not given"),
        (None, {"teacher": "teacher.pth"}, "learns from teacher.pth, which is not given"),
        (random_teacher(blocks=1), {"task": "deblur"}, "cannot teach to deblur"),
        (random_network(), {}, "no optical flow"),
        (random_network(frames=3), {"teacher_features": 1.0}, "×4 from 3 frames, the network to be trained ×4 from 5"),
    ],
    ids=["none", "none of a run that had one", "basicvsr", "edvr without flow", "edvr of three frames"],
)
def test_teachers_that_cannot_teach_are_refused(teacher, changes, reason):
    """Each with its reason."""
    with pytest.raises(ModelError, match=reason):
        check_teacher(teacher, replace(TINY, **changes))


def test_weights_decide_whose_motion_is_learned():
    """Flow of weight nothing does not count, in both losses; half of the pixels are as good as all."""
    model = random_network()
    batch = Samples(footage(), replace(TINY, ramp=1)).batch(0, known=1.0)
    window, everything = to_float(batch.window), torch.ones_like(batch.flow[:, :, :1])
    known = torch.ones(len(window), dtype=torch.bool)
    wrong = batch.flow.clone()
    wrong[:2] += 100
    half = everything.clone()
    half[:2] = 0
    assert alignment_loss(model, window, wrong, half) < 50 < alignment_loss(model, window, wrong, everything)
    assert torch.equal(alignment_loss(model, window, wrong, everything), alignment_loss(model, window, wrong))
    assert alignment_loss(model, window, wrong, 0 * everything) == 0
    with recorded_offsets(model) as offsets:
        model(window)
    losses = [supervision_loss(model, offsets, window, wrong, known, weight) for weight in (half, everything)]
    assert losses[0] < 50 < losses[1]


def loss(recipe: Recipe, teacher: object, stage: Stage = PLAIN, step: int = 0) -> float:
    batch = Samples(footage(), recipe).batch(3, known=0.5)
    model = random_network(features=8, groups=8, tail=8, tsa=False)
    return float(objective(model, batch, replace(recipe, precision="fp32"), stage, step, teacher)[0])


def test_the_objective_learns_from_a_teacher_what_the_recipe_asks_for():
    """Each weight adds its part; motion seen by the teacher counts as known motion, in the first stage only."""
    bare = replace(TINY, supervision=0.0)
    teacher = random_teacher(blocks=1)
    alone = loss(bare, None)
    assert loss(bare, teacher) == alone
    frame, features = (loss(replace(bare, **{name: 1.0}), teacher) for name in ("teacher_frame", "teacher_features"))
    both = loss(replace(bare, teacher_frame=1.0, teacher_features=1.0), teacher)
    assert frame > alone
    assert alone < features <= alone + 1
    assert both - alone == pytest.approx(frame - alone + features - alone, rel=1e-4)
    supervised = replace(TINY, supervision=1.0)
    assert loss(supervised, teacher) != pytest.approx(loss(supervised, None), rel=1e-3)
    assert loss(replace(supervised, teacher_flow=False), teacher) == loss(supervised, None)
    assert loss(supervised, teacher, Stage("all", 0, 10)) == alone
    assert loss(supervised, random_network()) == loss(supervised, None)
