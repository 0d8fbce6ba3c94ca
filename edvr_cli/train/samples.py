"""Training samples: windows of degraded frames, the truth of their middle one, and where known, the motion.

A sample is a function of (seed, step, place in the batch) and of nothing else, so a resumed run sees what the
uninterrupted one would have seen, whatever the number of workers.

Shapes: B batch, T frames, H W pixels of the input patch, s scale.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edvr_cli.errors import InputError
from edvr_cli.train.clips import Clip
from edvr_cli.train.crops import one_thread, texture, turned
from edvr_cli.train.degradation import clean, real, simulate_camera
from edvr_cli.train.motion_paths import random_path
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.synthetic_motion import Scene, random_mask
from edvr_cli.train.synthetic_pictures import line_art

__all__ = ["Batch", "Samples", "batches"]

_HISTORY = 8  # frames before a window that are compressed with it, at most
_MARGIN = 48  # pixels of the truth around a still's crop, so that it can move
_COMPRESSION_MARGIN = 8  # input pixels around a patch that is compressed: a codec sees more than a patch
_TRIES = 3  # crops looked at for the one with most texture
_BLUR_SPACING = 1.0  # pixels between the instants that make a blur, at most
_DRAWN = 0.1  # share of stills that are drawn


class Batch(NamedTuple):
    """Samples side by side, on the CPU."""

    window: Tensor  # (B, T, 3, H, W) uint8
    truth: Tensor  # (B, 3, s·H, s·W) uint8
    flow: Tensor  # (B, T, 2, H, W) float32: where each pixel of the reference is, (dy, dx) input pixels
    known: Tensor  # (B,) bool: whether the flow is

    def to(self, device: torch.device) -> "Batch":
        """The same on ``device``, copied without waiting where memory is pinned."""
        return Batch(*(t.to(device, non_blocking=True) for t in self))


@dataclass(frozen=True)
class Samples(Dataset[Batch]):
    """Batches by step number. Raises InputError where no clip is large enough for the recipe's patch."""

    clips: Sequence[Clip]
    recipe: Recipe

    def __post_init__(self) -> None:
        if not any(min(clip.frames.shape[2:]) >= self._size for clip in self.clips):
            raise InputError(
                f"no clip is {self._size} pixels high and wide once its compression is scaled away: train on larger "
                "footage or smaller patches"
            )

    def __getitem__(self, step: int) -> Batch:
        """The batch of ``step``, from 0."""
        return self.batch(step)

    def batch(self, step: int, *, known: float | None = None) -> Batch:
        """The batch of ``step``; ``known`` overrides the recipe's share of synthetic motion."""
        recipe = self.recipe
        share = recipe.known_at(step) if known is None else known
        samples = []
        for place in range(recipe.batch):
            rng = np.random.default_rng((recipe.seed, step, place))
            # Position in the batch, not chance, decides which samples have known motion: each batch has its share.
            synthetic = recipe.task == "deblur" or place < round(share * recipe.batch)
            samples.append(self._moving(rng, step) if synthetic else self._filmed(rng, step))
        window, truth, flow, known_flags = zip(*samples, strict=True)
        return Batch(torch.stack(window), torch.stack(truth), torch.stack(flow), torch.tensor(known_flags))

    def _moving(self, rng: np.random.Generator, step: int) -> tuple[Tensor, Tensor, Tensor, bool]:
        """A sample of a synthetic scene."""
        recipe = self.recipe
        scale, frames = recipe.scale, recipe.frames
        margin, size = self._margin, self._size
        speed = recipe.speed_at(step) * scale
        two = rng.random() < 0.5
        background = self._still(rng)
        foreground = self._still(rng) if two else None
        mask = random_mask(rng, size + 2 * _MARGIN) if two else None
        # Slow scenes are hardly blurred: there is little to learn from them.
        slowness = 1.5 if recipe.task == "sr" else 1.0
        camera, thing = (random_path(rng, speed, slowness=slowness) for _ in range(2))
        scene = Scene(background, camera, foreground, mask, thing)
        times = torch.arange(frames, dtype=torch.float32) - frames // 2
        middle = frames // 2
        sharp = scene.render(times if recipe.task == "sr" else times[middle : middle + 1], size)
        sharp = (sharp * 255).round().byte()
        if recipe.task == "sr":
            window, truth = self._degrade(sharp, rng, step), sharp[middle]
            # The flow of an input pixel is that of the truth's pixels around its center, in input pixels.
            flow = scene.flow(times, size).unflatten(-1, (-1, scale)).unflatten(-3, (-1, scale)).mean((-1, -3)) / scale
        else:
            shutter = float(rng.uniform(0.3, 1.0))
            blurred = scene.expose(times, size, shutter=shutter, positions=recipe.exposure, spacing=_BLUR_SPACING)
            truth, flow = sharp[0], scene.flow(times, size)
            if recipe.degradation == "real":
                window = simulate_camera(blurred * 255, rng, strength=recipe.strength_at(step))
            else:
                window = (blurred * 255).round().byte()
        inner, outer = slice(margin, margin + recipe.patch), slice(margin * scale, (margin + recipe.patch) * scale)
        window, truth, flow = window[..., inner, inner], truth[..., outer, outer], flow[..., inner, inner]
        return window.contiguous(), truth.contiguous(), flow, True

    def _filmed(self, rng: np.random.Generator, step: int) -> tuple[Tensor, Tensor, Tensor, bool]:
        """A sample of real footage."""
        recipe = self.recipe
        margin, size = self._margin, self._size
        clip = self._clip(rng)
        # A codec leans on frames before the window, too: where it begins, artifacts are unlike those that follow.
        earlier = int(rng.integers(_HISTORY + 1)) if recipe.degradation == "real" else 0
        count = min(len(clip), recipe.frames + earlier)
        longest = (len(clip) - 1) // (count - 1)
        stride = min(longest, int(rng.choice((1, 1, 1, 2))))
        span = stride * (count - 1) + 1
        crops = []
        for _ in range(_TRIES):
            start, top, left = (
                rng.integers(n + 1) for n in (len(clip) - span, clip.shape[2] - size, clip.shape[3] - size)
            )
            crops.append(clip[start : start + span : stride, :, top : top + size, left : left + size])
        truth = turned(torch.from_numpy(max(crops, key=lambda crop: texture(crop[0])).copy()), rng)
        if rng.random() < 0.5:
            truth = truth.flip(0)
        window, truth = (frames[-recipe.frames :] for frames in (self._degrade(truth, rng, step), truth))
        inner, outer = (slice(k * margin, k * (margin + recipe.patch)) for k in (1, recipe.scale))
        flow = torch.zeros(recipe.frames, 2, recipe.patch, recipe.patch)
        reference = truth[recipe.frames // 2]
        return window[..., inner, inner].contiguous(), reference[..., outer, outer].contiguous(), flow, False

    @property
    def _margin(self) -> int:
        return _COMPRESSION_MARGIN if self.recipe.degradation == "real" else 0

    @property
    def _size(self) -> int:
        """Pixels of the truth across that a sample is made from."""
        return (self.recipe.patch + 2 * self._margin) * self.recipe.scale

    def _degrade(self, truth: Tensor, rng: np.random.Generator, step: int) -> Tensor:
        if self.recipe.degradation == "clean":
            return clean(truth, self.recipe.scale)
        return real(truth, rng, scale=self.recipe.scale, strength=self.recipe.strength_at(step))

    def _still(self, rng: np.random.Generator) -> Tensor:
        """A square picture (3, S, S) in [0, 1], drawn or from the footage, with room to move in where there is."""
        side = self._size + 2 * _MARGIN
        if rng.random() < _DRAWN:
            return torch.from_numpy(line_art(rng, side)).float() / 255
        clip = self._clip(rng)
        side = min(side, *clip.shape[2:])
        crops = []
        for _ in range(_TRIES):
            n, top, left = rng.integers(len(clip)), *(rng.integers(k - side + 1) for k in clip.shape[2:])
            crops.append(clip[n, :, top : top + side, left : left + side])
        return turned(torch.from_numpy(max(crops, key=texture).copy()), rng).float() / 255

    def _clip(self, rng: np.random.Generator) -> np.ndarray:
        """The frames of a random clip that is large enough, long and large ones more often."""
        large = [clip.frames for clip in self.clips if min(clip.frames.shape[2:]) >= self._size]
        weights = np.array([min(len(c), 100) ** 0.5 * (c.shape[2] * c.shape[3]) ** 0.25 for c in large])
        return large[rng.choice(len(large), p=weights / weights.sum())]


def batches(samples: Samples, first: int, last: int, *, workers: int = 0, pin: bool = False) -> Iterator[Batch]:
    """The batches of steps ``first`` to ``last`` − 1, in order, made ahead of time by ``workers`` processes."""
    yield from DataLoader(
        samples, batch_size=None, sampler=range(first, last), num_workers=workers, pin_memory=pin,
        prefetch_factor=4 if workers else None, worker_init_fn=one_thread,
    )  # fmt: skip
