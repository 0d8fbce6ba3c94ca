"""What a restoration would take: its memory by the plan that the engine would make, its time by a few frames.

Shapes: H W pixels of a source frame, h w of the part of it that is measured.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edvr_cli.inference.engine import DEFAULT_HALO, StreamingEDVR
from edvr_cli.inference.memory_plan import at_once_limit, free_memory, peak_memory, plan
from edvr_cli.inference.precision import Precision, dtype_for, name_of
from edvr_cli.inference.tiles import tiles
from edvr_cli.network.edvr import EDVR
from edvr_cli.network.windows import Window, windows
from edvr_cli.video.pixels.color import planes_to_rgb
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.reader import VideoReader

__all__ = ["Forecast", "forecast", "seconds_a_frame"]

_STEADY = 2  # frames measured after the first, which alone computes a whole window's features
_SMALL = 64  # side of the part that tells how large a part can be measured


@dataclass(frozen=True)
class Forecast:
    """How a video's frames would go through a network.

    ``tile`` is the largest side of a tile in input pixels, 0 for whole frames; ``memory`` is what the network needs
    at most, ``free`` what the device has left, in bytes (None where it does not tell).
    """

    model: str
    device: torch.device
    precision: Precision
    tile: int
    memory: int
    free: int | None


def forecast(info: VideoInfo, model: EDVR) -> Forecast:
    """The plan for a video's frames on the device where ``model`` lies; nothing is computed."""
    config = model.config
    device = next(model.parameters()).device
    dtype = dtype_for("auto", device)
    height, width = (-(-side // config.multiple) * config.multiple for side in (info.height, info.width))
    free = free_memory(device)
    chosen = plan(config, height, width, None, DEFAULT_HALO, free, dtype.itemsize, at_once_limit(device))
    memory = peak_memory(chosen, config, height, width, DEFAULT_HALO, dtype.itemsize)
    return Forecast(model.name, device, name_of(dtype), chosen.tile, memory, free)


def seconds_a_frame(info: VideoInfo, model: EDVR, *, budget: float = 3.0) -> float:
    """How long the network takes for a frame of a video, measured on its first frames.

    Where whole frames would take longer than ``budget`` seconds, as large a part of them as can be restored in that
    time is measured, and its time scaled by its size: the network does the same for each pixel. Raises InputError
    where nothing decodes. The source is read: it must be one that can be read again.
    """
    engine = StreamingEDVR(model)
    config = engine.config
    most = config.frames + _STEADY
    with VideoReader(info.path, info=info, max_frames=most) as reader:
        frames = [planes_to_rgb(frame.planes, frame.layout, frame.color) for frame in reader]
    _, H, W = frames[0].shape
    small = _middle(frames, _SMALL, _SMALL)
    _pace(engine, small)  # The first run compiles, loads and allocates.
    pace = _pace(engine, small) / small[0][0].numel()
    share = min(1.0, (budget / (pace * H * W * (1 + _STEADY))) ** 0.5)
    part = _middle(frames, max(_SMALL, int(H * share)), max(_SMALL, int(W * share)))
    engine.prepare(H, W)
    overlap = 1.0
    if not engine.whole_frames:
        height, width = (-(-side // config.multiple) * config.multiple for side in (H, W))
        cut = tiles(height, width, engine.tile_size, engine.halo, config.multiple)
        overlap = sum(len(tile.region_y) * len(tile.region_x) for tile in cut) / (height * width)
    return _pace(engine, part) / part[0][0].numel() * H * W * overlap


def _pace(engine: StreamingEDVR, frames: Sequence[Tensor]) -> float:
    """Seconds for a frame (3, h, w) of a run in which each window brings one new frame."""
    engine.prepare(*frames[0].shape[1:])
    seen: set[int] = set()
    took: list[float] = []
    for window in windows(((frame, False) for frame in frames), engine.config.frames, engine.model.padding):
        new = set(window.indices) - seen
        seen |= new
        began = time.perf_counter()
        engine.restore(Window(window.indices, window.frames)).cpu()
        if len(new) == 1 or len(frames) <= engine.config.frames:
            took.append(time.perf_counter() - began)
        if len(took) == _STEADY:
            break
    return statistics.median(took)


def _middle(frames: Sequence[Tensor], height: int, width: int) -> list[Tensor]:
    """The middle of each frame, (3, h, w): where most of what moves is."""
    _, H, W = frames[0].shape
    top, left = max(0, (H - height) // 2), max(0, (W - width) // 2)
    return [frame[:, top : top + height, left : left + width] for frame in frames]
