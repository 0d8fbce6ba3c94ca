"""Turned copies of a window, and the mean of what the network makes of them."""

from dataclasses import replace

import pytest
import torch

from edvr_cli.image.turns import TURNS
from edvr_cli.inference import engine as engine_module
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.memory_plan import MemoryPlan, plan_within
from edvr_cli.inference.options import TTA, InferenceOptions
from edvr_cli.network.config import EDVRConfig
from edvr_cli.network.windows import Window
from tests.support.networks import random_network

FRAMES = 7


def clip(height=12, width=20):
    """Random frames (3, H, W)."""
    return list(torch.rand(FRAMES, 3, height, width, generator=torch.Generator().manual_seed(3)))


def restored(model, frames, **options):
    """Every frame of a shot."""
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32", **options))
    stream = ((n, frame, n == 0) for n, frame in enumerate(frames))
    return [output for _, output in engine.restore_stream(stream)]


@pytest.mark.parametrize("changes", [{}, {"predeblur": True, "hr_in": True}, {"frames": 7, "tsa": False}])
@pytest.mark.parametrize("turns", [2, 4, 8])
def test_it_is_the_mean_of_whole_clips_restored_each_way(turns, changes):
    """Each way by an engine of its own that knows nothing of turns."""
    model, frames = random_network(**changes), clip(16, 32)
    ways = []
    for turn in TURNS[:turns]:
        shot = [turn.apply(frame) for frame in frames]
        outputs = [turn.undo(output) for output in restored(model, shot[::-1] if turn.mirrors else shot)]
        ways.append(torch.stack(outputs[::-1] if turn.mirrors else outputs))
    found = torch.stack(restored(model, frames, tta=turns))
    torch.testing.assert_close(found, sum(ways) / turns, atol=1e-5, rtol=0)
    assert (found - ways[0]).abs().max() > 1e-3


@pytest.mark.parametrize("turns", TTA[1:])
def test_a_turned_clip_gives_the_turned_result(turns):
    """For every turn that takes part: the turns are a group."""
    model, frames = random_network(), clip(8, 12)
    expected = restored(model, frames, tta=turns)
    for turn in TURNS[:turns]:
        shot = [turn.apply(frame) for frame in frames]
        outputs = restored(model, shot[::-1] if turn.mirrors else shot, tta=turns)
        for output, upright in zip(outputs[::-1] if turn.mirrors else outputs, expected, strict=True):
            torch.testing.assert_close(turn.undo(output), upright, atol=1e-5, rtol=0)


@pytest.mark.parametrize("plan", [MemoryPlan(16, True), MemoryPlan(16, False), MemoryPlan(0, True, True, 3)])
def test_tiles_and_several_windows_change_nothing(plan, monkeypatch):
    """Tiles beyond the network's reach are averaged one by one, into the same picture."""
    model = random_network()
    for module in model.modules():  # offsets of at most a pixel or so, for a reach that is known
        if hasattr(module, "conv_offset"):
            module.conv_offset.weight.mul_(0.02)
    frames = clip(12, 120)
    expected = restored(model, frames, tta=4, tile=0)
    monkeypatch.setattr(engine_module, "plan_memory", lambda *_: replace(plan, turns=4))
    found = restored(model, frames, tta=4, tile_pad=48)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_features_of_each_turn_are_kept_apart():
    """And forgotten with their frame."""
    model, frames = random_network(), clip()
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32", tta=4))
    for first in (0, 1):
        numbers = tuple(range(first, first + 5))
        engine.restore(Window(numbers, tuple(frames[n] for n in numbers)))
        assert set(engine._features) == {(0, turn, n) for turn in range(4) for n in numbers}


def test_turns_are_planned_for():
    """Where the features of one turn fit, those of four may not, and are computed anew for every window."""
    plans = [
        plan_within(EDVRConfig(), 540, 960, tile=0, tile_pad=32, free=4 << 30, itemsize=2, turns=turns)
        for turns in (1, 4)
    ]
    assert plans == [MemoryPlan(0, keep_features=True), MemoryPlan(0, keep_features=False, turns=4)]


@pytest.mark.parametrize("turns", [0, 3, 16])
def test_other_numbers_are_refused(turns):
    """Of turns."""
    with pytest.raises(ValueError, match="tta must be one of 1, 2, 4, 8"):
        InferenceOptions(tta=turns)
