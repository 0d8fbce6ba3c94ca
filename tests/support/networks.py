"""Tiny random networks for tests, with offsets that move."""

from dataclasses import replace

import torch
from torch import nn

from edvr_cli.network.edvr import EDVR, DeformConv, EDVRConfig

TINY = EDVRConfig(features=16, groups=4, extraction_blocks=1, reconstruction_blocks=1, tail=8)


def random_network(seed: int = 0, **changes: object) -> EDVR:
    """A tiny EDVR in eval mode whose deformable convolutions sample up to a few pixels away."""
    torch.manual_seed(seed)
    model = EDVR(replace(TINY, **changes)).eval().requires_grad_(False)  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, DeformConv):
            nn.init.normal_(module.conv_offset.weight, std=0.2)
            nn.init.normal_(module.conv_offset.bias, std=1.0)
    return model


class Identity(EDVR):
    """An EDVR whose output is its reference frame, enlarged by repetition: what goes in can be recognized."""

    def __init__(self, config: EDVRConfig = TINY) -> None:
        super().__init__(config)
        self.requires_grad_(False)

    def upsample(self, x: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """The frame itself, each pixel ``scale`` × ``scale`` times."""
        s = self.config.scale
        return frame.repeat_interleave(s, dim=2).repeat_interleave(s, dim=3)
