"""EDVR (Wang et al., 2019): a window of frames in, its middle frame restored.

Shapes: B batch, T frames of the window, C features, H W pixels of the input, G deformable groups, s scale.
Levels 1 to 3 of a pyramid are full, half and quarter size. Attribute names equal the public checkpoints' keys.

:meth:`EDVR.forward` is the definition. It is made of stages that a streaming engine may call by themselves,
to compute what depends on one frame once per frame: :meth:`EDVR.extract`, :attr:`EDVR.pcd_align`,
:meth:`EDVR.fuse`, :meth:`EDVR.rebuild`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.network.config import EDVRConfig
from edvr_cli.ops.attention import gate, weigh_by_likeness
from edvr_cli.ops.conv import Conv, UpConv
from edvr_cli.ops.deform_conv import deform_conv2d_packed
from edvr_cli.ops.upsample import concat_upsampled

__all__ = ["EDVR", "SLOPE", "TAIL_REACH", "EDVRConfig", "PCDAlignment", "Pyramid"]

TAIL_REACH = 2  # 1 (upconv1) + 1/2 (upconv2) + 1/4 (conv_hr) + 1/4 (conv_last), in features' pixels
SLOPE = 0.1
_KERNEL = 3


Pyramid = list[Tensor]
"""Features of one frame, finest first: level i is (B, C, h / 2ⁱ, w / 2ⁱ)."""


class EDVR(nn.Module):
    """The network, built from an :class:`EDVRConfig`; weights are random until a state dict is loaded."""

    def __init__(self, config: EDVRConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EDVRConfig()
        C = config.features
        if config.predeblur:
            self.predeblur = PredeblurModule(C, config.hr_in)
            self.conv_1x1 = Conv(C, C, kernel=1)
        else:
            self.conv_first = Conv(3, C)
        self.feature_extraction = nn.Sequential(*(ResBlock(C) for _ in range(config.extraction_blocks)))
        if config.levels == 3:
            self.conv_l2_1, self.conv_l2_2 = Conv(C, C, stride=2), Conv(C, C)
            self.conv_l3_1, self.conv_l3_2 = Conv(C, C, stride=2), Conv(C, C)
        self.pcd_align = PCDAlignment(C, config.groups, config.levels, config.cascade)
        self.fusion = (
            TSAFusion(C, config.frames, config.reference) if config.tsa else Conv(config.frames * C, C, kernel=1)
        )
        self.reconstruction = nn.Sequential(*(ResBlock(C) for _ in range(config.reconstruction_blocks)))
        self.upconv1 = UpConv(C, C)
        self.upconv2 = UpConv(C, config.tail)
        self.conv_hr = Conv(config.tail, config.tail)
        self.conv_last = Conv(config.tail, 3)

    def forward(self, window: Tensor) -> Tensor:
        """Restore the middle frame of ``window``.

        window (B, T, 3, H, W): RGB in [0, 1], H and W multiples of ``config.multiple``. Returns
        (B, 3, s·H, s·W) in the same range, not clamped. Raises ValueError on any other shape.
        """
        shape, config = tuple(window.shape), self.config
        if len(shape) != 5 or shape[1:3] != (config.frames, 3):
            raise ValueError(f"expected a window (B, {config.frames}, 3, H, W), got {shape}")
        B, T, _, H, W = shape
        if H % config.multiple or W % config.multiple or 0 in (H, W):
            raise ValueError(f"H and W must be positive multiples of {config.multiple}, got {shape}")
        pyramids = [level.unflatten(0, (B, T)) for level in self.extract(window.flatten(0, 1))]
        reference = [level[:, config.reference] for level in pyramids]
        aligned = [self.pcd_align([level[:, t] for level in pyramids], reference) for t in range(T)]
        return self.rebuild(self.fuse(torch.stack(aligned, dim=1)), window[:, config.reference])

    def extract(self, frame: Tensor) -> Pyramid:
        """Features of single frames: (B, 3, H, W) → ``levels`` maps, the first (B, C, h, w).

        h, w are H, W, or a quarter of them when ``hr_in``.
        """
        level1 = self.conv_1x1(self.predeblur(frame)) if self.config.predeblur else self.conv_first(frame, SLOPE)
        level1 = self.feature_extraction(level1)
        if self.config.levels == 1:
            return [level1]
        level2 = self.conv_l2_2(self.conv_l2_1(level1, SLOPE), SLOPE)
        level3 = self.conv_l3_2(self.conv_l3_1(level2, SLOPE), SLOPE)
        return [level1, level2, level3]

    def fuse(self, aligned: Tensor) -> Tensor:
        """Merge the aligned features of a window: (B, T, C, h, w) → (B, C, h, w)."""
        return self.fusion(aligned if self.config.tsa else aligned.flatten(1, 2))

    def rebuild(self, fused: Tensor, frame: Tensor) -> Tensor:
        """Fused features (B, C, h, w) and the reference frame (B, 3, H, W) → the output (B, 3, s·H, s·W)."""
        return self.upsample(self.reconstruction(fused), frame)

    def upsample(self, x: Tensor, frame: Tensor) -> Tensor:
        """The tail of :meth:`rebuild`, after the residual blocks; shapes as there.

        A value of the output depends on features at most ``TAIL_REACH`` away, so this may be done in strips.
        """
        x = self.upconv2(self.upconv1(x, SLOPE), SLOPE)
        x = self.conv_last(self.conv_hr(x, SLOPE))
        base = frame if self.config.hr_in else F.interpolate(frame, scale_factor=4, mode="bilinear")
        return x + base


class PCDAlignment(nn.Module):
    """Pyramid, cascading and deformable alignment of a neighbor's features to the reference's."""

    def __init__(self, features: int, groups: int, levels: int, cascade: bool) -> None:
        super().__init__()
        C = features
        names = [f"l{level}" for level in range(levels, 0, -1)]  # coarsest first
        self.offset_conv1 = nn.ModuleDict({name: Conv(2 * C, C) for name in names})
        self.offset_conv2 = nn.ModuleDict({name: Conv(C if name == names[0] else 2 * C, C) for name in names})
        self.offset_conv3 = nn.ModuleDict({name: Conv(C, C) for name in names[1:]})
        self.dcn_pack = nn.ModuleDict({name: DeformConv(C, groups) for name in names})
        self.feat_conv = nn.ModuleDict({name: Conv(2 * C, C) for name in names[1:]})
        self.cascade = cascade
        if cascade:
            self.cas_offset_conv1 = Conv(2 * C, C)
            self.cas_offset_conv2 = Conv(C, C)
            self.cas_dcnpack = DeformConv(C, groups)

    def forward(self, neighbor: Pyramid, reference: Pyramid) -> Tensor:
        """Two pyramids of equal shapes → the neighbor's features where the reference has them, (B, C, h, w)."""
        pairs = [
            self.offset_conv1[f"l{level}"](torch.cat(maps, dim=1), SLOPE)
            for level, maps in enumerate(zip(neighbor, reference, strict=True), start=1)
        ]

        def compare(aligned: Tensor) -> Tensor:
            return self.cas_offset_conv1(torch.cat((aligned, reference[0]), dim=1), SLOPE)

        return self.align(neighbor, pairs, compare if self.cascade else None)

    def align(self, neighbor: Pyramid, pairs: list[Tensor], compare: Callable[[Tensor], Tensor] | None) -> Tensor:
        """:meth:`forward` after its first convolutions, which a caller may know a cheaper way to.

        ``pairs`` are the activated outputs of ``offset_conv1``, finest first; ``compare`` maps aligned features to
        the activated output of ``cas_offset_conv1`` for them and the reference (None: no cascade).
        """
        top = len(neighbor)
        offset = self.offset_conv2[f"l{top}"](pairs[-1], SLOPE)
        aligned = self.dcn_pack[f"l{top}"](neighbor[-1], offset, SLOPE if top > 1 else 1.0)
        for level in range(top - 1, 0, -1):
            name = f"l{level}"
            # A displacement is twice as many pixels on a map twice as large.
            offset = concat_upsampled(pairs[level - 1], offset, 2.0)
            offset = self.offset_conv3[name](self.offset_conv2[name](offset, SLOPE), SLOPE)
            own = self.dcn_pack[name](neighbor[level - 1], offset)
            aligned = self.feat_conv[name](concat_upsampled(own, aligned), SLOPE if level > 1 else 1.0)
        if compare is None:
            return aligned
        offset = self.cas_offset_conv2(compare(aligned), SLOPE)
        return self.cas_dcnpack(aligned, offset, SLOPE)


class DeformConv(nn.Module):
    """A modulated deformable 3×3 convolution whose offsets and mask come from other features."""

    def __init__(self, features: int, groups: int) -> None:
        super().__init__()
        taps = _KERNEL**2
        self.weight = nn.Parameter(torch.empty(features, features, _KERNEL, _KERNEL))
        self.bias = nn.Parameter(torch.zeros(features))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.conv_offset = Conv(features, 3 * groups * taps)
        # Alignment starts from "everything stays where it is".
        for parameter in self.conv_offset.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, offset_features: Tensor, negative_slope: float = 1.0) -> Tensor:
        """x and offset_features (B, C, h, w) → (B, C, h, w), through LeakyReLU unless its slope is 1."""
        return deform_conv2d_packed(x, self.conv_offset(offset_features), self.weight, self.bias, negative_slope)


class TSAFusion(nn.Module):
    """Temporal and spatial attention: weigh each aligned frame by its likeness to the reference, then merge."""

    def __init__(self, features: int, frames: int, reference: int) -> None:
        super().__init__()
        C = features
        self.reference = reference
        self.temporal_attn1 = Conv(C, C)
        self.temporal_attn2 = Conv(C, C)
        self.feat_fusion = Conv(frames * C, C, kernel=1)
        self.spatial_attn1 = Conv(frames * C, C, kernel=1)
        self.spatial_attn2 = Conv(2 * C, C, kernel=1)
        self.spatial_attn3 = Conv(C, C)
        self.spatial_attn4 = Conv(C, C, kernel=1)
        self.spatial_attn5 = Conv(C, C)
        self.spatial_attn_l1 = Conv(C, C, kernel=1)
        self.spatial_attn_l2 = Conv(2 * C, C)
        self.spatial_attn_l3 = Conv(C, C)
        self.spatial_attn_add1 = Conv(C, C, kernel=1)
        self.spatial_attn_add2 = Conv(C, C, kernel=1)

    def forward(self, aligned: Tensor) -> Tensor:
        """Aligned features (B, T, C, h, w) → (B, C, h, w)."""
        reference = self.temporal_attn1(aligned[:, self.reference])
        embedded = self.temporal_attn2(aligned.flatten(0, 1))
        weighted = weigh_by_likeness(aligned.flatten(1, 2), embedded, reference)
        fused = self.feat_fusion(weighted, SLOPE)

        a = self.spatial_attn1(weighted, SLOPE)
        a = self.spatial_attn2(_pools(a), SLOPE)
        below = self.spatial_attn_l1(a, SLOPE)
        below = self.spatial_attn_l2(_pools(below), SLOPE)
        below = _up_to(self.spatial_attn_l3(below, SLOPE), a)
        a = self.spatial_attn3(a, SLOPE) + below
        a = self.spatial_attn5(_up_to(self.spatial_attn4(a, SLOPE), fused))
        added = self.spatial_attn_add2(self.spatial_attn_add1(a, SLOPE))
        return gate(fused, a, added)


class PredeblurModule(nn.Module):
    """A small pyramid that removes the worst blur before alignment."""

    def __init__(self, features: int, hr_in: bool) -> None:
        super().__init__()
        C = features
        self.hr_in = hr_in
        self.conv_first = Conv(3, C)
        if hr_in:
            self.stride_conv_hr1, self.stride_conv_hr2 = Conv(C, C, stride=2), Conv(C, C, stride=2)
        self.stride_conv_l2, self.stride_conv_l3 = Conv(C, C, stride=2), Conv(C, C, stride=2)
        self.resblock_l3 = ResBlock(C)
        self.resblock_l2_1, self.resblock_l2_2 = ResBlock(C), ResBlock(C)
        self.resblock_l1 = nn.ModuleList(ResBlock(C) for _ in range(5))

    def forward(self, frame: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, C, H, W), or a quarter of H and W when ``hr_in``."""
        x = self.conv_first(frame, SLOPE)
        if self.hr_in:
            x = self.stride_conv_hr2(self.stride_conv_hr1(x, SLOPE), SLOPE)
        level2 = self.stride_conv_l2(x, SLOPE)
        level3 = self.stride_conv_l3(level2, SLOPE)
        level3 = _up_to(self.resblock_l3(level3), level2)
        level2 = _up_to(self.resblock_l2_2(self.resblock_l2_1(level2) + level3), x)
        for block in self.resblock_l1[:2]:
            x = block(x)
        x = x + level2
        for block in self.resblock_l1[2:]:
            x = block(x)
        return x


class ResBlock(nn.Module):
    """x + conv2(relu(conv1(x)))."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = Conv(features, features)
        self.conv2 = Conv(features, features)
        # Published initialization: a tenth, so that a deep stack starts near the identity.
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data *= 0.1
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        return self.conv2(self.conv1(x, 0.0), add=x)


def _pools(x: Tensor) -> Tensor:
    """Max- and average-pool to half size, side by side: (B, C, H, W) → (B, 2C, ⌈H/2⌉, ⌈W/2⌉)."""
    return torch.cat((F.max_pool2d(x, 3, 2, padding=1), F.avg_pool2d(x, 3, 2, padding=1)), dim=1)


def _up_to(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear ×2, cut to the size of ``like`` where halving had rounded up."""
    up = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return up[..., : like.shape[-2], : like.shape[-1]]
