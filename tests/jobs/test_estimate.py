"""The memory and time of a restoration, estimated before it."""

from pathlib import Path

import pytest
import torch

from edvr_cli.inference import memory_plan as memory
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.jobs.estimate import estimate, seconds_per_frame
from edvr_cli.jobs.plan import plan_restore
from edvr_cli.network.model import Model
from tests.support.clips import make_clip
from tests.support.networks import random_network


@pytest.mark.parametrize("free", [1 << 30, 4 << 20])
def test_the_plan_is_the_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int):
    """With memory enough for whole frames, and without."""
    source = make_clip(tmp_path / "in.mp4", frames=2, width=160, height=120)
    for place in ("edvr_cli.inference.memory_plan", "edvr_cli.jobs.estimate"):
        monkeypatch.setattr(f"{place}.free_memory", lambda device, bound=None: free)
    model = Model.of(random_network(), name="named")
    told = estimate(plan_restore(source, tmp_path / "out.mp4", model=model))
    engine = StreamingEDVR(model)
    engine.prepare(120, 160)
    assert told.tile == engine.tile_size
    assert (told.tile == 0) == (free == 1 << 30)
    assert 0 < told.memory <= (free if told.tile == 0 else 8 * free)
    assert (told.model, told.free, told.device) == ("named", free, torch.device("cpu"))


@pytest.mark.parametrize("frames", [1, 9])
@pytest.mark.parametrize("budget", [0.0, 60.0])
def test_time_is_measured_on_whole_frames_or_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int, budget: float
):
    """Of a long video or of one picture; a part is as large as the time allows, and never smaller than some pixels."""
    source = make_clip(tmp_path / "in.mp4", frames=frames, width=160, height=120)
    sizes: list[tuple[int, int]] = []
    prepare = StreamingEDVR.prepare

    def noted(self: StreamingEDVR, height: int, width: int) -> None:
        sizes.append((height, width))
        prepare(self, height, width)

    monkeypatch.setattr(StreamingEDVR, "prepare", noted)
    plan = plan_restore(source, tmp_path / "out.mp4", model=random_network())
    assert seconds_per_frame(plan, budget=budget) > 0
    assert sizes[0] == (64, 64)
    assert sizes[-1] == ((64, 64) if budget == 0 else (120, 160))


def test_the_peak_is_that_of_the_largest_region():
    """Tiles with their halos, and features kept of all of them."""
    config = random_network().config
    whole = memory.MemoryPlan(0, keep_features=True)
    assert memory.peak_memory(whole, config, 120, 160, 32) == memory.bytes_needed(config, 120, 160, kept_pixels=19200)
    tiled = memory.MemoryPlan(64, keep_features=False)
    assert memory.peak_memory(tiled, config, 480, 640, 32) == memory.bytes_needed(
        config, 128, 128, frame_pixels=640 * 480
    )
