"""The memory planner, with budgets of its own."""

from dataclasses import replace

import torch

from edvr_cli.inference import memory_plan
from edvr_cli.inference.memory_plan import MIN_TILE, MemoryPlan, bytes_needed, peak_memory, plan_within
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.network.edvr import EDVRConfig

GIB = 1 << 30
M = EDVRConfig()


def test_plenty_of_memory_is_used_for_whole_frames():
    """The cheapest way."""
    assert plan_within(M, 180, 320, tile=None, tile_pad=32, free=8 * GIB) == MemoryPlan(0, keep_features=True)


def test_less_memory_gives_smaller_tiles_that_fit():
    """Each plan's own estimate is within the budget, and tiles only shrink with it."""
    last = 10**9
    for free in (32 * GIB, 8 * GIB, 2 * GIB, GIB // 2):
        chosen = plan_within(M, 1080, 1920, tile=None, tile_pad=32, free=free)
        side = chosen.tile + 64 if chosen.tile else 1920
        kept = 1080 * 1920 if chosen.keep_features else 0
        assert bytes_needed(M, min(1080, side), side, kept_pixels=kept) <= free
        assert (chosen.tile or 10**9) <= last
        last = chosen.tile or 10**9
    assert last < 1920


def test_a_full_hd_frame_fits_eight_gibibytes():
    """On paper; the network is the published M."""
    chosen = plan_within(M, 1080, 1920, tile=None, tile_pad=32, free=8 * GIB)
    assert chosen.tile >= 128


def test_a_full_hd_frame_on_a_gpu_of_eight_gigabytes_goes_through_in_few_tiles():
    """In fp16, with a tenth of the 8 GB taken by the driver and the kernels; the estimate stays below what is left."""
    free = int(0.9 * 8e9)
    chosen = plan_within(M, 1080, 1920, tile=None, tile_pad=32, free=free, itemsize=2)
    assert chosen.tile >= 480
    assert chosen.keep_features  # without the halves, which are as large again
    assert not chosen.keep_halves
    assert peak_memory(chosen, M, 1080, 1920, 32, 2) < free


def test_a_network_with_a_deep_extraction_keeps_its_features():
    """Computing them again for every window would nearly double the work: smaller tiles are cheaper."""
    deep = replace(M, extraction_blocks=30, reconstruction_blocks=30)
    arguments = {"tile": None, "tile_pad": 32, "free": int(3.5e9), "itemsize": 2}
    assert not plan_within(M, 720, 1280, **arguments).keep_features
    assert plan_within(deep, 720, 1280, **arguments).keep_features


def test_a_tile_size_that_was_asked_for_is_kept():
    """Only what is kept between windows adapts."""
    assert plan_within(M, 1080, 1920, tile=256, tile_pad=32, free=64 * GIB) == MemoryPlan(256, keep_features=True)
    assert plan_within(M, 1080, 1920, tile=256, tile_pad=32, free=12 * GIB) == MemoryPlan(256, True, keep_halves=False)
    assert plan_within(M, 1080, 1920, tile=256, tile_pad=32, free=3 * GIB) == MemoryPlan(256, keep_features=False)
    assert plan_within(M, 1080, 1920, tile=0, tile_pad=32, free=GIB).tile == 0


def test_with_next_to_nothing_the_smallest_tile_is_tried():
    """Rather than giving up on an estimate."""
    assert plan_within(M, 1080, 1920, tile=None, tile_pad=32, free=1) == MemoryPlan(
        MIN_TILE, keep_features=False, keep_halves=False
    )


def test_an_unknown_budget_means_whole_frames():
    """Out-of-memory handling does the rest."""
    assert plan_within(M, 1080, 1920, tile=None, tile_pad=32, free=None) == MemoryPlan(0, keep_features=True)


def test_larger_networks_need_more():
    """Features, pre-deblurring and input at output size are all counted."""
    sizes = [
        EDVRConfig(features=32, tail=32),
        M,
        EDVRConfig(features=128),
        EDVRConfig(features=128, predeblur=True),
    ]
    needs = [bytes_needed(config, 180, 320) for config in sizes]
    assert needs == sorted(needs)
    deblur = EDVRConfig(features=128, predeblur=True, hr_in=True)
    assert bytes_needed(deblur, 720, 1280) > bytes_needed(sizes[2], 180, 320)


def test_small_frames_go_through_several_at_once():
    """As many as keep a GPU busy, where they fit; each needs more memory."""
    limit = 256 * 1024
    for height, width, expected in ((180, 320, 4), (90, 160, 8), (45, 80, 8), (360, 640, 1), (1080, 1920, 1)):
        assert (
            plan_within(M, height, width, tile=None, tile_pad=32, free=64 * GIB, itemsize=2, at_once=limit).windows
            == expected
        )
    assert plan_within(M, 180, 320, tile=None, tile_pad=32, free=64 * GIB, itemsize=2).windows == 1
    assert plan_within(M, 180, 320, tile=128, tile_pad=32, free=64 * GIB, itemsize=2, at_once=limit).windows == 1
    last = 9
    for free in (8 * GIB, 3 * GIB, 2 * GIB, GIB):
        chosen = plan_within(M, 180, 320, tile=None, tile_pad=32, free=free, itemsize=2, at_once=limit)
        assert peak_memory(chosen, M, 180, 320, 32, 2) <= free
        assert chosen.windows <= last
        last = chosen.windows
    assert last == 1


def test_without_a_kernel_samples_need_room(monkeypatch):
    """On a GPU that convolves at offsets by torch alone, strip by strip."""
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(memory_plan, "free_memory", lambda device, bound: 4 * GIB)
    monkeypatch.setattr(memory_plan, "missing_kernel", lambda device: "")
    roomy = memory_plan.plan_memory(M, 1080, 1920, InferenceOptions(), gpu, torch.float16)
    monkeypatch.setattr(memory_plan, "missing_kernel", lambda device: "Triton is not installed")
    planned = memory_plan.plan_memory(M, 1080, 1920, InferenceOptions(), gpu, torch.float16)
    arguments = {"tile": None, "tile_pad": 32, "itemsize": 2, "at_once": 256 * 1024}
    assert roomy == plan_within(M, 1080, 1920, free=4 * GIB, **arguments)
    assert planned == plan_within(M, 1080, 1920, free=4 * GIB - 256 * 2**20, **arguments)
