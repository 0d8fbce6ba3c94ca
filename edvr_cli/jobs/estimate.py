"""An estimate of a plan's needs: memory and tiles as the engine would choose them, time measured on a few frames.

Shapes: H W pixels of a source frame, h w of the part of it that is measured.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.memory_plan import free_memory, peak_memory, plan_memory, round_up
from edvr_cli.inference.options import Precision
from edvr_cli.inference.precision import dtype_for, name_of
from edvr_cli.inference.tiles import tiles
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.video.pixels.color import planes_to_rgb
from edvr_cli.video.reading.reader import VideoReader

__all__ = ["Estimate", "estimate", "seconds_per_frame"]

_MEASURED = 2  # frames, after the first, which alone computes a whole window's features
_MIN_SIDE = 64  # of the part that is measured


@dataclass(frozen=True)
class Estimate:
    """The precision, tiles and memory of a run.

    ``tile`` is the largest side of a tile in input pixels, 0 for whole frames; ``memory`` the most that the network
    needs, ``free`` the free memory of the device, in bytes (None: unknown).
    """

    model: str
    device: torch.device
    precision: Precision
    tile: int
    memory: int
    free: int | None


def estimate(plan: RestorePlan, device: torch.device | None = None) -> Estimate:
    """The precision, tiles and memory that a run of ``plan`` would use now; nothing is computed.

    ``device`` None is the model's.
    """
    config, options = plan.model.config, plan.inference
    device = device or plan.model.device
    dtype = dtype_for(options.precision, device)
    height, width = (round_up(side, config.multiple) for side in (plan.info.height, plan.info.width))
    chosen = plan_memory(config, height, width, options, device, dtype)
    memory = peak_memory(chosen, config, height, width, options.tile_pad, dtype.itemsize)
    free = free_memory(device, options.max_memory)
    return Estimate(plan.model.name, device, name_of(dtype), chosen.tile, memory, free)


def seconds_per_frame(plan: RestorePlan, *, budget: float = 3.0) -> float:
    """Seconds that the network takes per frame of a video, measured on its first frames.

    Where whole frames would take longer than ``budget`` seconds, as large a part of them as can be restored in that
    time is measured, and its time scaled by its size: the network does the same for each pixel. Raises InputError
    where nothing decodes. The source is read: it must be one that can be read again.
    """
    info = plan.info
    engine = StreamingEDVR(plan.model, plan.inference)
    config = engine.config
    with VideoReader(info.path, info=info, max_frames=config.frames + _MEASURED) as reader:
        frames = [planes_to_rgb(frame.planes, frame.layout, frame.color) for frame in reader]
    _, H, W = frames[0].shape
    small = _middle(frames, _MIN_SIDE, _MIN_SIDE)
    _pace(engine, small)  # The first run compiles, loads and allocates.
    pace = _pace(engine, small) / small[0][0].numel()
    share = min(1.0, (budget / (pace * H * W * (1 + _MEASURED))) ** 0.5)
    part = _middle(frames, max(_MIN_SIDE, int(H * share)), max(_MIN_SIDE, int(W * share)))
    engine.prepare(H, W)
    overlap = 1.0
    if not engine.whole_frames:
        height, width = (round_up(side, config.multiple) for side in (H, W))
        cover = tiles(height, width, engine.tile_size, engine.options.tile_pad, config.multiple)
        overlap = sum(len(tile.region_y) * len(tile.region_x) for tile in cover) / (height * width)
    return _pace(engine, part) / part[0][0].numel() * H * W * overlap


def _pace(engine: StreamingEDVR, frames: Sequence[Tensor]) -> float:
    """Seconds per frame (3, h, w) of a run in which each window brings one new frame."""
    engine.prepare(*frames[0].shape[1:])
    seen: set[int] = set()
    took: list[float] = []
    for _, window in engine.windows((None, frame, False) for frame in frames):
        new = set(window.indices) - seen
        seen |= new
        began = time.perf_counter()
        engine.restore(window).cpu()
        if len(new) == 1 or len(frames) <= engine.config.frames:
            took.append(time.perf_counter() - began)
        if len(took) == _MEASURED:
            break
    return statistics.median(took)


def _middle(frames: Sequence[Tensor], height: int, width: int) -> list[Tensor]:
    """The middle of each frame, (3, h, w), where most motion is."""
    _, H, W = frames[0].shape
    top, left = max(0, (H - height) // 2), max(0, (W - width) // 2)
    return [frame[:, top : top + height, left : left + width] for frame in frames]
