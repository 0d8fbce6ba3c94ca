"""The network divided into stages, between which the engine keeps results; functions of tensors.

Shapes: T frames of a window, C features, h w size of a feature map, H W of the input, s scale; of one image unless
said otherwise.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edvr_cli.inference.torch_compile import Compiler
from edvr_cli.network.edvr import EDVR, SLOPE, Pyramid
from edvr_cli.ops.conv import Conv, activated_sum

__all__ = ["Features", "Reference", "Stages", "batch_of", "join_images", "join_maps"]


class Features(NamedTuple):
    """What depends on single frames alone: pyramids, and the half of the convolutions over pairs as neighbor.

    The halves take as much memory as the pyramids; where they are None, they are computed when they are needed.
    """

    pyramid: Pyramid
    halves: list[Tensor] | None

    def of_image(self, i: int) -> "Features":
        """Those of the ``i``-th image of a batch."""
        one = slice(i, i + 1)
        halves = None if self.halves is None else [half[one] for half in self.halves]
        return Features([level[one] for level in self.pyramid], halves)


def batch_of(images: list[Features]) -> Features:
    """Features of single images as those of a batch."""
    halves = [own.halves for own in images if own.halves is not None]
    return Features(join_maps([own.pyramid for own in images]), join_maps(halves) if halves else None)


def join_maps(maps: list[list[Tensor]]) -> list[Tensor]:
    """Lists of maps of one image each, as one list of maps of all images."""
    return maps[0] if len(maps) == 1 else [torch.cat(level) for level in zip(*maps, strict=True)]


def join_images(frames: list[Tensor]) -> Tensor:
    """Frames (3, H, W) as (B, 3, H, W) with their channels side by side."""
    return torch.stack(frames).contiguous(memory_format=torch.channels_last)


class Reference(NamedTuple):
    """Reference frames' half of the convolutions over pairs, and of the cascade's where there is one."""

    halves: list[Tensor]
    cascade: Tensor | None


class Stages:
    """A model's stages; ``replace`` may exchange modules for faster ones, ``compiler`` compile the stages.

    The convolutions over a pair of frames are cut into two halves whose sum they are.
    """

    def __init__(
        self,
        model: EDVR,
        *,
        replace: Callable[[nn.Module], None] = lambda _: None,
        compiler: Compiler | None = None,
    ) -> None:
        self.model = model
        alignment = model.pcd_align
        self._pairs = [_halves(alignment.offset_conv1[f"l{i + 1}"]) for i in range(model.config.levels)]
        self._cascade = _halves(alignment.cas_offset_conv1) if model.config.cascade else nn.ModuleList()
        for network in (model, *self._pairs, self._cascade):
            replace(network)
        if compiler is not None:
            for stage in (self.extract, self.prepare_reference, self.align, self.fuse, self.reconstruct, self.upsample):
                setattr(self, stage.__name__, compiler(stage))

    def modules(self) -> Iterator[nn.Module]:
        """Every module that a window goes through."""
        for network in (self.model, *self._pairs, self._cascade):
            yield from network.modules()

    def extract(self, frame: Tensor) -> Features:
        """Features of frames (B, 3, H, W) in the network's type."""
        pyramid = self.model.extract(frame)
        return Features(pyramid, self._as_neighbor(pyramid))

    def prepare_reference(self, pyramid: Pyramid) -> Reference:
        """What all frames of windows are aligned to, from their references' pyramids."""
        halves = [half(x) for (_, half), x in zip(self._pairs, pyramid, strict=True)]
        return Reference(halves, self._cascade[1](pyramid[0]) if self._cascade else None)

    def align(self, own: Features, reference: Reference) -> Tensor:
        """N neighbors' features where their references have them: (N, C, h, w).

        Of B references, which are repeated in turn: neighbor n belongs to window n modulo B.
        """
        compare = None
        if reference.cascade is not None:
            constant = reference.cascade

            def compare(aligned: Tensor) -> Tensor:
                return self._cascade[0](aligned, SLOPE, add=constant)

        halves = self._as_neighbor(own.pyramid) if own.halves is None else own.halves
        pairs = [activated_sum(a, b, SLOPE) for a, b in zip(halves, reference.halves, strict=True)]
        return self.model.pcd_align.align(own.pyramid, pairs, compare)

    def _as_neighbor(self, pyramid: Pyramid) -> list[Tensor]:
        return [half(x) for (half, _), x in zip(self._pairs, pyramid, strict=True)]

    def fuse(self, aligned: Tensor) -> Tensor:
        """Windows' aligned features (B, T, C, h, w) → (B, C, h, w)."""
        return self.model.fuse(aligned)

    def reconstruct(self, fused: Tensor) -> Tensor:
        """The residual blocks after the fusion: (B, C, h, w) → the same shape."""
        return self.model.reconstruction(fused)

    def upsample(self, x: Tensor, frame: Tensor) -> Tensor:
        """The rest: (B, C, h, w) and the reference frames (B, 3, H, W) → (B, 3, s·H, s·W)."""
        return self.model.upsample(x, frame)


def _halves(conv: nn.Module) -> nn.ModuleList:
    """Split a convolution over cat(a, b) into one over a and one (with the bias) over b, whose sum it is."""
    assert isinstance(conv, nn.Conv2d)
    parts = nn.ModuleList()
    for weight, bias in zip(conv.weight.chunk(2, dim=1), (None, conv.bias), strict=True):
        with torch.device("meta"):  # no random weights
            half = Conv(weight.shape[1], conv.out_channels, bias=bias is not None)
        half.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        half.bias = bias
        parts.append(half)
    return parts
