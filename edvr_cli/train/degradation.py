"""Degradation: true frames as a camera, a scaler and a codec would deliver them, for the network's inputs.

Shapes: T frames of one window, H W pixels of the truth. Frames are (T, 3, H, W) RGB; every parameter is drawn once
for all T, as one camera and one encoder make a clip, and only noise differs from frame to frame. Randomness
comes from the generator that is handed in and nowhere else.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.image.resize import Kernel, benchmark_lr, resize
from edvr_cli.image.sharpen import sharpened
from edvr_cli.video.quality_scales import CODECS, Codec
from edvr_cli.video.recompress import recompress

__all__ = ["Degradation", "clean", "compress", "real", "simulate_camera"]

_KERNELS: tuple[Kernel, ...] = ("bicubic", "lanczos", "area")
# Mild to strong, on each codec's own scale: from hardly visible to obvious blocks.
_QUALITIES: dict[Codec, tuple[int, int]] = {"h264": (17, 36), "hevc": (18, 38), "vp9": (20, 52), "mpeg4": (2, 12)}


@dataclass(frozen=True)
class Degradation:
    """The chain of the ``real`` recipe; the chances are those at full strength."""

    blur_chance: float = 0.6
    blur_sigma: float = 2.4  # at most, in pixels of the truth (a quarter of an input pixel each at ×4)
    noise_chance: float = 0.5
    noise_sigma: float = 8.0  # at most, of 255
    compression_chance: float = 0.85
    codecs: tuple[Codec, ...] = CODECS
    copy_chance: float = 0.25  # of an earlier copy at another size, encoded as well
    copy_sizes: tuple[float, float] = (0.7, 1.6)  # of that copy, times the input's
    halo_chance: float = 0.25
    halo_amount: float = 1.0  # of sharpening, at most
    interlace_chance: float = 0.08
    interlace_share: float = 0.5  # at most, of the next field in every second row


def clean(truth: Tensor, scale: int = 4) -> Tensor:
    """The benchmarks' inputs: (T, 3, H, W) uint8 → (T, 3, H / scale, W / scale) uint8, MATLAB's bicubic, exact."""
    return benchmark_lr(truth, scale=scale)


def real(
    truth: Tensor, rng: np.random.Generator, *, scale: int = 4, strength: float = 1.0, chain: Degradation | None = None
) -> Tensor:
    """Blur, a random downscale, what others did to the small clip, noise, and real video compression.

    What others did: a copy at another size that was compressed, as platforms and messengers make them; sharpening with
    its halos; rows of two fields that were put together badly.

    truth (T, 3, H, W) uint8, H and W multiples of ``scale``; ``strength`` 0 to 1 scales how likely and how strong each
    part is (0: only the random downscale), for a curriculum. Returns (T, 3, H / scale, W / scale) uint8. Raises
    ValueError on other shapes or strengths.
    """
    shape = tuple(truth.shape)
    if len(shape) != 4 or shape[1] != 3 or truth.dtype != torch.uint8 or shape[2] % scale or shape[3] % scale:
        raise ValueError(f"expected uint8 frames (T, 3, H, W) with sides that {scale} divides, got {shape}")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 and 1, got {strength}")
    chain = chain or Degradation()
    frames = truth.float()
    if rng.random() < chain.blur_chance * strength:
        frames = _blur(frames, _blur_kernel(rng, chain.blur_sigma * strength))
    height, width = shape[2] // scale, shape[3] // scale
    if rng.random() < chain.copy_chance * strength:
        factor = rng.uniform(*chain.copy_sizes)
        frames = _shrunk(frames, round(height * factor), round(width * factor), rng)
        frames = compress(frames.round().clamp(0, 255).byte(), rng, strength=strength, codecs=chain.codecs).float()
    frames = _shrunk(frames, height, width, rng)
    if rng.random() < chain.halo_chance * strength:
        amount, sigma = rng.random() * chain.halo_amount * strength, rng.uniform(0.5, 1.5)
        frames = sharpened(frames.flatten(0, 1), amount, sigma).view_as(frames)
    if rng.random() < chain.interlace_chance * strength:
        frames = _interlaced(frames, rng.random() * chain.interlace_share * strength)
    return simulate_camera(frames, rng, strength=strength, chain=chain)


def simulate_camera(
    frames: Tensor, rng: np.random.Generator, *, strength: float = 1.0, chain: Degradation | None = None
) -> Tensor:
    """Simulate a camera: the sensor's noise and the encoder's compression, each with its probability.

    frames (T, 3, H, W), of 255, any real type; ``strength`` as in :func:`real`. Returns the same shape, uint8.
    """
    chain = chain or Degradation()
    frames = frames.float()
    if rng.random() < chain.noise_chance * strength:
        frames = frames + _noise(frames, rng, chain.noise_sigma * strength * rng.random())
    recorded = frames.round().clamp(0, 255).byte()
    if rng.random() < chain.compression_chance * strength:
        recorded = compress(recorded, rng, strength=strength, codecs=chain.codecs)
    return recorded


def compress(
    frames: Tensor, rng: np.random.Generator, *, strength: float = 1.0, codecs: tuple[Codec, ...] = CODECS
) -> Tensor:
    """One group of pictures of a random codec at a random quality: (T, 3, H, W) uint8 → the same."""
    codec = codecs[rng.integers(len(codecs))]
    best, worst = _QUALITIES[codec]
    return recompress(frames, codec, round(best + (worst - best) * strength * rng.random()))


def _shrunk(frames: Tensor, height: int, width: int, rng: np.random.Generator) -> Tensor:
    return resize(frames, (height, width), _KERNELS[rng.integers(len(_KERNELS))])


def _interlaced(frames: Tensor, share: float) -> Tensor:
    """Every second row partly of the next frame, as deinterlacers leave it where something moves."""
    mixed = frames.clone()
    mixed[:-1, :, 1::2] = frames[:-1, :, 1::2].lerp(frames[1:, :, 1::2], share)
    return mixed


def _blur_kernel(rng: np.random.Generator, most: float) -> Tensor:
    """A normalized Gaussian with random axes and angle, or a defocus disk: (k, k), k odd."""
    across, along = np.sort(rng.uniform(0.2, max(0.25, most), size=2))
    angle = rng.uniform(0, math.pi)
    radius = max(1, math.ceil(2.5 * along))
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    if rng.random() < 0.25:
        # Its edge is soft over one pixel, so that the radius acts continuously.
        kernel = (float(along) * 1.5 + 0.5 - (x**2 + y**2).sqrt()).clamp(0, 1)
    else:
        u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        kernel = torch.exp(-0.5 * ((u / float(along)) ** 2 + (v / float(across)) ** 2))
    return kernel / kernel.sum()


def _blur(frames: Tensor, kernel: Tensor) -> Tensor:
    radius = kernel.shape[-1] // 2
    padded = F.pad(frames, (radius,) * 4, mode="replicate").flatten(0, 1).unsqueeze(1)
    return F.conv2d(padded, kernel[None, None]).view_as(frames)


def _noise(frames: Tensor, rng: np.random.Generator, sigma: float) -> Tensor:
    """Sensor noise: grows with the root of brightness, partly shared by the channels, new in each frame."""
    T, C, H, W = frames.shape
    shared = rng.standard_normal((T, 1, H, W), dtype=np.float32)
    own = rng.standard_normal((T, C, H, W), dtype=np.float32)
    share = rng.random()
    noise = torch.from_numpy(share * shared + math.sqrt(1 - share**2) * own)
    return noise * sigma * (0.4 + 0.6 * (frames / 255).clamp(0, 1).sqrt())
