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
        return F.pixel_shuffle(super().forward(x, negative_slope, add), 2)
