"""The loss of training on the device: the network on a batch of windows, and its distances from the targets.

Shapes: B samples, T frames, P input pixels on a side of a patch, h w any size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.image.sharpen import sharpened
from edvr_cli.network.edvr import EDVR

__all__ = ["displacement", "offset_distance", "restore_singles", "restore_windows", "sharpen"]

_SHARPEN_SIGMA = 3.0  # truth pixels
_FLAT = 0.03  # contrast below which a pixel says little about motion


def restore_windows(model: EDVR, window: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """:meth:`EDVR.forward` with all frames aligned at once: fewer and larger operations.

    window (B, T, 3, h, w) in [0, 1]. Returns the restored middle frames (B, 3, s·h, s·w) and the raw offsets of each
    pyramid level, by its name, (B·T, 3·G·K, …).
    """
    B, T = window.shape[:2]
    found: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(f"pcd_align.dcn_pack.{name}.conv_offset").register_forward_hook(
            lambda _m, _i, output, name=name: found.__setitem__(name, output)
        )
        for name in model.pcd_align.dcn_pack
    ]
    try:
        pyramid = model.extract(window.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        reference = [
            level.unflatten(0, (B, T))[:, model.config.reference].repeat_interleave(T, dim=0) for level in pyramid
        ]
        aligned = model.pcd_align(pyramid, reference)
    finally:
        for hook in hooks:
            hook.remove()
    return model.rebuild(model.fuse(aligned.unflatten(0, (B, T))), window[:, model.config.reference]), found


def restore_singles(model: EDVR, frame: Tensor) -> Tensor:
    """What :meth:`EDVR.forward` makes of windows that repeat one frame, for about a third of the time.

    frame (B, 3, h, w) in [0, 1]. Returns (B, 3, s·h, s·w).
    """
    pyramid = model.extract(frame.contiguous(memory_format=torch.channels_last))
    aligned = model.pcd_align(pyramid, pyramid).unsqueeze(1).expand(-1, model.config.frames, -1, -1, -1)
    return model.rebuild(model.fuse(aligned), frame)


def displacement(packed: Tensor) -> Tensor:
    """(N, 3·G·K, h, w) → the mean displacement (N, 2, h, w) over groups and taps, (dy, dx), float32."""
    return packed[:, : packed.shape[1] // 3 * 2].float().unflatten(1, (-1, 2)).mean(dim=1)


def offset_distance(offsets: dict[str, Tensor], window: Tensor, flow: Tensor) -> Tensor:
    """Mean distance of the offsets from the known motion in full-size pixels, summed over the levels.

    flow (B, T, 2, P, P), NaN where unknown. A pixel counts where the motion is known, and by how much better moving the
    neighbor by it explains the reference than its contrast does: occlusions and flat ground do not count.
    """
    weight = _usefulness(window, flow).flatten(0, 1)
    known = flow.nan_to_num().flatten(0, 1)
    total = window.new_zeros(())
    for name, packed in offsets.items():
        size = 2 ** (int(name[1:]) - 1)  # l1, l2, l3: full, half and quarter size
        truth, share = F.avg_pool2d(known, size) / size, F.avg_pool2d(weight, size)
        distance = ((displacement(packed) - truth).square().sum(dim=1, keepdim=True) + 1e-4).sqrt()
        total = total + size * (distance * share).sum() / (share.sum() + 1.0)
    return total


def sharpen(frames: Tensor, strength: float) -> Tensor:
    """``frames`` (B, 3, h, w) in [0, 1] with an unsharp mask added ``strength`` times."""
    return sharpened(frames.flatten(0, 1), strength, _SHARPEN_SIGMA).view_as(frames).clamp(0, 1)


@torch.no_grad()
def _usefulness(window: Tensor, flow: Tensor) -> Tensor:
    """(B, T, 1, P, P): 0 where the motion is unknown or explains nothing, up to 1 on texture that it explains."""
    B, T, _, h, w = window.shape
    middle = window[:, T // 2, None].expand_as(window).flatten(0, 1)
    frames, motion = window.flatten(0, 1), flow.flatten(0, 1)
    row, column = (torch.arange(n, device=window.device, dtype=torch.float32) + 0.5 for n in (h, w))
    y = (motion[:, 0] + row[:, None]) * (2 / h) - 1
    x = (motion[:, 1] + column) * (2 / w) - 1
    inside = (y.abs() < 1) & (x.abs() < 1)
    moved = F.grid_sample(frames, torch.stack((x, y), dim=-1).nan_to_num(), padding_mode="border", align_corners=False)
    left = _mean5((moved - middle).abs().mean(dim=1, keepdim=True))
    luma = middle.mean(dim=1, keepdim=True)
    contrast = (_mean5(luma.square()) - _mean5(luma).square()).clamp(min=0).sqrt()
    explained = (1 - left / (contrast + 1e-3)).clamp(0, 1)
    known = motion.isfinite().all(dim=1, keepdim=True) & inside[:, None]
    return (contrast / (contrast + _FLAT) * explained * known).unflatten(0, (B, T))


def _mean5(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 5, stride=1, padding=2)
