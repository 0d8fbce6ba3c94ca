"""The free memory of a device, and a plan to restore frames within it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import torch

from edvr_cli.inference.options import InferenceOptions
from edvr_cli.network.config import EDVRConfig
from edvr_cli.ops.deform_conv import missing_kernel
from edvr_cli.ops.deform_conv_fallback import STRIP_BYTES
from edvr_cli.system.limits import group_memory, system_memory

__all__ = [
    "MIN_TILE",
    "MemoryPlan",
    "at_once_limit",
    "bytes_needed",
    "free_memory",
    "peak_memory",
    "plan_memory",
    "plan_within",
    "round_up",
]

MIN_TILE = 32
_SHARE = 0.7  # of the free memory to plan with: fragmentation and other programs take the rest
_AT_ONCE = 256 * 1024  # pixels of features up to which a GPU is not busy with one neighbor of a frame at a time
MAX_WINDOWS = 8  # at once; beyond, a GPU gains nothing


@dataclass(frozen=True)
class MemoryPlan:
    """How frames are divided, and what is kept between them."""

    tile: int  # largest side of a tile in input pixels; 0: whole frames
    keep_features: bool  # between windows, rather than computing them for every window
    at_once: bool = False  # all frames of a window are aligned in one go, rather than one after the other
    windows: int = 1  # restored in one go
    keep_halves: bool = True  # of the convolutions over pairs, with the features; they are half of what is kept
    turns: int = 1  # of each window, whose restored frames are averaged


def plan_memory(
    config: EDVRConfig, height: int, width: int, options: InferenceOptions, device: torch.device, dtype: torch.dtype
) -> MemoryPlan:
    """The cheapest way to restore frames of ``height`` × ``width`` within the memory that ``device`` has free now."""
    free = free_memory(device, options.max_memory)
    if free is not None and device.type == "cuda" and missing_kernel(device):
        free = max(0, free - STRIP_BYTES)  # for the samples of the deformable convolutions
    return plan_within(
        config,
        height,
        width,
        tile=options.tile,
        tile_pad=options.tile_pad,
        free=free,
        itemsize=dtype.itemsize,
        at_once=at_once_limit(device),
        turns=options.tta,
    )


def round_up(length: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is not less than ``length``."""
    return -(-length // multiple) * multiple


def plan_within(
    config: EDVRConfig,
    height: int,
    width: int,
    *,
    tile: int | None,
    tile_pad: int,
    free: int | None,
    itemsize: int = 4,
    at_once: int = 0,
    turns: int = 1,
) -> MemoryPlan:
    """The cheapest way to restore frames of ``height`` × ``width`` within ``free`` bytes (None: unknown).

    ``tile`` fixes the tile size (0: whole frames), None leaves it open; ``itemsize`` is the bytes per feature.
    Frames are aligned at once, and then several windows in one go, where that is faster, up to ``at_once`` pixels of
    features, and fits. ``turns`` is the plan's.
    Where nothing fits, the plan that needs the least memory is returned.
    """
    area = 16 if config.hr_in else 1
    budget = None if free is None else free * _SHARE
    sizes = [tile or 0] if tile is not None or budget is None else [0, *_sizes(max(height, width))]
    extraction, pairs = _work_again(config)
    unbounded = budget is None
    best, least = MemoryPlan(sizes[-1], keep_features=unbounded, keep_halves=unbounded, turns=turns), float("inf")
    for size in sizes:
        for (keep, halves), together in product(product((True, False), repeat=2), (True, False)):
            candidate = MemoryPlan(size, keep, together, keep_halves=halves, turns=turns)
            side_y, side_x, seen = _regions(candidate, height, width, tile_pad)
            cost = seen * (1 + (0 if keep else extraction) + (0 if halves else pairs))
            if cost >= least or (together and side_y * side_x > at_once * area):
                continue
            if budget is None or peak_memory(candidate, config, height, width, tile_pad, itemsize) <= budget:
                best, least = candidate, cost
    if best.at_once and not best.tile:
        for windows in range(min(MAX_WINDOWS, at_once * area // (height * width)), 1, -1):
            candidate = replace(best, windows=windows)
            if budget is None or peak_memory(candidate, config, height, width, tile_pad, itemsize) <= budget:
                return candidate
    return best


def _work_again(config: EDVRConfig) -> tuple[float, float]:
    """What a window takes longer where its frames' features are computed again, and where the halves are.

    As shares of the work on a window with everything kept, all counted in 3×3 convolutions from C to C channels.
    """
    T, tail = config.frames, config.tail / config.features
    extraction = 2 * config.extraction_blocks + 1 + (16 if config.predeblur else 0)
    alignment = 22 * T
    halves = 4 / 3 * T
    rebuilding = 10 + 2 * config.reconstruction_blocks + 4 + 16 * tail + 16 * tail**2
    whole = extraction + alignment + rebuilding
    return (T - 1) * extraction / whole, halves / whole


def at_once_limit(device: torch.device) -> int:
    """Pixels of features up to which ``device`` aligns a window's frames at once: a CPU is busy with one of them."""
    return 0 if device.type == "cpu" else _AT_ONCE


def peak_memory(plan: MemoryPlan, config: EDVRConfig, height: int, width: int, tile_pad: int, itemsize: int = 4) -> int:
    """Bytes that restoring frames of ``height`` × ``width`` takes at most, by ``plan``."""
    side_y, side_x, seen = _regions(plan, height, width, tile_pad)
    return bytes_needed(
        config,
        side_y,
        side_x,
        frame_pixels=height * width,
        kept_pixels=seen if plan.keep_features else 0,
        itemsize=itemsize,
        at_once=plan.at_once,
        windows=plan.windows,
        keep_halves=plan.keep_halves,
        turns=plan.turns,
    )


def _regions(plan: MemoryPlan, height: int, width: int, tile_pad: int) -> tuple[int, int, int]:
    """(height, width) of a tile with its padding, and the input pixels computed on for a frame, padding included."""
    side_y, side_x = (min(side, plan.tile + 2 * tile_pad) if plan.tile else side for side in (height, width))
    count = -(-height // plan.tile) * -(-width // plan.tile) if plan.tile else 1
    return side_y, side_x, count * side_y * side_x


def bytes_needed(
    config: EDVRConfig,
    height: int,
    width: int,
    *,
    frame_pixels: int | None = None,
    kept_pixels: int = 0,
    itemsize: int = 4,
    at_once: bool = False,
    windows: int = 1,
    keep_halves: bool = True,
    turns: int = 1,
) -> int:
    """Peak memory of restoring one region of ``height`` × ``width`` input pixels.

    Counted in maps of one channel at the features' full size that are alive at the worst moment.
    ``frame_pixels`` are those of the whole frame, by default the region's; ``kept_pixels`` the same, halos
    included, if its features are kept between windows. ``itemsize`` is the bytes of a feature, ``at_once``,
    ``windows``, ``keep_halves`` and ``turns`` a plan's.
    """
    C, T = config.features, config.frames
    area = 16 if config.hr_in else 1  # input pixels a pixel of features
    B, known = windows, T + windows - 1  # frames known at a time
    pyramid = C * (4 / 3 if config.levels == 3 else 1)  # as large as its halves of pair convolutions
    features = pyramid * (2 if keep_halves else 1)
    maps: float = 27 * config.groups + 6 * C  # offsets, and the maps around them
    maps += 0 if keep_halves else pyramid
    # At once, features are brought together; one by one, aligned frames are collected.
    aligning = (maps + features) * T * B if at_once else C * T * B + maps
    fusing = (3 * C * T + 4 * C) * B  # aligned, embedded and weighted frames
    working = max(aligning, fusing)
    if config.predeblur:
        working = max(working, 3 * C * area)  # its first convolutions work at input size
    pixels = height * width / area
    whole = height * width if frame_pixels is None else frame_pixels
    output = 4 * 3 * config.scale**2
    frames = whole * (4 * 3 * known + output * B)  # always float32
    if whole > height * width:
        frames += height * width * output  # a tile, before it is put in its place
    if turns > 1:
        frames += height * width * (4 * 3 * known + output * B)  # turned frames, and the sum of outputs
    # When a frame is restored, its colors are converted, for which it is there once more and a third.
    at_work = max(itemsize * pixels * working, whole * output * 4 / 3)
    return int(at_work + itemsize * max(kept_pixels * turns / area, pixels) * features * known + frames)


def _sizes(longest: int) -> Iterator[int]:
    """Tile sizes worth trying, largest first."""
    size = longest
    while size > MIN_TILE:
        size = max(MIN_TILE, size * 3 // 4 // 16 * 16)
        yield size


def free_memory(device: torch.device, bound: int | None = None) -> int | None:
    """Bytes that can still be allocated on ``device``, ``bound`` at most; None where they are unknown."""
    found = [count for count in (_free_memory(device), bound) if count is not None]
    return min(found, default=None)


def _free_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + held
    if device.type == "mps":  # shares the system's memory, of which Metal grants a part
        used = torch.mps.current_allocated_memory()
        held = torch.mps.driver_allocated_memory() - used
        return max(0, min(system_memory() + held, torch.mps.recommended_max_memory() - used))
    if device.type != "cpu":
        return None
    group = group_memory()
    return system_memory() if group is None else min(system_memory(), group)
