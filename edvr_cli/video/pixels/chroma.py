"""Chroma upsampling and downsampling that undo each other.

Each axis is a pair (up, down) of short filters with ``down(up(x)) == x`` up to float rounding, whatever the
borders and odd sizes: an image that nothing changed returns with the chroma it came with. Both members of
each pair keep linear ramps, so that neither shifts color against luma.

- *cosited* (a chroma sample lies on an even luma sample): up is linear interpolation, down the 5-tap
  low-pass (-1, 2, 6, 2, -1)/8. Together they are the 5/3 lifting scheme with its detail band left out.
- *centered* (a chroma sample lies midway between two luma samples): down is the mean of the two, up the
  3-tap slope estimate that has this mean.

Legend: N planes, H W full size, h w half size, rounded up.
"""

import torch
from torch import Tensor


def upsample(x: Tensor, *, axis: int, size: int, centered: bool) -> Tensor:
    """Double ``x`` (N, h, w) along ``axis`` (-1 or -2) to ``size`` samples; float in, float out."""
    before, after = _neighbors(x, axis)
    if centered:
        slope = (after - before).mul_(0.125)
        if size % 2:  # The second half of the last pair is not there to restore the mean: leave it flat.
            slope.narrow(axis, -1, 1).zero_()
        even, odd = x - slope, x + slope
    else:
        even, odd = x, torch.lerp(x, after, 0.5)
    shape = list(x.shape)
    shape[axis] *= 2
    out = x.new_empty(shape)
    _every_second(out, axis, 0).copy_(even)
    _every_second(out, axis, 1).copy_(odd)
    return out.narrow(axis, 0, size)


def downsample(x: Tensor, *, axis: int, centered: bool) -> Tensor:
    """Halve ``x`` (N, H, W) along ``axis`` (-1 or -2), rounding the size up; float in, float out."""
    even, odd = _every_second(x, axis, 0), _every_second(x, axis, 1)
    if x.shape[axis] % 2:
        odd = torch.cat([odd, even.narrow(axis, -1, 1)], axis)
    if centered:
        return torch.lerp(even, odd, 0.5)
    after = torch.cat([even.narrow(axis, 1, even.shape[axis] - 1), even.narrow(axis, -1, 1)], axis)
    detail = odd - torch.lerp(even, after, 0.5)
    low = torch.add(even, detail, alpha=0.25)
    low.narrow(axis, 1, low.shape[axis] - 1).add_(detail.narrow(axis, 0, low.shape[axis] - 1), alpha=0.25)
    low.narrow(axis, 0, 1).add_(detail.narrow(axis, 0, 1), alpha=0.25)
    return low


def _neighbors(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """``x`` moved by one sample each way along ``axis``, the border repeated."""
    size = x.shape[axis]
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, -1, 1)
    return (
        torch.cat([first, x.narrow(axis, 0, size - 1)], axis),
        torch.cat([x.narrow(axis, 1, size - 1), last], axis),
    )


def _every_second(x: Tensor, axis: int, start: int) -> Tensor:
    return x[..., start::2] if axis == -1 else x[..., start::2, :]
