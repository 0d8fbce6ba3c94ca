"""BasicVSR (Chan et al., 2021): a recurrent ×4 network with trained weights, for training others and as a yardstick.

Features travel through a clip once backward and once forward, moved by optical flow from frame to frame. Attribute
names equal the public checkpoints' keys.

Shapes: B batch, T frames, C features, h w pixels of the input.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.train.teacher.flow import SPyNet, warp

__all__ = ["BasicVSR", "Trunk"]

_SLOPE = 0.1


class BasicVSR(nn.Module):
    """The whole network; weights are random until a state dict is loaded. Any device, any floating dtype."""

    def __init__(self, features: int = 64, blocks: int = 30, tail: int = 64) -> None:
        super().__init__()
        C = features
        self.features = features
        self.spynet = SPyNet()
        self.backward_trunk = Trunk(C, blocks)
        self.forward_trunk = Trunk(C, blocks)
        self.fusion = nn.Conv2d(2 * C, C, 1)
        self.upconv1 = nn.Conv2d(C, 4 * C, 3, padding=1)
        self.upconv2 = nn.Conv2d(C, 4 * tail, 3, padding=1)
        self.conv_hr = nn.Conv2d(tail, tail, 3, padding=1)
        self.conv_last = nn.Conv2d(tail, 3, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        """Restore every frame of a clip: (B, T, 3, h, w) in [0, 1] → (B, T, 3, 4·h, 4·w), not clamped."""
        features = self.propagate(frames)
        # Frame by frame: the maps at output size are sixteen times as large.
        restored = [self.upsample(features[:, t], frames[:, t]) for t in range(frames.shape[1])]
        return torch.stack(restored, dim=1)

    def middle(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """The middle frame of a window (B, T, 3, h, w), T odd: its fused features and the restored frame.

        Returns (B, C, h, w) and (B, 3, 4·h, 4·w). Equal to the middle of :meth:`forward` in half of the time: each
        direction ends at the middle frame.
        """
        T = window.shape[1]
        half = T // 2
        later = self._run(self.backward_trunk, window[:, half:].flip(1))[-1]
        earlier = self._run(self.forward_trunk, window[:, : half + 1])[-1]
        features = self.fuse(later, earlier)
        return features, self.upsample(features, window[:, half])

    def flow(self, frame: Tensor, other: Tensor) -> Tensor:
        """Where each pixel of ``frame`` lies in ``other``; both (N, 3, H, W) in [0, 1].

        Returns (N, 2, H, W) in (dx, dy) pixels, float32.
        """
        return self.spynet(frame, other)

    def propagate(self, frames: Tensor) -> Tensor:
        """The features of every frame that :meth:`upsample` takes: (B, T, 3, h, w) → (B, T, C, h, w)."""
        later = self._run(self.backward_trunk, frames.flip(1))[::-1]
        earlier = self._run(self.forward_trunk, frames)
        return torch.stack([self.fuse(*pair) for pair in zip(later, earlier, strict=True)], dim=1)

    def fuse(self, later: Tensor, earlier: Tensor) -> Tensor:
        """Join the features of both directions, (B, C, h, w) each → (B, C, h, w)."""
        return _lrelu(self.fusion(torch.cat((later, earlier), dim=1)))

    def upsample(self, features: Tensor, frame: Tensor) -> Tensor:
        """Fused features (B, C, h, w) and their frame (B, 3, h, w) → the restored frame (B, 3, 4·h, 4·w)."""
        x = _lrelu(F.pixel_shuffle(self.upconv1(features), 2))
        x = _lrelu(F.pixel_shuffle(self.upconv2(x), 2))
        x = self.conv_last(_lrelu(self.conv_hr(x)))
        return x + F.interpolate(frame, scale_factor=4, mode="bilinear", align_corners=False)

    def _run(self, trunk: "Trunk", frames: Tensor) -> list[Tensor]:
        """The features of each of ``frames`` (B, T, 3, h, w), given those of the frames before it."""
        B, T = frames.shape[:2]
        carried = frames.new_zeros((B, self.features, *frames.shape[-2:]))
        found: list[Tensor] = []
        if T > 1:
            flows = self.flow(frames[:, 1:].flatten(0, 1), frames[:, :-1].flatten(0, 1)).unflatten(0, (B, T - 1))
        for t in range(T):
            if t > 0:
                carried = warp(carried, flows[:, t - 1])
            carried = trunk(frames[:, t], carried)
            found.append(carried)
        return found


class Trunk(nn.Module):
    """A convolution of a frame and the features carried to it, then residual blocks."""

    def __init__(self, features: int, blocks: int) -> None:
        super().__init__()
        C = features
        self.main = nn.Sequential(
            nn.Conv2d(3 + C, C, 3, padding=1),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Sequential(*(_Block(C) for _ in range(blocks))),
        )

    def forward(self, frame: Tensor, carried: Tensor) -> Tensor:
        """(B, 3, h, w) and (B, C, h, w) → (B, C, h, w)."""
        return self.main(torch.cat((frame, carried), dim=1))


class _Block(nn.Module):
    """x + conv2(relu(conv1(x)))."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → the same shape."""
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE, inplace=True)
