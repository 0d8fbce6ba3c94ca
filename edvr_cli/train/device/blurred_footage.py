"""Blurred clips made from sharp stills: what a pool for deblurring is made from.

A still is filmed by a camera that pans or shakes, often with another still moving in front of it, and averaged over an
exposure in linear light. Some clips are sharp although they move, so that what is sharp stays as it is.

Shapes: F frames of all tiles in a row, V compressed versions, S pixels on a side of a tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edvr_cli.errors import InputError
from edvr_cli.image.convert import to_uint8
from edvr_cli.train.clips import Clip
from edvr_cli.train.crops import one_thread, texture, turned
from edvr_cli.train.degradation import Degradation, compress, simulate_camera
from edvr_cli.train.device.footage import Footage
from edvr_cli.train.device.pool import Shot
from edvr_cli.train.motion_paths import random_motion
from edvr_cli.train.synthetic_motion import Scene, random_mask
from edvr_cli.train.synthetic_pictures import line_art

__all__ = ["blur_tiles"]

_SIDE = 256  # of a tile, at most
_MIN_SIDE = 64
_UNIT = 32  # pixels that a tile's side is a multiple of
_MARGIN = 64  # pixels of a still beyond the tile, which come into view as it moves
_FRAMES = 9  # of a tile
_INSTANTS = 33  # of an exposure, at most
_SPACING = 1.0  # pixels between them
_SPEED = 12.0  # pixels per frame, at most
_OBJECTS = 0.4  # share of tiles with something moving in front
_DRAWN = 0.07  # share of stills that are drawn: text, lines and flat shapes, which footage has little of
_SHARP = 0.06  # share of tiles that move and are sharp
_DEFOCUSED = 0.12  # share of the others whose focus wanders
_DEFOCUS = 1.8  # pixels, deviation of the Gaussian, at most
_NOISE = 0.3  # share of compressed versions with a sensor's noise


class _Tile(NamedTuple):
    truth: Tensor  # (T, 3, S, S) uint8
    blurred: Tensor  # likewise
    degraded: Tensor  # (V, T, 3, S, S) uint8


def blur_tiles(
    clips: Sequence[Clip], *, versions: int = 0, max_frames: int = 4000, seed: int = 0, workers: int = 0
) -> Footage:
    """Make ``max_frames`` frames of blurred clips from frames of ``clips``, with ``versions`` compressed ones of each.

    A tile is a function of ``seed`` and its number, whatever the number of ``workers`` (processes). Raises InputError
    where no clip is large enough.
    """
    side = min(_SIDE, max((min(clip.frames.shape[2:]) for clip in clips), default=0)) // _UNIT * _UNIT
    if side < _MIN_SIDE:
        raise InputError(f"no clip has frames of at least {_MIN_SIDE}×{_MIN_SIDE} pixels to make blur from")
    stills = [clip.frames for clip in clips if min(clip.frames.shape[2:]) >= side]
    count = max(1, max_frames // _FRAMES)
    truth = torch.empty(count * _FRAMES, 3, side, side, dtype=torch.uint8)
    blurred, degraded = torch.empty_like(truth), truth.new_empty((versions, *truth.shape))
    recipe = _Tiles(stills, count, versions, seed, side)
    made = DataLoader(recipe, batch_size=None, num_workers=workers, worker_init_fn=one_thread)
    for number, tile in enumerate(made):
        # Copied at once: what comes from another process holds a file open as long as it lives.
        place = slice(number * _FRAMES, (number + 1) * _FRAMES)
        truth[place], blurred[place], degraded[:, place] = tile
    shots = [Shot(n * _FRAMES, _FRAMES) for n in range(count)]
    return Footage(truth, degraded if versions else None, shots, blurred)


@dataclass(frozen=True)
class _Tiles(Dataset[_Tile]):
    stills: Sequence[np.ndarray]
    count: int
    versions: int
    seed: int
    side: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> _Tile:
        if number >= self.count:
            raise IndexError(number)
        rng = np.random.default_rng((self.seed, number))
        two = rng.random() < _OBJECTS
        background, front = self._still(rng), self._still(rng)
        mask = random_mask(rng, front.shape[-1]) if two else None
        scene = Scene(background, random_motion(rng, _SPEED), front if two else None, mask, random_motion(rng, _SPEED))
        times = torch.arange(_FRAMES) - (_FRAMES - 1) / 2
        truth = scene.render(times, self.side)
        blurred = truth
        if rng.random() >= _SHARP:
            shutter = float(rng.uniform(0.3, 1.0))
            blurred = scene.expose(times, self.side, shutter=shutter, positions=_INSTANTS, spacing=_SPACING)
            if rng.random() < _DEFOCUSED:
                blurred = _defocused(blurred, rng)
        stored = to_uint8(blurred)
        degraded = stored.new_empty((self.versions, *stored.shape))
        for n in range(self.versions):
            degraded[n] = _recorded(stored, rng, (n + 1) / self.versions)
        return _Tile(to_uint8(truth), stored, degraded)

    def _still(self, rng: np.random.Generator) -> Tensor:
        """A random square of a random frame, turned: (3, s, s) in [0, 1], larger than a tile where it can be."""
        if rng.random() < _DRAWN:
            return torch.from_numpy(line_art(rng, self.side + 2 * _MARGIN)).float() / 255
        frames = self.stills[int(rng.integers(len(self.stills)))]
        side = min(self.side + 2 * _MARGIN, *frames.shape[2:])
        frame: np.ndarray = frames[int(rng.integers(len(frames)))]
        crops = []
        for _ in range(2):  # the one with more texture
            top, left = (int(rng.integers(n - side + 1)) for n in frame.shape[1:])
            crops.append(frame[:, top : top + side, left : left + side])
        return turned(torch.from_numpy(max(crops, key=texture).copy()), rng).float() / 255


def _defocused(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """``frames`` (T, 3, S, S) as a focus that wanders leaves them, each blurred by an amount of its own."""
    T = len(frames)
    wave = np.sin(rng.uniform(0.2, 1.2) * np.arange(T) + rng.uniform(0, 6.3)) + rng.uniform(-0.5, 0.5)
    deviations = torch.from_numpy(np.abs(wave) * rng.uniform(0.3, 1) * _DEFOCUS / 1.5).float().clamp(min=0.05)
    radius = 7
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (axis / deviations[:, None]).square())
    kernel = kernel / kernel.sum(dim=1, keepdim=True)  # (T, 2·radius + 1)
    maps = F.pad(frames.transpose(0, 1), (radius,) * 4, mode="reflect")  # (3, T, …)
    maps = F.conv2d(maps, kernel.view(T, 1, -1, 1), groups=T)
    return F.conv2d(maps, kernel.view(T, 1, 1, -1), groups=T).transpose(0, 1)


def _recorded(frames: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """``frames`` (T, 3, S, S) uint8 through a codec, some with noise."""
    if rng.random() < _NOISE:
        noise_alone = Degradation(noise_chance=1 / strength, compression_chance=0)
        frames = simulate_camera(frames, rng, strength=strength, chain=noise_alone)
    return compress(frames, rng, strength=strength)
