"""Photographs that move: tiles made from stills, for more scenes than footage has.

Shapes: F frames of all tiles in a row, S pixels on a side of a tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from edvr_cli.errors import InputError
from edvr_cli.image.convert import to_uint8
from edvr_cli.image.resize import resize
from edvr_cli.train.clips import Clip
from edvr_cli.train.crops import texture, turned
from edvr_cli.train.device.footage import Footage, Tile, compressed, gathered
from edvr_cli.train.motion_paths import random_motion
from edvr_cli.train.synthetic_motion import Scene
from edvr_cli.train.synthetic_pictures import line_art
from edvr_cli.video.clip_folders import read_frames, sources_in

__all__ = ["move_stills", "read_stills"]

_LONGEST = 1600  # pixels of a still's longer side: larger ones are reduced, which hides what a camera did to them
_FRAMES = 20  # of a tile
_HISTORY = 12  # frames before a tile that are compressed with it
_MARGIN = 160  # pixels of a still around a tile, which come into view as it moves
_SPEED = 6.0  # pixels per frame, at most
_DRAWN = 1 / 12  # share of stills that are drawn
_AT_ONCE = 8  # frames rendered


def read_stills(folder: Path) -> list[Clip]:
    """The pictures in ``folder`` and below, a clip of one frame each. Raises InputError where there are none."""
    clips = []
    for source in sources_in(folder):
        for number, frame in enumerate(read_frames(source) if source.is_dir() else ()):
            h, w = frame.shape[-2:]
            factor = min(1.0, _LONGEST / max(h, w))
            still = resize(frame, (round(h * factor), round(w * factor)), "area").round().clamp(0, 255).byte()
            clips.append(Clip(f"{source.name}, picture {number + 1}", still[None].numpy()))
    if not clips:
        raise InputError(f"{folder} holds no pictures")
    return clips


def move_stills(
    stills: Sequence[Clip], side: int, *, versions: int = 0, max_frames: int = 2000, seed: int = 0, workers: int = 0
) -> Footage:
    """Make tiles of ``side`` pixels in which stills move, as :func:`~edvr_cli.train.device.footage.cut_tiles` does.

    The camera pans, or is held in a hand. Raises InputError where no still has ``side`` pixels on its shorter side.
    """
    pictures = [clip.frames[0] for clip in stills if min(clip.frames.shape[2:]) >= side]
    if not pictures:
        raise InputError(f"no still has {side} pixels on its shorter side")
    count = max(1, max_frames // _FRAMES)
    return gathered(_Moved(pictures, count, side, versions, seed), [_FRAMES] * count, side, versions, workers)


@dataclass(frozen=True)
class _Moved(Dataset[Tile]):
    """Tiles that are a function of the seed and their number."""

    pictures: Sequence[np.ndarray]  # (3, H, W) uint8
    count: int
    side: int
    versions: int
    seed: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Tile:
        if number >= self.count:
            raise IndexError(number)
        rng = np.random.default_rng((self.seed, number))
        scene = Scene(self._still(rng, number), random_motion(rng, _SPEED))
        times = torch.arange(-_HISTORY, _FRAMES) - (_FRAMES - 1) / 2
        frames = torch.cat([scene.render(some, self.side) for some in times.split(_AT_ONCE)])
        run = to_uint8(frames)
        return Tile(run[_HISTORY:], compressed(run, _HISTORY, self.versions, rng))

    def _still(self, rng: np.random.Generator, number: int) -> Tensor:
        """A square of a picture, each in its turn, or a drawing: (3, s, s) in [0, 1]."""
        side = self.side + 2 * _MARGIN
        if rng.random() < _DRAWN:
            return torch.from_numpy(line_art(rng, side)).float() / 255
        picture = self.pictures[number % len(self.pictures)]
        side = min(side, *picture.shape[1:])
        edge = (side - self.side) // 2
        crops = []
        for _ in range(2):  # the one whose middle has more texture
            top, left = (int(rng.integers(n - side + 1)) for n in picture.shape[1:])
            crops.append(picture[:, top : top + side, left : left + side])
        best = max(crops, key=lambda crop: texture(crop[:, edge : side - edge, edge : side - edge]))
        return turned(torch.from_numpy(best.copy()), rng).float() / 255
