"""Motion-blurred windows made on the device: stills moved along camera and object paths, averaged over an exposure.

The scenes are those of :mod:`edvr_cli.train.synthetic_motion`, for a whole batch at once. Hand shake is added: fast,
small turns and shifts within the exposure.

Shapes: B samples, T frames of a window, K instants of an exposure, P pixels on a side of a patch, H W of a still.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.train.device.pool import Pool
from edvr_cli.train.device.sampler import DeviceBatch

__all__ = ["BlurSampler"]

_GAMMA = 2.2  # averaging is done in linear light
_INSTANTS = 13
_SHAKE = 0.4  # share of paths that are hand shake; the others are smooth
_SHARP = 0.1  # share of samples with next to no exposure, so that sharp frames stay sharp
_OBJECTS = 0.5  # share of samples with something moving in front
_SPIN = 0.006  # radians per frame, deviation of smooth paths
_SHAKE_SPIN = 0.01  # radians, amplitude of a hand's turns


@dataclass
class BlurSampler:
    """Draws batches of blurred windows and the sharp middle frame; nothing in a draw waits for the device."""

    pool: Pool
    generator: torch.Generator  # on the pool's device
    frames: int = 5
    batch: int = 16
    patch: int = 192  # pixels, a multiple of 16
    speed: float = 12.0  # pixels per frame, at most

    def __post_init__(self) -> None:
        """Raise ValueError where the patch does not fit."""
        if self.patch % 16 or self.patch > min(self.pool.truth.shape[-2:]):
            raise ValueError(
                f"patch must be a multiple of 16 and at most {min(self.pool.truth.shape[-2:])}, got {self.patch}"
            )
        height, width = self.pool.truth.shape[-2:]
        size = torch.tensor([width, height], device=self.pool.truth.device)
        # Made here, since a draw that copies from the host cannot be recorded.
        self._spare, self._to_grid = size - self.patch, 2 / size

    @torch.no_grad()
    def draw(self) -> DeviceBatch:
        """The next batch: window (B, T, 3, P, P) and truth (B, 3, P, P)."""
        B, T, K, P = self.batch, self.frames, _INSTANTS, self.patch
        device = self.pool.truth.device
        shutter = 0.3 + 0.7 * self._uniform(B)
        shutter = torch.where(self._uniform(B) < _SHARP, 0.1 * self._uniform(B), shutter)
        within = torch.linspace(-0.5, 0.5, K, device=device)
        times = torch.arange(T, device=device)[:, None] - T // 2 + shutter[:, None, None] * within
        times = times.flatten(1)  # (B, T·K); the middle one is 0
        background, foreground = self._stills(), self._stills()
        H, W = background.shape[-2:]
        cover = self._blobs(H, W) * (self._uniform(B) < _OBJECTS).float().view(B, 1, 1, 1)
        center = (self._uniform(2 * B).view(B, 2) - 0.5) * self._spare
        picture = self._sample(background, self._points(times, center))
        front = self._sample(torch.cat((foreground, cover), dim=1), self._points(times, center))
        share = front[:, 3:].clamp(0, 1)
        moments = (picture * (1 - share) + front[:, :3] * share).clamp(0, 1)
        moments = moments.unflatten(2, (T, K, P))  # (B, 3, T, K, P, P)
        truth = moments[:, :, T // 2, K // 2]
        window = moments.pow(_GAMMA).mean(dim=3).clamp(min=1e-8).pow(1 / _GAMMA).transpose(1, 2)
        known = torch.zeros(B, dtype=torch.bool, device=device)
        return DeviceBatch(_as_stored(window), _as_stored(truth), None, known)

    def _stills(self) -> Tensor:
        """Random frames (B, 3, H, W) in [0, 1], half of them mirrored."""
        index = (self._uniform(self.batch) * len(self.pool.truth)).long()
        frames = self.pool.truth[index].float() / 255
        return torch.where((self._uniform(self.batch) < 0.5).view(-1, 1, 1, 1), frames, frames.flip(-1))

    def _blobs(self, height: int, width: int) -> Tensor:
        """Random soft-edged shapes (B, 1, H, W) in [0, 1]."""
        coarse = torch.randn(self.batch, 1, 4, 6, generator=self.generator, device=self.pool.truth.device)
        smooth = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
        return (smooth * 30).sigmoid()

    def _points(self, times: Tensor, center: Tensor) -> Tensor:
        """Points of the still that a patch on a random path shows: (B, N, P, P, 2), (x, y) from the still's middle."""
        B, P = self.batch, self.patch
        shaken = self._uniform(B) < _SHAKE
        speed = self.speed * self._uniform(B)
        angle = 2 * torch.pi * self._uniform(B)
        velocity = torch.stack((angle.cos(), angle.sin()), dim=-1) * speed[:, None]
        velocity = velocity * torch.where(shaken, 0.15, 1.0)[:, None]
        bend = 0.08 * velocity.norm(dim=-1, keepdim=True) * self._normal(2 * B).view(B, 2)
        # A hand shakes with about the same blur at any rate: amplitude times rate is the speed.
        rate = torch.where(shaken, 0.8 + 3.5 * self._uniform(B), 0.5 + 2.0 * self._uniform(B))
        smooth_size = 0.2 * speed * (self._uniform(B) < 0.5)
        size = torch.where(shaken, 0.6 * speed / rate, smooth_size)
        amplitude = size[:, None] * self._normal(2 * B).view(B, 2)
        phase = 2 * torch.pi * self._uniform(3 * B).view(3, B, 1)
        spin = torch.where(shaken, 0.0, _SPIN) * self._normal(B)
        turn = torch.where(shaken, _SHAKE_SPIN, 0.0) * self._normal(B) * (speed / self.speed)
        zoom = _SPIN * self._normal(B)

        def wave(n: int) -> Tensor:
            at = rate[:, None] * times
            return torch.sin(at + phase[n]) - torch.sin(phase[n])  # nothing at time 0

        shift = velocity[:, None] * times[..., None] + bend[:, None] * times[..., None] ** 2
        shift = shift + amplitude[:, None] * torch.stack((wave(0), wave(1)), dim=-1)
        turned = spin[:, None] * times + turn[:, None] * wave(2)
        scale = torch.exp(zoom[:, None] * times)
        cosine, sine = scale * turned.cos(), scale * turned.sin()
        axis = torch.arange(P, device=times.device) - (P - 1) / 2
        x, y = axis.view(1, 1, 1, P), axis.view(1, 1, P, 1)
        cosine, sine = cosine[:, :, None, None], sine[:, :, None, None]
        place = (center[:, None] + shift)[:, :, None, None]
        return torch.stack((cosine * x - sine * y + place[..., 0], sine * x + cosine * y + place[..., 1]), dim=-1)

    def _sample(self, still: Tensor, points: Tensor) -> Tensor:
        """Bicubic samples of ``still`` (B, C, H, W) at ``points`` (B, N, P, P, 2) → (B, C, N·P, P)."""
        grid = (points * self._to_grid).flatten(1, 2)
        return F.grid_sample(still, grid, "bicubic", padding_mode="reflection", align_corners=False)

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator, device=self.pool.truth.device)

    def _normal(self, count: int) -> Tensor:
        return torch.randn(count, generator=self.generator, device=self.pool.truth.device)


def _as_stored(frames: Tensor) -> Tensor:
    """Rounded to 256 levels, as a file has them."""
    return (frames * 255).round() / 255
