"""The memory that a plan is said to need, against what is alive when the engine runs by it."""

from dataclasses import replace

import pytest
import torch

from edvr_cli.bench.network import random_network
from edvr_cli.bench.sizes import SIZES
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.network import edvr
from edvr_cli.network.windows import windows
from tests.support.live_memory import LiveMemory

META = torch.device("meta")


@pytest.mark.parametrize(("width", "height"), [(320, 180), (640, 360), (1920, 1080)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("halves", "turns"), [(True, 1), (False, 1), (True, 4)])
def test_whole_frames_need_what_the_plan_says_within_a_tenth(size, width, height, halves, turns, monkeypatch):
    """In half precision as on a GPU, with several windows at once for small frames."""
    # The kernel needs no memory but its result's; the definition, which the meta device would take, has columns.
    monkeypatch.setattr(edvr, "deform_conv2d_packed", lambda x, packed, weight, bias, slope=1.0: torch.empty_like(x))
    model = random_network(SIZES[size]).to(META).half()
    engine = StreamingEDVR(model, InferenceOptions(precision="fp16", tile=0, tta=turns))
    with LiveMemory() as memory:
        engine.prepare(height, width)
        engine._plan = replace(engine._plan, keep_halves=halves)
        count = engine.windows_at_once
        frames = ((torch.zeros(3, height, width, device=META), False) for _ in range(2 * count + 4))
        inner = [window for window in windows(frames, 5, "replicate") if len(set(window.indices)) == 5]
        for first in (0, count):
            engine.restore_windows(inner[first : first + count])
    assert engine.memory_needed() == pytest.approx(memory.peak, rel=0.1)
    assert count == (4 if width == 320 else 1)
