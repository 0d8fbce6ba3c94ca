"""Quality of weights on held-out footage."""

import torch
from torch import Tensor

from edvr_cli.network.edvr import EDVR
from edvr_cli.system.hardware import multiplies_bfloat16
from edvr_cli.train.device.objective import restore_singles, restore_windows
from edvr_cli.train.device.pool import Pool

__all__ = ["validate"]

_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # BT.601, as the field measures
_BORDER = 8  # output pixels left out at each edge


@torch.no_grad()
def validate(model: EDVR, pool: Pool, *, per_shot: int = 6) -> dict[str, float]:
    """PSNR of the luma in dB, mean of ``per_shot`` frames per shot.

    ``clean``: bicubic frames; ``copies``: the same with copies of the middle frame; ``version N``: compressed ones.
    """
    model, device = model.eval(), pool.truth.device
    T, middle = model.config.frames, model.config.reference
    starts = [
        shot.first + n
        for shot in pool.shots
        for n in range(0, shot.length - T + 1, max(1, (shot.length - T + 1) // per_shot))
    ]
    index = torch.tensor([[start + t for t in range(T)] for start in starts], device=device)
    ways = {"clean": (0, index), "copies": (0, index[:, middle, None])}
    ways |= {f"version {n}": (n, index) for n in range(1, len(pool.versions))}
    found: dict[str, float] = {}
    for label, (version, windows) in ways.items():
        scores = []
        for row, of_truth in zip(windows, index[:, middle], strict=True):
            with torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device)):
                frames = pool.versions[version][row].float() / 255
                output = restore_singles(model, frames) if len(frames) == 1 else restore_windows(model, frames[None])[0]
            scores.append(_psnr((output[0].float() * 255).round().clamp(0, 255), pool.truth[of_truth].float()))
        found[label] = round(float(torch.stack(scores).mean()), 3)
    return found


def _psnr(restored: Tensor, truth: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=truth.device).view(3, 1, 1)
    inner = slice(_BORDER, -_BORDER)
    error = ((restored - truth) * weights).sum(dim=0)[inner, inner].square().mean()
    return 10 * torch.log10(255**2 / error)
