"""Checkpoints of BasicVSR in BasicSR's format: the file decides the network's size."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from edvr_cli.errors import ModelError
from edvr_cli.models.checkpoint import load_model, read_state_dict
from edvr_cli.models.registry import find_model
from edvr_cli.train.teacher.basicvsr import BasicVSR
from edvr_cli.train.teacher.guidance import Teacher

__all__ = ["is_basicvsr", "load_teacher", "read_teacher"]

_FIRST = "forward_trunk.main.0.weight"
_TAIL = "conv_hr.weight"
_BLOCK = re.compile(r"forward_trunk\.main\.2\.(\d+)\.conv1\.weight")


def load_teacher(path: str | Path, device: str | torch.device = "cpu") -> BasicVSR:
    """Load a BasicVSR checkpoint, ready to teach: on ``device``, float32, frozen, in eval mode.

    Raises ModelError for a file that cannot be read or holds another network.
    """
    path = Path(path)
    state, _ = read_state_dict(path)
    if not is_basicvsr(state):
        raise ModelError(f"{path} is not a BasicVSR checkpoint: it has no parameter {_FIRST!r}")
    blocks = sum(1 for key in state if _BLOCK.fullmatch(key))
    tail = state.get(_TAIL)
    if tail is None or tail.dim() != 4 or 0 in (*tail.shape, *state[_FIRST].shape):
        raise ModelError(f"{path} does not fit a BasicVSR network: its {_FIRST!r} or {_TAIL!r} is no convolution")
    with torch.device("meta"):
        teacher = BasicVSR(features=state[_FIRST].shape[0], blocks=blocks, tail=tail.shape[0])
    try:
        teacher.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n\t")[1:2]) or str(error)
        raise ModelError(f"{path} does not fit the BasicVSR network it describes: {reason[:200]}") from error
    return teacher.to(device).eval().requires_grad_(False)


def read_teacher(name_or_path: str | Path) -> Teacher:
    """Load a teacher for :func:`~edvr_cli.train.loop.train`: a BasicVSR checkpoint, or an EDVR by name or path.

    Raises ModelError for a file that cannot be read or holds neither.
    """
    path = find_model(name_or_path)
    state, _ = read_state_dict(path)
    return load_teacher(path) if is_basicvsr(state) else load_model(name_or_path, "cpu").network


def is_basicvsr(state: Mapping[str, Tensor]) -> bool:
    """Whether ``state`` holds the parameters of a BasicVSR network."""
    return _FIRST in state and state[_FIRST].dim() == 4
