"""The alignment stage: what it starts from, what it measures, and that it learns."""

from dataclasses import replace

import pytest
import torch

from edvr_cli.network.edvr import EDVR
from edvr_cli.train.alignment import (
    alignment_loss,
    alignment_parameters,
    mean_offset,
    prepare,
    recorded_offsets,
    supervision_loss,
)
from edvr_cli.train.samples import Samples
from tests.train.test_samples import TINY, footage

RECIPE = replace(TINY, batch=8, patch=32, ramp=1, speed=0.7)


def network(**changes: object) -> EDVR:
    torch.manual_seed(0)
    return EDVR(replace(RECIPE.config(tsa=False), features=16, groups=8, **changes))


def batch(step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    made = Samples(footage(), RECIPE).batch(step, known=1.0)
    return made.window.float() / 255, made.flow


@pytest.mark.parametrize("levels", [1, 3])
def test_a_prepared_network_leaves_everything_where_it_is(levels):
    """Offsets are zero, and the aligned neighbor is the neighbor: its error is that of no motion."""
    model = network(levels=levels)
    window, _ = batch()
    prepare(model, window)
    with recorded_offsets(model) as offsets:
        model(window)
    assert mean_offset(offsets) == 0
    first = model.extract(window[:, 0])
    aligned = model.pcd_align.dcn_pack["l1"](first[0], torch.zeros_like(first[0]))
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert torch.corrcoef(torch.stack((aligned[inner].flatten(), first[0][inner].flatten())))[0, 1] > 0.9


@pytest.mark.parametrize("changes", [{}, {"levels": 1}])
def test_known_motion_is_learned_in_a_few_steps(changes):
    """From "nothing moves", the distance to the true motion falls by a sixth and more within forty small steps."""
    model = network(**changes)
    window, flow = batch()
    prepare(model, window)
    optimizer = torch.optim.Adam(alignment_parameters(model))
    losses = []
    for step in range(40):
        loss = alignment_loss(model, window, flow)
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1, (step + 1) / 20)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] * 5 / 6


def test_all_taps_stay_equal_while_the_alignment_alone_is_trained():
    """So a trained network samples whole patches at the displacement, whatever group or tap."""
    model = network()
    window, flow = batch()
    prepare(model, window)
    optimizer = torch.optim.Adam(alignment_parameters(model), 3e-3)
    for _ in range(3):
        optimizer.zero_grad()
        alignment_loss(model, window, flow).backward()
        optimizer.step()
    offset_rows = model.pcd_align.dcn_pack["l1"].conv_offset.weight[:144].unflatten(0, (72, 2))
    assert offset_rows.abs().max() > 0
    assert torch.allclose(offset_rows, offset_rows[:1].expand_as(offset_rows), atol=1e-6)


def test_supervision_measures_the_offsets_of_a_forward_pass_where_motion_is_known():
    """Zero offsets are as wrong as the motion is large; where nothing is known nothing is asked."""
    model = network()
    window, flow = batch()
    prepare(model, window)
    with recorded_offsets(model) as offsets:
        model(window)
    everything, nothing = torch.ones(8, dtype=torch.bool), torch.zeros(8, dtype=torch.bool)
    loss = supervision_loss(model, offsets, window, flow, everything)
    others = flow[:, [0, 1, 3, 4]]
    size = [torch.nn.functional.avg_pool2d(others.flatten(0, 1), 2**n).norm(dim=1).mean() for n in range(3)]
    assert float(loss.detach()) == pytest.approx(float(sum(size)), rel=0.05)
    assert supervision_loss(model, offsets, window, flow, nothing) == 0


def test_recording_ends_with_its_block():
    """No hook is left behind."""
    model = network()
    with recorded_offsets(model) as offsets:
        model(torch.rand(1, 5, 3, 16, 16))
    model(torch.rand(1, 5, 3, 16, 16))
    assert {len(frames) for frames in offsets.values()} == {5}
