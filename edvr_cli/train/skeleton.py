"""A network without its alignment: features, residual blocks, tail. Training it first is the cheapest gain.

One frame is restored from itself alone, at a fifth of a window's cost. What this skeleton learned is then carried
through an alignment that changes nothing at first.

Shapes: B frames, C features, h w pixels of the features, H W pixels of the input, s scale.
"""

import torch
from torch import Tensor, nn

from edvr_cli.network.edvr import EDVR, SLOPE, DeformConv, TSAFusion

__all__ = ["carry_through", "restore_alone", "skeleton_parameters"]

_PARTS = (
    "predeblur.", "conv_1x1.", "conv_first.", "feature_extraction.", "reconstruction.",
    "upconv1.", "upconv2.", "conv_hr.", "conv_last.",
)  # fmt: skip
_OWN_SHARE = 0.8  # of the reference in the fusion; the neighbors have the rest
_RESERVE = 1.2  # times the most negative value seen


def skeleton_parameters(model: EDVR) -> list[nn.Parameter]:
    """The parameters that :func:`restore_alone` uses."""
    return [parameter for name, parameter in model.named_parameters() if name.startswith(_PARTS)]


def restore_alone(model: EDVR, frame: Tensor) -> Tensor:
    """Restore single frames without alignment or fusion: (B, 3, H, W) in [0, 1] → (B, 3, s·H, s·W)."""
    return model.rebuild(_features(model, frame), frame)


@torch.no_grad()
def carry_through(model: EDVR, frame: Tensor) -> None:
    """Set alignment and fusion so that a window's features arrive at the reconstruction nearly unchanged.

    Offsets are left as they are. ``frame`` (B, 3, H, W) in [0, 1] are frames to measure features on. With attention,
    negative features are damped by the activation that follows its fusion.
    """
    config, alignment = model.config, model.pcd_align
    C = config.features
    for module in alignment.modules():
        if isinstance(module, DeformConv):
            # The mask starts at a half: twice the middle tap is then the features themselves, where they are fetched.
            _identity(module.weight, 2.0)
            nn.init.zeros_(module.bias)
    if config.levels > 1:
        merging = alignment.feat_conv["l1"]
        assert isinstance(merging, nn.Conv2d)
        _identity(merging.weight[:, :C], 1.0)
        nn.init.zeros_(merging.weight[:, C:])
        _clear_bias(merging)
    raised = torch.zeros(C, device=frame.device)
    if config.cascade:
        # The activation behind the cascade must pass all; the fusion takes off what is added here.
        raised = -_RESERVE * _features(model, frame).float().amin(dim=(0, 2, 3)).clamp(max=0)
        alignment.cas_dcnpack.bias.copy_(raised)
    attention = isinstance(model.fusion, TSAFusion)
    fusion = model.fusion.feat_fusion if isinstance(model.fusion, TSAFusion) else model.fusion
    assert isinstance(fusion, nn.Conv2d)
    others = (1 - _OWN_SHARE) / max(1, config.frames - 1)
    nn.init.zeros_(fusion.weight)
    for t in range(config.frames):
        share = _OWN_SHARE if t == config.reference else others
        if config.frames == 1:
            share = 1.0
        # Attention that has learned nothing yet halves what it is given.
        fusion.weight[range(C), range(t * C, t * C + C), 0, 0] = 2 * share if attention else share
    if fusion.bias is not None:
        fusion.bias.copy_(-raised)


def _features(model: EDVR, frame: Tensor) -> Tensor:
    """Level 1 of :meth:`EDVR.extract`, without the levels below it: (B, 3, H, W) → (B, C, h, w)."""
    deblurs = model.config.predeblur
    first = model.conv_1x1(model.predeblur(frame)) if deblurs else model.conv_first(frame, SLOPE)
    return model.feature_extraction(first)


def _identity(weight: Tensor, value: float) -> None:
    channels = range(weight.shape[0])
    nn.init.zeros_(weight)
    weight[channels, channels, 1, 1] = value


def _clear_bias(conv: nn.Conv2d) -> None:
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
