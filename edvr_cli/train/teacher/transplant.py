"""The weights of a BasicVSR network in an EDVR: its trunks as residual blocks, its tail as the tail.

Shapes: C features.
"""

import torch
from torch import nn

from edvr_cli.network.edvr import EDVR
from edvr_cli.train.teacher.basicvsr import BasicVSR, Trunk

__all__ = ["transplant"]

_COLORS = 3


@torch.no_grad()
def transplant(teacher: BasicVSR, model: EDVR) -> list[str]:
    """Copy what fits of ``teacher`` into ``model``; returns the names of the parameters that were set.

    A network as deep as a trunk gets the whole forward trunk on both sides of the alignment. A shallower one gets the
    backward trunk's first blocks for its features and the forward trunk's last blocks for its reconstruction, which
    are trained to receive features of other frames. Nothing of another number of features fits, except for the tail's
    last layers.
    """
    before = {id(parameter): name for name, parameter in model.named_parameters()}
    copied: list[str] = []

    def copy(source: nn.Module, target: nn.Module, *, inputs: slice = slice(None)) -> None:
        pairs = list(zip(source.parameters(), target.parameters(), strict=True))
        values = [value[:, inputs] if value.dim() == 4 else value for value, _ in pairs]
        if all(value.shape == place.shape for value, (_, place) in zip(values, pairs, strict=True)):
            for value, (_, place) in zip(values, pairs, strict=True):
                place.copy_(value)
                copied.append(before[id(place)])

    deep = len(_blocks(teacher.forward_trunk)) <= len(model.feature_extraction)
    first = teacher.forward_trunk if deep else teacher.backward_trunk
    if not model.config.predeblur:
        copy(first.main[0], model.conv_first, inputs=slice(0, _COLORS))
        for source, target in zip(_blocks(first), model.feature_extraction, strict=False):
            copy(source, target)
    last = _blocks(teacher.forward_trunk)[-len(model.reconstruction) :] if len(model.reconstruction) else []
    for source, target in zip(last, model.reconstruction, strict=False):
        copy(source, target)
    for name in ("upconv1", "upconv2", "conv_hr", "conv_last"):
        copy(getattr(teacher, name), getattr(model, name))
    return copied


def _blocks(trunk: Trunk) -> list[nn.Module]:
    blocks = trunk.main[2]
    assert isinstance(blocks, nn.Sequential)  # as it was built
    return list(blocks)
