"""The deformable convolution where a device has no kernel of ours: torchvision's, or the definition in strips.

Both give what :func:`~edvr_cli.ops.deform_conv.deform_conv2d` promises, on any device and with gradients. Samples of
all taps, nine times the features, are in memory at once: without gradients a strip of rows at a time.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.ops.deform_conv_reference import convolve_rows, deform_conv2d_reference

__all__ = [
    "STRIP_BYTES",
    "deform_conv2d_in_strips",
    "deform_conv2d_torchvision",
    "torchvision_serves",
    "torchvision_works",
]

STRIP_BYTES = 256 * 2**20  # at most, of the samples of one strip


def torchvision_serves(device: torch.device) -> bool:
    """Whether torchvision's operation can be called on ``device`` now.

    It starts its kernels on the default stream, whichever stream is current: on another one they would not wait for
    what came before, and a CUDA graph is recorded without them. A network that was trained that way on an H100 had
    learned nothing from its neighbors.
    """
    if device.type == "cuda" and torch.cuda.current_stream(device) != torch.cuda.default_stream(device):
        return False
    return torchvision_works(device)


@lru_cache
def torchvision_works(device: torch.device) -> bool:
    """Whether torchvision is installed with an operation for ``device``; a tiny call is the proof."""
    try:
        from torchvision.ops import deform_conv2d  # noqa: PLC0415 (not a dependency)

        x, offset, weight = (torch.zeros(s, device=device) for s in ((1, 1, 3, 3), (1, 18, 3, 3), (1, 1, 3, 3)))
        deform_conv2d(x, offset, weight, padding=1)
    except (ImportError, RuntimeError, AttributeError, OSError):  # what builds that do not fit torch's raise
        return False
    return True


def deform_conv2d_torchvision(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """torchvision's operation, in float32 whatever the type of ``x``: half precision would round coordinates."""
    trains = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, offset, mask, weight, bias))
    if trains:
        return _by_torchvision(x, offset, mask, weight, bias, first=0).to(x.dtype)
    # Nine samples per channel and pixel.
    rows = _rows_per_strip(x.shape[1] * weight.shape[2] ** 2, x)
    return _stripped(_by_torchvision, x, [x, offset, mask, weight, bias], rows)


def deform_conv2d_in_strips(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """The definition; where no gradient is wanted, an image and a strip of rows at a time."""
    tensors = (x, offset, mask, weight, bias)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return deform_conv2d_reference(x, offset, mask, weight, bias)
    K = weight.shape[2] ** 2
    # Samples before and after the mask, and their coordinates several times over.
    rows = _rows_per_strip((2 * x.shape[1] + 6 * mask.shape[1] // K) * K, x)
    return _stripped(convolve_rows, x, list(tensors), rows)


def _rows_per_strip(values_per_pixel: int, x: Tensor) -> int:
    itemsize = 8 if x.dtype == torch.float64 else 4
    return max(1, STRIP_BYTES // (values_per_pixel * itemsize * max(1, x.shape[3])))


def _stripped(convolve, x: Tensor, tensors: list[Tensor | None], rows: int) -> Tensor:  # type: ignore[no-untyped-def]
    """``convolve`` per image and strip of ``rows`` rows at most: channels_last, in the type of ``x``."""
    source, offset, mask, weight, bias = tensors
    assert source is not None
    assert offset is not None
    assert mask is not None
    assert weight is not None
    N, _, H, W = x.shape
    rows = -(-H // max(1, -(-H // rows)))  # equal strips
    y = torch.empty((N, weight.shape[0], H, W), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    for n in range(N):
        for first in range(0, H, rows):
            part = slice(first, min(first + rows, H))
            y[n : n + 1, :, part] = convolve(
                source[n : n + 1], offset[n : n + 1, :, part], mask[n : n + 1, :, part], weight, bias, first=first
            )
    return y


def _by_torchvision(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *, first: int
) -> Tensor:
    """Rows of the output from ``first`` on, as many as offset and mask have, float32.

    The operation wants as many rows of offsets as its stride leaves of the image. So the stride is chosen to leave
    about so many, and its steps are taken back in the offsets.
    """
    from torchvision.ops import deform_conv2d  # noqa: PLC0415 (not a dependency)

    # Of a strip alone: in float32 the offsets of all images would be most of the memory.
    x, offset, mask, weight = (t.float() for t in (x, offset, mask, weight))
    bias = None if bias is None else bias.float()
    H, k = x.shape[2], weight.shape[2]
    rows = offset.shape[2]
    if rows == H:
        return deform_conv2d(x, offset, weight, bias, padding=k // 2, mask=mask)
    stride = (H - 1) // (rows - 1) if rows > 1 else H
    given = (H - 1) // stride + 1
    row = torch.arange(given, device=x.device, dtype=offset.dtype)
    back = torch.stack((first + row - stride * row, torch.zeros_like(row)))  # dy, dx
    offset = F.pad(offset, (0, 0, 0, given - rows)) + back.repeat(offset.shape[1] // 2, 1).view(1, -1, given, 1)
    mask = F.pad(mask, (0, 0, 0, given - rows))
    y = deform_conv2d(x, offset, weight, bias, stride=(stride, 1), padding=k // 2, mask=mask)
    return y[:, :, :rows]
