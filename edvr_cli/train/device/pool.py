"""Footage on the device: shots of one size, the degraded versions of them, and the motion between frames.

Shapes: F frames of all shots in a row, V compressed versions, H W pixels of the truth, h w of the inputs, s the scale.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.image.resize import resize

__all__ = ["CELL", "FLOW_DISTANCES", "SCALE", "Pool", "Shot", "make_pool"]

SCALE = 4
FLOW_DISTANCES = (-2, -1, 1, 2)  # frames between the two of a known motion
CELL = 8  # input pixels on a side of a cell whose texture is known
_CHUNK = 64  # frames processed at once
_CLIPS = 8  # shots a teacher restores at once


class Shot(NamedTuple):
    """Consecutive frames of a pool."""

    first: int
    length: int


@dataclass(frozen=True)
class Pool:
    """All footage of a run, on one device."""

    truth: Tensor  # (F, 3, H, W) uint8
    versions: Tensor  # (1 + V, F, 3, h, w) uint8; the first is not compressed
    texture: Tensor  # (F, h / 8, w / 8) float32, mean contrast of the truth in each cell of 8×8 input pixels
    flow: Tensor | None  # (4, F, 2, h, w) float16, (dy, dx) input pixels to the frame FLOW_DISTANCES away
    shots: tuple[Shot, ...]
    taught: Tensor | None = None  # (F, 3, H, W) uint8, what a teacher restores from the clean version

    @property
    def input_shape(self) -> tuple[int, int]:
        """(h, w) of an input frame."""
        h, w = self.versions.shape[-2:]
        return h, w

    @property
    def scale(self) -> int:
        """How many times larger the truth is than the inputs: 4, or 1 for deblurring."""
        return self.truth.shape[-1] // self.versions.shape[-1]


@torch.no_grad()
def make_pool(
    truth: Tensor,
    degraded: Tensor | None,
    shots: Sequence[Shot],
    device: torch.device,
    *,
    clean: Tensor | None = None,
    flow: Callable[[Tensor, Tensor], Tensor] | None = None,
    teacher: Callable[[Tensor], Tensor] | None = None,
) -> Pool:
    """Bring footage to ``device`` and derive the texture and the motion from it.

    truth (F, 3, H, W) uint8, H and W multiples of 32; ``clean`` (F, 3, h, w) uint8 are the inputs before compression,
    by default the truth reduced by 4 as the benchmarks do; degraded (V, F, 3, h, w) uint8 or None; ``flow`` maps two
    batches of frames (N, 3, h, w) in [0, 1] to the motion (N, 2, h, w) from the first to the second, (dx, dy) pixels;
    ``teacher`` restores clips (N, T, 3, h, w) in [0, 1] to (N, T, 3, H, W).
    Raises ValueError on other shapes.
    """
    frames, _, H, W = truth.shape
    if H % (SCALE * CELL) or W % (SCALE * CELL) or truth.dtype != torch.uint8:
        raise ValueError(f"expected uint8 frames with sides that {SCALE * CELL} divides, got {tuple(truth.shape)}")
    truth = truth.to(device)
    clean = _reduced(truth) if clean is None else clean.to(device)
    h, w = clean.shape[-2:]
    if (H % h, W % w) != (0, 0) or H // h != W // w or clean.shape[:2] != (frames, 3):
        raise ValueError(f"expected inputs of whole fractions of {H}×{W} pixels, got {tuple(clean.shape)}")
    if degraded is not None and degraded.shape[1:] != (frames, 3, h, w):
        raise ValueError(f"expected degraded frames (V, {frames}, 3, {h}, {w}), got {tuple(degraded.shape)}")
    if sum(shot.length for shot in shots) != frames:
        raise ValueError(f"the shots have {sum(shot.length for shot in shots)} frames, the footage {frames}")
    versions = clean[None] if degraded is None else torch.cat((clean[None], degraded.to(device)))
    texture = _texture(truth, H // h * CELL)
    known = None if flow is None else _motion(clean, shots, flow)
    taught = None if teacher is None else _restored(clean, shots, teacher)
    return Pool(truth, versions, texture, known, tuple(shots), taught)


def _reduced(truth: Tensor) -> Tensor:
    """A quarter of the size, as the benchmarks reduce: (F, 3, H / 4, W / 4) uint8."""
    size = truth.shape[-2] // SCALE, truth.shape[-1] // SCALE
    return torch.cat([resize(part.float(), size).round().clamp(0, 255).byte() for part in truth.split(_CHUNK)])


def _texture(truth: Tensor, cell: int) -> Tensor:
    """(F, H / cell, W / cell) mean contrast."""
    found = []
    for part in truth.split(_CHUNK):
        green = part[:, 1:2].float()
        contrast = (green[..., 1:, 1:] - green[..., :-1, 1:]).abs() + (green[..., 1:, 1:] - green[..., 1:, :-1]).abs()
        found.append(F.avg_pool2d(F.pad(contrast, (1, 0, 1, 0)), cell)[:, 0])
    return torch.cat(found)


def _restored(clean: Tensor, shots: Sequence[Shot], teacher: Callable[[Tensor], Tensor]) -> Tensor:
    """Every shot as ``teacher`` restores it, several of one length at once: (F, 3, H, W) uint8."""
    frames, _, h, w = clean.shape
    taught = torch.empty(frames, 3, SCALE * h, SCALE * w, dtype=torch.uint8, device=clean.device)
    by_length = sorted(shots, key=lambda shot: shot.length)
    for length, group in groupby(by_length, key=lambda shot: shot.length):
        first = torch.tensor([shot.first for shot in group], device=clean.device)
        for part in first.split(_CLIPS):
            index = part[:, None] + torch.arange(length, device=clean.device)
            restored = teacher(clean[index].float() / 255)
            taught[index] = (restored.float() * 255).round().clamp(0, 255).byte()
    return taught


def _motion(clean: Tensor, shots: Sequence[Shot], flow: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(4, F, 2, h, w) float16; nothing (NaN) where the other frame is in another shot."""
    frames, _, h, w = clean.shape
    known = torch.full((len(FLOW_DISTANCES), frames, 2, h, w), torch.nan, dtype=torch.float16, device=clean.device)
    for slot, distance in enumerate(FLOW_DISTANCES):
        here = [n for s in shots for n in range(s.first, s.first + s.length) if 0 <= n + distance - s.first < s.length]
        for part in torch.tensor(here, device=clean.device).split(_CHUNK):
            a, b = (clean[index].float() / 255 for index in (part, part + distance))
            known[slot, part] = flow(a, b).flip(1).half()
    return known
