"""Paths along which the layers of synthetic scenes move: smooth ones, and those of a hand that holds a camera.

Time is in frames, 0 at the reference; positions are in pixels, measured from the middle of the picture, (x, y).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["HandShake", "Motion", "Path", "affine", "random_motion", "random_path", "random_shake"]

_WAVES = 6  # of a hand's shake in each direction
_RATES = 0.15, 3.5  # radians per frame: at 30 frames a second from 0.7 to 17 Hz, where hands tremble
_SHAKEN = 0.5  # share of cameras that a hand holds
_TURN = 1 / 300  # radians that a hand turns while it shifts the picture by a pixel


class Motion(Protocol):
    """Where a layer is at each instant: a scene point q lies on the layer's point A(t) q + b(t)."""

    def at(self, times: Tensor) -> Tensor:
        """Affine maps (N, 2, 3) at ``times`` (N,); the identity at time 0."""


@dataclass(frozen=True)
class Path:
    """A smooth path: a camera that pans, or a thing that passes."""

    velocity: tuple[float, float] = (0.0, 0.0)  # pixels per frame
    acceleration: tuple[float, float] = (0.0, 0.0)  # pixels per frame²
    shake: tuple[float, float] = (0.0, 0.0)  # amplitude in pixels
    shake_rate: float = 1.0  # radians per frame
    spin: float = 0.0  # radians per frame
    zoom: float = 0.0  # change of the logarithm of the size per frame

    def at(self, times: Tensor) -> Tensor:
        """Affine maps (N, 2, 3) at ``times`` (N,); the identity at time 0."""
        wave = torch.sin(self.shake_rate * times)
        x, y = (
            v * times + a * times**2 + s * wave
            for v, a, s in zip(self.velocity, self.acceleration, self.shake, strict=True)
        )
        return affine(torch.exp(self.zoom * times), self.spin * times, x, y)


@dataclass(frozen=True)
class HandShake:
    """A camera in a hand: shifts and turns that are sums of waves, so that it moves within an exposure, too."""

    rates: Tensor  # (3, W) radians per frame: of shifts in x and y, and of turns
    sizes: Tensor  # (3, W) pixels, pixels, radians
    phases: Tensor  # (3, W) radians

    def at(self, times: Tensor) -> Tensor:
        """Affine maps (N, 2, 3) at ``times`` (N,); the identity at time 0."""
        waves = torch.sin(self.rates * times[:, None, None] + self.phases) - torch.sin(self.phases)
        x, y, angle = (waves * self.sizes).sum(dim=-1).unbind(dim=-1)
        return affine(torch.ones_like(times), angle, x, y)


def random_motion(rng: np.random.Generator, speed: float) -> Motion:
    """A camera that pans, mostly slowly, or shakes in a hand, at up to ``speed`` pixels per frame."""
    if rng.random() < _SHAKEN:
        return random_shake(rng, speed)
    return random_path(rng, speed, slowness=1.0)


def random_path(rng: np.random.Generator, speed: float, *, slowness: float = 1.5) -> Path:
    """A path of at most about ``speed`` pixels per frame; with ``slowness`` above 1, slow paths are more likely."""
    v, direction = speed * rng.random() ** slowness, rng.uniform(0, 2 * math.pi)
    velocity = v * math.cos(direction), v * math.sin(direction)
    bend, shake = rng.normal(scale=0.08 * v, size=2), rng.normal(scale=0.2 * v, size=2) * (rng.random() < 0.5)
    turn = rng.normal(scale=0.006 * min(1, speed / 4), size=2)
    return Path(
        velocity,
        (float(bend[0]), float(bend[1])),
        (float(shake[0]), float(shake[1])),
        float(rng.uniform(0.5, 2.5)),
        float(turn[0]),
        float(turn[1]),
    )


def random_shake(rng: np.random.Generator, speed: float) -> HandShake:
    """A hand's path of at most about ``speed`` pixels per frame."""
    low, high = np.log(_RATES)
    rates = np.exp(rng.uniform(low, high, size=(3, _WAVES)))
    # Each wave has its share of the speed, whatever its rate: slow ones are wide, fast ones narrow.
    speeds = rng.normal(size=(3, _WAVES)) * (speed * rng.random() / math.sqrt(_WAVES))
    speeds[2] *= _TURN
    phases = rng.uniform(0, 2 * math.pi, size=(3, _WAVES))
    return HandShake(*(torch.from_numpy(part).float() for part in (rates, speeds / rates, phases)))


def affine(scale: Tensor, angle: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Maps (N, 2, 3) that scale, turn (radians) and shift (pixels); (N,) each."""
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = torch.stack((cosine, -sine, x), -1), torch.stack((sine, cosine, y), -1)
    return torch.stack(rows, dim=-2)
