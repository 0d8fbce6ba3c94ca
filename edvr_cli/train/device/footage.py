"""Clips cut into tiles of one size, with compressed versions of each: what a pool is made from.

Shapes: F frames of all tiles in a row, V compressed versions, S pixels on a side of a tile, s the scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edvr_cli.errors import InputError
from edvr_cli.train.clips import Clip
from edvr_cli.train.crops import one_thread
from edvr_cli.train.degradation import Degradation, real
from edvr_cli.train.device.pool import SCALE, Shot

__all__ = ["Footage", "Tile", "compressed", "cut_tiles", "gathered", "joined"]

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


class Tile(NamedTuple):
    """What becomes a shot."""

    truth: Tensor  # (T, 3, S, S) uint8
    degraded: Tensor  # (V, T, 3, S / s, S / s) uint8


def cut_tiles(
    clips: Sequence[Clip],
    *,
    versions: int = 0,
    max_frames: int = 4000,
    window: int = 5,
    seed: int = 0,
    workers: int = 0,
) -> Footage:
    """Cut every clip into tiles, as many as ``max_frames`` frames allow, spread over the clips.

    ``versions`` compressed versions are made of each tile, from mild to strong, together with frames before it where
    the clip has some: where a codec begins, its artifacts are unlike those that follow. A tile is a function of
    ``seed`` and its place, whatever the number of ``workers`` (processes). Raises InputError where no clip is large
    and long enough.
    """
    usable = [clip for clip in clips if min(clip.frames.shape[2:]) >= _MIN_SIDE and len(clip.frames) >= window]
    if not usable:
        raise InputError(f"no clip has {window} frames of at least {_MIN_SIDE}×{_MIN_SIDE} pixels to train on")
    sides = [min(clip.frames.shape[2:]) for clip in usable]
    side = min(_MAX_SIDE, int(np.median(sides))) // _UNIT * _UNIT
    places = [
        _Place(clip.frames, first, top, left)
        for clip in usable
        for first in range(0, max(1, len(clip.frames) - window + 1), _FRAMES)
        for top in _starts(clip.frames.shape[2], side)
        for left in _starts(clip.frames.shape[3], side)
        if min(clip.frames.shape[2:]) >= side and len(clip.frames) - first >= window
    ]
    order = np.random.default_rng(seed).permutation(len(places))
    chosen: list[_Place] = []
    total = 0
    for number in order:
        place = places[number]
        if chosen and total + place.length > max_frames:
            break
        chosen.append(place)
        total += place.length
    recipe = _Tiles(chosen, side, versions, [(seed, int(number)) for number in order])
    return gathered(recipe, [place.length for place in chosen], side, versions, workers)


def gathered(tiles: Dataset[Tile], lengths: Sequence[int], side: int, versions: int, workers: int) -> Footage:
    """The footage of ``tiles`` of so many frames, made by ``workers`` processes."""
    firsts = [0, *accumulate(lengths)]
    truth = torch.empty(firsts[-1], 3, side, side, dtype=torch.uint8)
    degraded = truth.new_empty(versions, firsts[-1], 3, side // SCALE, side // SCALE)
    made = DataLoader(tiles, batch_size=None, num_workers=workers, worker_init_fn=one_thread)
    for (first, last), tile in zip(pairwise(firsts), made, strict=True):
        # Copied at once: what comes from another process holds a file open as long as it lives.
        truth[first:last], degraded[:, first:last] = tile.truth, tile.degraded
    shots = [Shot(first, length) for first, length in zip(firsts, lengths, strict=False)]
    return Footage(truth, degraded if versions else None, shots)


def joined(one: Footage, other: Footage) -> Footage:
    """Both, of equal sizes and versions, one after the other."""
    degraded = None
    if one.degraded is not None and other.degraded is not None:
        degraded = torch.cat((one.degraded, other.degraded), dim=1)
    shots = one.shots + [Shot(len(one.truth) + first, length) for first, length in other.shots]
    return Footage(torch.cat((one.truth, other.truth)), degraded, shots)


def compressed(run: Tensor, earlier: int, versions: int, rng: np.random.Generator) -> Tensor:
    """(V, T, 3, S / s, S / s) uint8, the last most strongly degraded.

    The last, and every second one before it, goes through the whole chain of degradations; the others are what most
    people have: a clean picture that was reduced and compressed. ``run`` are a tile's T frames after ``earlier`` ones;
    each version is compressed with some of these.
    """
    small = run.shape[-1] // SCALE
    made = run.new_empty(versions, len(run) - earlier, 3, small, small)
    for n in range(versions):
        first = int(rng.integers(earlier + 1))
        from_last = versions - 1 - n
        strength = 1 - from_last // 2 / ((versions + 1) // 2)
        chain = None if from_last % 2 == 0 else _compression_alone(strength)
        made[n] = real(run[first:], rng, scale=SCALE, strength=strength, chain=chain)[earlier - first :]
    return made


def _compression_alone(strength: float) -> Degradation:
    """Reduction and a codec, which every clip goes through at this ``strength``."""
    return Degradation(
        blur_chance=0, noise_chance=0, compression_chance=1 / strength, copy_chance=0, halo_chance=0, interlace_chance=0
    )


class _Place(NamedTuple):
    frames: np.ndarray  # (N, 3, H, W) of a clip
    first: int
    top: int
    left: int

    @property
    def length(self) -> int:
        """Frames of the tile that begins here."""
        return min(_FRAMES, len(self.frames) - self.first)


@dataclass(frozen=True)
class _Tiles(Dataset[Tile]):
    """Tiles at ``places``; each is a function of its seed, whatever process makes it."""

    places: Sequence[_Place]
    side: int
    versions: int
    seeds: Sequence[tuple[int, int]]  # of each place

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Tile:
        if number >= len(self.places):
            raise IndexError(number)
        frames, first, top, left = self.places[number]
        earlier = min(first, _HISTORY)
        run = frames[first - earlier : first + _FRAMES, :, top : top + self.side, left : left + self.side]
        whole = torch.from_numpy(np.array(run))
        rng = np.random.default_rng(self.seeds[number])
        return Tile(whole[earlier:], compressed(whole, earlier, self.versions, rng))


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along an axis: as few as cover it, evenly spread; none on an axis that is too short."""
    if length < side:
        return []
    count = -(-length // side)
    return [round(n * (length - side) / max(1, count - 1)) for n in range(count)]
