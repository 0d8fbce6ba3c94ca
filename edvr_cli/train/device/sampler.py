"""Batches cut from a pool on its device: windows of frames, the truth of the middle one, and the motion to it.

Shapes: B samples, T frames of a window, P input pixels on a side of a patch, s the scale.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from edvr_cli.train.device.pool import CELL, FLOW_DISTANCES, Pool

__all__ = ["DeviceBatch", "Sampler"]

_CANDIDATES = 4  # candidate places per sample; the one with most texture is taken half of the time
_SLOW = 0.75  # share of samples of consecutive frames; the others skip every second one


class DeviceBatch(NamedTuple):
    """Samples side by side."""

    window: Tensor  # (B, T, 3, P, P) float32 in [0, 1]
    truth: Tensor  # (B, 3, s·P, s·P) float32 in [0, 1]
    flow: Tensor | None  # (B, T, 2, P, P) float32: (dy, dx) from the middle frame to each; NaN where unknown
    degraded: Tensor  # (B,) bool: whether the window is of a compressed version
    taught: Tensor | None = None  # like the truth: what a teacher restored from the clean frames


@dataclass
class Sampler:
    """Draws batches; ``degraded`` is the share of compressed samples. Nothing in a draw waits for the device."""

    pool: Pool
    generator: torch.Generator  # on the pool's device
    frames: int = 5
    batch: int = 16
    patch: int = 64
    degraded: float = 0.0
    taught: bool = False  # whether batches hold the teacher's frames, where the pool has them
    motion: bool = True  # likewise the motion

    def __post_init__(self) -> None:
        """Raise ValueError where no shot is long enough or the patch does not fit."""
        h, w = self.pool.input_shape
        if self.patch % CELL or self.patch > min(h, w):
            raise ValueError(f"patch must be a multiple of {CELL} and at most {min(h, w)}, got {self.patch}")
        long = [shot for shot in self.pool.shots if shot.length >= self.frames]
        if not long:
            raise ValueError(f"no shot has the {self.frames} frames of a window")
        device = self.pool.truth.device
        self._first = torch.tensor([shot.first for shot in long], device=device)
        self._count = torch.tensor([shot.length for shot in long], device=device)
        weight = self._count.float().sqrt().cumsum(0)
        self._chance = weight / weight[-1]
        cells = self.patch // CELL
        self._texture = torch.nn.functional.avg_pool2d(self.pool.texture[:, None], cells, stride=1)[:, 0]

    @torch.no_grad()
    def draw(self) -> DeviceBatch:
        """The next batch."""
        pool, B, T, P, s = self.pool, self.batch, self.frames, self.patch, self.pool.scale
        device, middle = pool.truth.device, self.frames // 2
        shot = torch.searchsorted(self._chance, self._uniform(B))
        stride = torch.where(self._uniform(B) < _SLOW, 1, 2)
        stride = torch.where(self._count[shot] > 2 * (T - 1), stride, 1)
        spare = self._count[shot] - stride * (T - 1)
        start = self._first[shot] + (self._uniform(B) * spare).long()
        order = torch.arange(T, device=device)
        order = torch.where((self._uniform(B) < 0.5)[:, None], order, T - 1 - order)
        index = start[:, None] + stride[:, None] * order  # (B, T) frames of the pool
        top, left = self._places(index[:, middle])
        version = torch.zeros(B, dtype=torch.long, device=device)
        if self.degraded > 0 and len(pool.versions) > 1:
            drawn = 1 + (self._uniform(B) * (len(pool.versions) - 1)).long()
            version = torch.where(self._uniform(B) < self.degraded, drawn, 0)
        mirrored = self._uniform(3 * B).view(3, B) < 0.5  # rows, columns, axes swapped
        rows, columns = (self._axis(at, P, mirrored[n]) for n, at in enumerate((top, left)))
        big_rows, big_columns = (self._axis(s * at, s * P, mirrored[n]) for n, at in enumerate((top, left)))
        channel = torch.arange(3, device=device)[:, None, None]
        window = pool.versions[
            version[:, None, None, None, None], index[:, :, None, None, None], channel,
            rows[:, None, None, :, None], columns[:, None, None, None, :],
        ]  # fmt: skip
        swapped = mirrored[2, :, None, None, None]
        window = torch.where(swapped[..., None], window.transpose(-1, -2), window)
        place = index[:, middle, None, None, None], channel, big_rows[:, None, :, None], big_columns[:, None, None, :]

        def cut(frames: Tensor) -> Tensor:
            return torch.where(swapped, frames[place].transpose(-1, -2), frames[place]).float() / 255

        taught = cut(pool.taught) if pool.taught is not None and self.taught else None
        flow = self._flow(index, rows, columns, mirrored) if pool.flow is not None and self.motion else None
        return DeviceBatch(window.float() / 255, cut(pool.truth), flow, version > 0, taught)

    def _flow(self, index: Tensor, rows: Tensor, columns: Tensor, mirrored: Tensor) -> Tensor:
        """Motion from the middle frame of each window (B, T) to its frames, cropped and turned alike."""
        pool = self.pool
        assert pool.flow is not None
        middle = index[:, self.frames // 2, None]
        distance = index - middle
        slot, known = torch.zeros_like(distance), distance == 0
        for n, one in enumerate(FLOW_DISTANCES):
            slot = torch.where(distance == one, n, slot)
            known = known | (distance == one)
        axis = torch.arange(2, device=index.device)[:, None, None]
        flow = pool.flow[
            slot[:, :, None, None, None], middle[:, :, None, None, None], axis,
            rows[:, None, None, :, None], columns[:, None, None, None, :],
        ].float()  # fmt: skip
        flow = torch.where((distance == 0)[:, :, None, None, None], torch.zeros_like(flow), flow)
        flow = torch.where(known[:, :, None, None, None], flow, torch.nan)
        sign = torch.where(mirrored[:2], -1.0, 1.0).T  # (B, 2): a mirrored axis turns its motion round
        flow = flow * sign[:, None, :, None, None]
        swapped = flow.transpose(-1, -2).flip(2)
        return torch.where(mirrored[2, :, None, None, None, None], swapped, flow)

    def _places(self, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Top and left of each patch in input pixels, (B,) each: often the candidate with most texture."""
        B, (h, w), P = len(reference), self.pool.input_shape, self.patch
        top = (self._uniform(B * _CANDIDATES) * (h - P + 1)).long().view(B, -1)
        left = (self._uniform(B * _CANDIDATES) * (w - P + 1)).long().view(B, -1)
        texture = self._texture[reference[:, None], top // CELL, left // CELL]
        best = torch.where(self._uniform(B) < 0.5, texture.argmax(dim=1), 0)[:, None]
        return top.gather(1, best)[:, 0], left.gather(1, best)[:, 0]

    def _axis(self, start: Tensor, length: int, mirrored: Tensor) -> Tensor:
        """Positions along one axis, (B, length), backwards where ``mirrored``."""
        step = torch.arange(length, device=start.device)
        return start[:, None] + torch.where(mirrored[:, None], length - 1 - step, step)

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator, device=self.pool.truth.device)
