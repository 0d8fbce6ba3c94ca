"""Synthetic scenes with known motion: a still, and another in front of it, each on its own smooth path.

Real clips say what the world looks like, but not where each pixel went; a network that must learn to align learns it
several times faster where that is known. Time is in frames, 0 at the reference; positions are in pixels, measured
from the middle of the picture, (x, y). The same scenes, averaged over an exposure, give motion blur.

Shapes: N instants, H W pixels rendered.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.train.motion_paths import Motion, Path

__all__ = ["Scene", "random_mask"]

_GAMMA = 2.2


@dataclass(frozen=True)
class Scene:
    """A background still and, where ``mask`` (1, S, S) is one, another in front: (3, S, S) each, in [0, 1]."""

    background: Tensor
    camera: Motion
    foreground: Tensor | None = None
    mask: Tensor | None = None
    object: Motion = field(default_factory=Path)

    def render(self, times: Tensor, size: int) -> Tensor:
        """The middle ``size`` pixels at ``times``: (N, 3, size, size), in [0, 1]."""
        grid = _grid(size)
        picture = _sample(self.background, _transform(self.camera.at(times), grid))
        if self.foreground is None or self.mask is None:
            return picture
        points = _transform(self.object.at(times), grid)
        cover = _sample(self.mask, points)
        return picture * (1 - cover) + _sample(self.foreground, points) * cover

    def expose(self, times: Tensor, size: int, *, shutter: float, positions: int, spacing: float = 0.0) -> Tensor:
        """Motion-blurred frames: the mean in linear light of ``positions`` instants over ``shutter`` frames.

        The middle instant of each is its time, so that :meth:`render` at the same time is its sharp truth. Where fewer
        instants are ``spacing`` pixels apart at most, only those are rendered.
        """
        frames = []
        for time in times:
            count = positions
            if spacing > 0:
                travel = self._travel(time + torch.linspace(-shutter / 2, shutter / 2, positions), size)
                count = min(positions, max(3, 2 * math.ceil(travel / spacing / 2) + 1))
            instants = time + torch.linspace(-shutter / 2, shutter / 2, count)
            frames.append(self.render(instants, size).pow(_GAMMA).mean(dim=0).pow(1 / _GAMMA))
        return torch.stack(frames)

    def _travel(self, times: Tensor, size: int) -> float:
        """The longest path of a corner over ``times``, in pixels."""
        corners = _grid(size)[:: size - 1, :: size - 1]
        paths = [self.camera] if self.foreground is None else [self.camera, self.object]
        ways = [_transform(path.at(times), corners).diff(dim=0).norm(dim=-1).sum(dim=0).max() for path in paths]
        return float(torch.stack(ways).max())

    def flow(self, times: Tensor, size: int) -> Tensor:
        """Where each pixel of time 0 is at ``times``, as a displacement: (N, 2, size, size), (dy, dx) pixels."""
        grid = _grid(size)
        moved = _transform(_inverse(self.camera.at(times)), grid) - grid
        if self.mask is not None:
            cover = (_sample(self.mask, grid[None]) > 0.5).permute(0, 2, 3, 1)
            moved = torch.where(cover, _transform(_inverse(self.object.at(times)), grid) - grid, moved)
        return moved.flip(-1).permute(0, 3, 1, 2)


def random_mask(rng: np.random.Generator, side: int) -> Tensor:
    """A random soft-edged shape: (1, side, side) in [0, 1]."""
    coarse = torch.from_numpy(rng.standard_normal((1, 1, 6, 6), dtype=np.float32))
    smooth = F.interpolate(coarse, size=(side, side), mode="bicubic")
    return ((smooth[0] - 0.5) * (side / 20) + 0.5).clamp(0, 1)


def _grid(size: int) -> Tensor:
    """(size, size, 2) pixel centers as (x, y) from the middle."""
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x, y), dim=-1)


def _transform(maps: Tensor, points: Tensor) -> Tensor:
    """Affine ``maps`` (N, 2, 3) of ``points`` (H, W, 2) → (N, H, W, 2)."""
    return points @ maps[:, :, :2].transpose(1, 2).unsqueeze(1) + maps[:, None, None, :, 2]


def _inverse(maps: Tensor) -> Tensor:
    linear = torch.linalg.inv(maps[:, :, :2])
    return torch.cat((linear, -linear @ maps[:, :, 2:]), dim=-1)


def _sample(still: Tensor, points: Tensor) -> Tensor:
    """Bicubic samples of ``still`` (C, S, S) at ``points`` (N, H, W, 2) from its middle → (N, C, H, W) in [0, 1]."""
    still = still.expand(len(points), -1, -1, -1)
    grid = points * (2 / still.shape[-1])
    return F.grid_sample(still, grid, "bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)
