"""First weights for networks that reduce frames inside: the picture passes through unchanged.

With random weights nothing of a frame's detail survives its way down to a quarter of the size and up again, and a
network learns neither to keep it, because nothing can use it, nor to use it, because nothing keeps it: thousands of
samples long it puts out the frame it was given. Here the way down starts as a sorting of pixels into channels, the way
up as its inverse, and all between them near the identity.

Shapes: C features.
"""

import torch
from torch import nn

from edvr_cli.network.edvr import EDVR

__all__ = ["let_picture_through"]

_PHASES = 4  # pixels of a 2×2 square
_COLORS = 2  # red and blue, coarse: with brightness they give the color
_REST = 0.15  # of the random weights


@torch.no_grad()
def let_picture_through(model: EDVR) -> None:
    """Initialize a network with ``hr_in`` to return its middle frame, with that frame's detail in the features.

    Sixteen channels of the features hold the brightness of 4×4 pixels. Nothing is done where the network has no such
    way, or fewer channels. The alignment's own start is :func:`~edvr_cli.train.alignment.prepare`.
    """
    config = model.config
    if not config.hr_in or config.features < _PHASES**2 + _COLORS:
        return
    down = model.predeblur
    _faint(down.conv_first, down.stride_conv_hr1, down.stride_conv_hr2, down.stride_conv_l2, down.stride_conv_l3)
    nn.init.zeros_(down.conv_first.weight[: 1 + _COLORS])
    down.conv_first.weight[0, :, 1, 1] = 1 / 3
    for n, color in enumerate((0, 2), start=1):
        down.conv_first.weight[n, color, 1, 1] = 1
    _sort(down.stride_conv_hr1, brightness=1)
    _sort(down.stride_conv_hr2, brightness=_PHASES)
    _identity(model.conv_1x1)
    _faint(model.upconv1, model.upconv2, model.conv_hr)
    for channel in range(_PHASES):
        for phase in range(_PHASES):
            model.upconv1.weight[_PHASES * channel + phase, _PHASES * phase + channel, 1, 1] = 1
        model.upconv2.weight[channel, channel, 1, 1] = 1
    # Every channel at full size sees the brightness around it, each through filters of its own.
    nn.init.normal_(model.conv_hr.weight[:, 0], std=1 / 3)
    nn.init.zeros_(model.conv_last.weight)
    _no_bias(model.conv_last)
    fusion = model.fusion if isinstance(model.fusion, nn.Conv2d) else model.fusion.feat_fusion
    _faint(fusion)
    C, first = config.features, config.reference * config.features
    # A TSA halves what it is given where it starts undecided.
    fusion.weight[range(C), range(first, first + C), 0, 0] += 1.0 if fusion is model.fusion else 2.0


def _sort(conv: nn.Conv2d, *, brightness: int) -> None:
    """Map each 2×2 square of the first ``brightness`` channels to four channels; average the colors after them."""
    nn.init.zeros_(conv.weight[: _PHASES * brightness + _COLORS])
    for phase in range(_PHASES):
        row, column = 1 + phase // 2, 1 + phase % 2
        for channel in range(brightness):
            conv.weight[brightness * phase + channel, channel, row, column] = 1
        for color in range(_COLORS):
            conv.weight[_PHASES * brightness + color, brightness + color, row, column] = 1 / _PHASES


def _identity(conv: nn.Conv2d) -> None:
    _faint(conv)
    channels = range(conv.weight.shape[0])
    middle = conv.weight.shape[-1] // 2
    conv.weight[channels, channels, middle, middle] += 1


def _faint(*convs: nn.Conv2d) -> None:
    for conv in convs:
        conv.weight.mul_(_REST)
        _no_bias(conv)


def _no_bias(conv: nn.Conv2d) -> None:
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
