"""Convolutions together with what follows them in EDVR, so that an implementation can fuse them.

Maps are (N, C, H, W). These are the definitions; ``cpu.winograd`` has the same in one pass for CPUs, and on a GPU
one Triton kernel does all that follows a convolution (``triton.epilogue``, ``triton.resize``).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.ops.triton_status import attempt, fuses, is_pixels_first

__all__ = ["EPILOGUE", "SHUFFLE", "Conv", "UpConv", "activated_sum", "shuffled_in_steps"]

EPILOGUE, SHUFFLE = "the sum after a convolution", "pixel-shuffle"  # names of the Triton kernels


class Conv(nn.Conv2d):
    """A convolution with a kernel of 3 (or 1) that keeps the size; then a map is added, then LeakyReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, kernel: int = 3, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias)

    def forward(self, x: Tensor, negative_slope: float = 1.0, add: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) → (N, O, H, W). Slope 1: no LeakyReLU; 0: ReLU.

        ``add`` has the output's shape, or fewer images, which are repeated in turn.
        """
        if add is None and negative_slope == 1.0 and self.bias is None:
            return super().forward(x)
        if not fuses(x, self.weight, self.bias, add):
            return _finished(super().forward(x), None, add, negative_slope, in_place=True)
        y = self._conv_forward(x, self.weight, None)
        return _fused(y, self.bias, add, negative_slope, in_place=True)


class UpConv(Conv):
    """A convolution whose outputs become the pixels of a map twice as large: pixel-shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, 4 * outputs)

    def forward(self, x: Tensor, negative_slope: float = 1.0, add: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) → (N, O, 2·H, 2·W); ``add`` has four times the outputs, before the shuffle."""
        if add is None and fuses(x, self.weight, self.bias):
            whole = self._conv_forward(x, self.weight, None)
            y = attempt(x.device, SHUFFLE, lambda: _shuffled_by_triton(whole, self.bias, negative_slope))
            return _shuffled(_fused(whole, self.bias, None, negative_slope, in_place=True)) if y is None else y
        y = super().forward(x, negative_slope, add)
        # Torch's own keeps channels side by side on a CPU alone; elsewhere they would be brought together again.
        return F.pixel_shuffle(y, 2) if y.device.type == "cpu" else _shuffled(y)


def activated_sum(a: Tensor, b: Tensor, negative_slope: float) -> Tensor:
    """LeakyReLU of a + b as a new map; the images of b (M, C, H, W) are repeated in turn for a (N, C, H, W)."""
    finish = _fused if fuses(a, b) else _finished
    return finish(a, None, b, negative_slope, in_place=False)


def _fused(x: Tensor, bias: Tensor | None, add: Tensor | None, negative_slope: float, *, in_place: bool) -> Tensor:
    """:func:`_finished` by one Triton kernel where that works."""

    def launch() -> Tensor | None:
        from edvr_cli.ops.triton.epilogue import epilogue_triton  # noqa: PLC0415 (triton is optional)

        if not is_pixels_first(x, add):
            return None
        return epilogue_triton(x, bias, add, negative_slope, in_place=in_place)

    y = attempt(x.device, EPILOGUE, launch)
    return _finished(x, bias, add, negative_slope, in_place=in_place) if y is None else y


def _shuffled_by_triton(x: Tensor, bias: Tensor | None, negative_slope: float) -> Tensor | None:
    from edvr_cli.ops.triton.resize import shuffled_triton  # noqa: PLC0415 (triton is optional)

    C = x.shape[1]
    return shuffled_triton(x, bias, negative_slope) if is_pixels_first(x) and C & (C - 1) == 0 and x.numel() else None


def shuffled_in_steps(x: Tensor, bias: Tensor | None, negative_slope: float) -> Tensor:
    """What follows the convolution of an :class:`UpConv`, by torch's own operations."""
    return _shuffled(_finished(x, bias, None, negative_slope, in_place=False))


def _finished(x: Tensor, bias: Tensor | None, add: Tensor | None, negative_slope: float, *, in_place: bool) -> Tensor:
    """LeakyReLU of x + bias + add, in the memory of ``x`` where ``in_place``: the definition."""
    if bias is not None:
        x, in_place = x + bias.to(x.dtype).view(-1, 1, 1), True
    if add is not None:
        M = add.shape[0]
        x = x + add if M in (1, x.shape[0]) else (x.unflatten(0, (-1, M)) + add).flatten(0, 1)
        in_place = True
    return x if negative_slope == 1.0 else F.leaky_relu(x, negative_slope, inplace=in_place)


def _shuffled(x: Tensor) -> Tensor:
    """Pixel-shuffle by 2, from and to channels_last: (N, 4·O, H, W) → (N, O, 2·H, 2·W)."""
    N, C, H, W = x.shape
    parts = x.permute(0, 2, 3, 1).unflatten(3, (C // 4, 2, 2))
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(N, 2 * H, 2 * W, C // 4).permute(0, 3, 1, 2)
