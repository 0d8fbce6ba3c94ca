"""A small EDVR inside a larger one: the same function, with free channels and blocks that can learn more.

Every channel of the small network has a place in the large one, in the same deformable group. What computes such a
channel sees the small network's channels alone; what computes a free channel keeps its random weights and sees all.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

from edvr_cli.errors import ModelError
from edvr_cli.network.edvr import EDVR, EDVRConfig

__all__ = ["channel_places", "copy_widened", "why_not_widened", "widen"]

_EQUAL = ("frames", "groups", "predeblur", "hr_in", "tsa", "cascade", "levels")
_AT_LEAST = ("features", "extraction_blocks", "reconstruction_blocks", "tail")
_BLOCK = re.compile(r"(feature_extraction|reconstruction)\.(\d+)\.(conv[12])\.(weight|bias)")


@torch.no_grad()
def widen(small: EDVR, large: EDVR) -> None:
    """Set ``large``, with random weights, to compute what ``small`` does.

    Outputs are equal up to rounding. Raises ModelError where the networks differ in more than features, blocks and
    tail, or where ``large`` has fewer of these.
    """
    if reason := why_not_widened(small.config, large.config):
        raise ModelError(f"the small network cannot be widened into this one: {reason}")
    copy_widened(small, large, lambda _key: True)


@torch.no_grad()
def copy_widened(small: EDVR, large: EDVR, chosen: Callable[[str], bool]) -> None:
    """Put the parameters of ``small`` whose names are ``chosen`` in their places in ``large``."""
    known = small.state_dict()
    for key, target in large.state_dict().items():
        if not chosen(key):
            continue
        rows, columns = _places(key, small.config, large.config)
        match = _BLOCK.fullmatch(key)
        if match and int(match[2]) >= _blocks(small.config, match[1]):
            # A block that the small network lacks leaves its channels alone.
            if match[3] == "conv2":
                target[rows] = 0
            continue
        target[rows] = 0
        if match is None and key.startswith("fusion.temporal_attn1."):
            # Likeness is a sum over channels: free ones must not add to it.
            target.zero_()
        if target.dim() == 1:
            target[rows] = known[key]
        else:
            target[rows[:, None], columns] = known[key]


def why_not_widened(small: EDVRConfig, large: EDVRConfig) -> str | None:
    """Why a network of ``small``'s dimensions has no place in one of ``large``'s, or None."""
    for name in _EQUAL:
        if getattr(small, name) != getattr(large, name):
            return f"{name} is {getattr(small, name)} and {getattr(large, name)}"
    for name in _AT_LEAST:
        if getattr(small, name) > getattr(large, name):
            return f"{name} shrinks from {getattr(small, name)} to {getattr(large, name)}"
    return None


def channel_places(few: int, many: int, groups: int) -> Tensor:
    """The places of ``few`` channels among ``many``: each stays in its deformable group. (few,) int64."""
    channel = torch.arange(few)
    return channel // (few // groups) * (many // groups) + channel % (few // groups)


def _places(key: str, small: EDVRConfig, large: EDVRConfig) -> tuple[Tensor, Tensor]:
    """Where the outputs and inputs of the small network's parameter ``key`` lie in the large one's."""
    features = channel_places(small.features, large.features, small.groups)
    tail = torch.arange(small.tail)
    part = key.rsplit(".", 2)[-2]
    rows, columns = features, features
    if part == "conv_offset":
        rows = torch.arange(3 * 9 * small.groups)
    elif part == "upconv1":
        rows = _before_shuffle(features)
    elif part == "upconv2":
        rows = _before_shuffle(tail)
    elif part == "conv_hr":
        rows, columns = tail, tail
    elif part == "conv_last":
        rows, columns = torch.arange(3), tail
    if part == "conv_first":
        columns = torch.arange(3)
    blocks = _concatenated(key, small)
    columns = (columns + large.features * torch.arange(blocks)[:, None]).flatten()
    return rows, columns


def _concatenated(key: str, config: EDVRConfig) -> int:
    """How many feature maps the layer of ``key`` sees one after another."""
    if re.match(r"fusion\.(weight|feat_fusion|spatial_attn1)\b", key):
        return config.frames
    two = r"fusion\.spatial_attn(2|_l2)|pcd_align\.(offset_conv1\.|feat_conv\.|cas_offset_conv1)"
    coarsest = f"pcd_align.offset_conv2.l{config.levels}."
    between = key.startswith("pcd_align.offset_conv2.") and not key.startswith(coarsest)
    return 2 if re.match(two, key) or between else 1


def _before_shuffle(channels: Tensor) -> Tensor:
    """The four channels of each of ``channels`` before pixel-shuffle."""
    return (4 * channels[:, None] + torch.arange(4)).flatten()


def _blocks(config: EDVRConfig, stack: str) -> int:
    return config.extraction_blocks if stack == "feature_extraction" else config.reconstruction_blocks
