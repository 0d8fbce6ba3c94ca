"""Clips cut into tiles of one size, with compressed versions of each: what a pool is made from.

Shapes: F frames of all tiles in a row, V compressed versions, S pixels on a side of a tile, s the scale.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.train.clips import Clip
from edvr_cli.train.degradation import real
from edvr_cli.train.device.pool import SCALE, Shot

__all__ = ["Footage", "cut_tiles"]

_UNIT = 32  # pixels that a tile's side is a multiple of
_MAX_SIDE = 384
_FRAMES = 20  # of a tile at most: a codec's group of pictures; scenes have about equal shares
_MIN_SIDE = 128
_HISTORY = 20  # frames before a tile that are compressed with it, at most


class Footage(NamedTuple):
    """Tiles in a row."""

    truth: Tensor  # (F, 3, S, S) uint8
    degraded: Tensor | None  # (V, F, 3, S / s, S / s) uint8
    shots: list[Shot]
    clean: Tensor | None = None  # (F, 3, S / s, S / s) uint8: the inputs before compression; None: the truth, reduced


def cut_tiles(
    clips: Sequence[Clip],
    *,
    versions: int = 0,
    max_frames: int = 4000,
    window: int = 5,
    seed: int = 0,
) -> Footage:
    """Cut every clip into tiles, as many as ``max_frames`` frames allow, spread over the clips.

    ``versions`` compressed versions are made of each tile, from mild to strong, together with frames before it where
    the clip has some: where a codec begins, its artifacts are unlike those that follow. Raises InputError where no clip
    is large and long enough.
    """
    usable = [clip for clip in clips if min(clip.frames.shape[2:]) >= _MIN_SIDE and len(clip.frames) >= window]
    if not usable:
        raise InputError(f"no clip has {window} frames of at least {_MIN_SIDE}×{_MIN_SIDE} pixels to train on")
    sides = [min(clip.frames.shape[2:]) for clip in usable]
    side = min(_MAX_SIDE, int(np.median(sides))) // _UNIT * _UNIT
    places = [
        (clip.frames, first, top, left)
        for clip in usable
        for first in range(0, max(1, len(clip.frames) - window + 1), _FRAMES)
        for top in _starts(clip.frames.shape[2], side)
        for left in _starts(clip.frames.shape[3], side)
        if min(clip.frames.shape[2:]) >= side and len(clip.frames) - first >= window
    ]
    order = np.random.default_rng(seed).permutation(len(places))
    tiles: list[Tensor] = []
    compressed: list[Tensor] = []
    total = 0
    for number in order:
        frames, first, top, left = places[number]
        earlier = min(first, _HISTORY)
        run = frames[first - earlier : first + _FRAMES, :, top : top + side, left : left + side]
        tile = torch.from_numpy(np.array(run[earlier:]))
        if total + len(tile) > max_frames:
            break
        total += len(tile)
        tiles.append(tile)
        if versions:
            whole = torch.from_numpy(np.array(run))
            compressed.append(_compressed(whole, earlier, versions, seed=(seed, int(number))))
    shots = [Shot(sum(map(len, tiles[:n])), len(tile)) for n, tile in enumerate(tiles)]
    return Footage(torch.cat(tiles), torch.cat(compressed, dim=1) if versions else None, shots)


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along an axis: as few as cover it, evenly spread; none on an axis that is too short."""
    if length < side:
        return []
    count = -(-length // side)
    return [round(n * (length - side) / max(1, count - 1)) for n in range(count)]


def _compressed(run: Tensor, earlier: int, versions: int, *, seed: tuple[int, int]) -> Tensor:
    """(V, T, 3, S / 4, S / 4) uint8, each through the whole chain of degradations, the last most strongly.

    ``run`` are the tile's T frames after ``earlier`` ones; each version is compressed with a random number of these.
    """
    rng = np.random.default_rng(seed)
    made = []
    for n in range(versions):
        first = int(rng.integers(earlier + 1))
        made.append(real(run[first:], rng, scale=SCALE, strength=(n + 1) / versions)[earlier - first :])
    return torch.stack(made)
