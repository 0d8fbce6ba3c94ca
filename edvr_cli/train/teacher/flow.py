"""SPyNet (Ranjan and Black, 2017): optical flow from coarse to fine, as BasicVSR's checkpoints carry it.

Shapes: N pairs of frames, H W pixels. A flow is (N, 2, H, W) in (dx, dy) pixels and float32 in any precision of the
network: half precision is too coarse for positions. Attribute names equal the public checkpoints' keys.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SPyNet", "warp"]

_LEVELS = 6
_COARSEST = 2 ** (_LEVELS - 1)  # pixels of the frame per pixel of the coarsest level
_MIN_SIDE = 2 * _COARSEST  # pixels: on smaller frames the coarsest level sees too little
_CHANNELS = (8, 32, 64, 32, 16, 2)
_KERNEL = 7


class SPyNet(nn.Module):
    """Six small networks, one per level of a pyramid; each refines the flow of the level below."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(_Refinement() for _ in range(_LEVELS))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, frame: Tensor, other: Tensor) -> Tensor:
        """Where each pixel of ``frame`` lies in ``other``, relative to its own position.

        frame, other (N, 3, H, W) in [0, 1], at least one pixel, any floating dtype. Returns the flow (N, 2, H, W) in
        (dx, dy) pixels, float32: ``warp(other, flow)`` resembles ``frame``. Frames below 64 pixels are enlarged first.
        """
        H, W = frame.shape[-2:]
        enlargement = 1
        while min(H, W) * enlargement < _MIN_SIDE:
            enlargement *= 2
        size = tuple(-(-side * enlargement // _COARSEST) * _COARSEST for side in (H, W))
        pyramids = [self._pyramid(_resized(frames, size)) for frames in (frame, other)]
        flow = frame.new_zeros((len(frame), 2, size[0] // _COARSEST, size[1] // _COARSEST), dtype=torch.float32)
        for refine, own, others in zip(self.basic_module, *pyramids, strict=True):
            if own.shape[-1] > flow.shape[-1]:
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
            moved = warp(others, flow, padding="border")
            inputs = torch.cat((own, moved, flow.to(own.dtype)), dim=1)
            flow = flow + refine(inputs).float()
        scale = torch.tensor([W / size[1], H / size[0]], device=flow.device).view(1, 2, 1, 1)
        return _resized(flow, (H, W)) * scale

    def _pyramid(self, frames: Tensor) -> list[Tensor]:
        """Normalized frames at all levels, coarsest first, in the network's precision."""
        levels = [((frames - self.mean.float()) / self.std.float()).to(self.mean.dtype)]
        while len(levels) < _LEVELS:
            levels.insert(0, F.avg_pool2d(levels[0], 2))
        return levels


class _Refinement(nn.Module):
    """The correction of a flow, from the frame, the other frame moved by that flow, and the flow."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(_CHANNELS):
            layers += [nn.Conv2d(inputs, outputs, _KERNEL, padding=_KERNEL // 2), nn.ReLU(inplace=True)]
        self.basic_module = nn.Sequential(*layers[:-1])

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, 8, h, w) → (N, 2, h, w)."""
        return self.basic_module(inputs)


def warp(maps: Tensor, flow: Tensor, *, padding: str = "zeros") -> Tensor:
    """Sample ``maps`` (N, C, H, W) bilinearly at each pixel's position plus ``flow`` (N, 2, H, W) in (dx, dy) pixels.

    ``padding`` is that of ``grid_sample`` outside the map. Returns the shape and dtype of ``maps``; computed in
    float32.
    """
    H, W = maps.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(H, device=flow.device, dtype=torch.float32),
        torch.arange(W, device=flow.device, dtype=torch.float32),
        indexing="ij",
    )
    at = torch.stack((x, y)) + flow.float()
    span = torch.tensor([max(W - 1, 1), max(H - 1, 1)], device=flow.device).view(1, 2, 1, 1)
    grid = (2 * at / span - 1).permute(0, 2, 3, 1)
    return F.grid_sample(maps.float(), grid, "bilinear", padding_mode=padding, align_corners=True).to(maps.dtype)


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear, float32; unchanged where the size fits already."""
    maps = maps.float()
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
