"""The 3×3 convolution together with what follows it in EDVR, so that an implementation can fuse them.

Maps are (N, C, H, W). These are the definitions; ``winograd_cpu`` has the same in one pass for CPUs.
"""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Conv", "UpConv"]


class Conv(nn.Conv2d):
    """A 3×3 convolution, padded by one; then a map is added, then LeakyReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, stride, padding=1, bias=bias)

    def forward(self, x: Tensor, negative_slope: float = 1.0, add: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) → (N, O, H, W), the shape of ``add``. Slope 1: no LeakyReLU; 0: ReLU."""
        y = super().forward(x)
        if add is not None:
            y = y + add
        return y if negative_slope == 1.0 else F.leaky_relu(y, negative_slope, inplace=True)


class UpConv(Conv):
    """A convolution whose outputs become the pixels of a map twice as large: pixel-shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, 4 * outputs)

    def forward(self, x: Tensor, negative_slope: float = 1.0, add: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) → (N, O, 2·H, 2·W); ``add`` has four times the outputs, before the shuffle."""
        y = super().forward(x, negative_slope, add)
        # Torch's own keeps channels side by side on a CPU alone; elsewhere they would be brought together again.
        return F.pixel_shuffle(y, 2) if y.device.type == "cpu" else _shuffled(y)


def _shuffled(x: Tensor) -> Tensor:
    """Pixel-shuffle by 2, from and to channels_last: (N, 4·O, H, W) → (N, O, 2·H, 2·W)."""
    N, C, H, W = x.shape
    parts = x.permute(0, 2, 3, 1).unflatten(3, (C // 4, 2, 2))
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(N, 2 * H, 2 * W, C // 4).permute(0, 3, 1, 2)
