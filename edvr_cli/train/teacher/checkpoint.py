"""Checkpoints of BasicVSR in BasicSR's format: the file decides the network's size."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from edvr_cli.errors import ModelError
from edvr_cli.models.checkpoint import read_state_dict
from edvr_cli.train.teacher.basicvsr import BasicVSR

__all__ = ["is_basicvsr", "load_teacher"]

_FIRST = "forward_trunk.main.0.weight"
_BLOCK = re.compile(r"forward_trunk\.main\.2\.(\d+)\.conv1\.weight")


def load_teacher(path: str | Path, device: str | torch.device = "cpu") -> BasicVSR:
    """Load a BasicVSR checkpoint, ready to teach: on ``device``, float32, frozen, in eval mode.

    Raises ModelError for a file that cannot be read or holds another network.
    """
    path = Path(path)
    state, _ = read_state_dict(path)
    if not is_basicvsr(state):
        raise ModelError(f"{path} is not a BasicVSR checkpoint: it has no parameter {_FIRST!r}")
    with torch.device("meta"):
        teacher = BasicVSR(
            features=state[_FIRST].shape[0],
            blocks=sum(1 for key in state if _BLOCK.fullmatch(key)),
            tail=state["conv_hr.weight"].shape[0] if "conv_hr.weight" in state else 64,
        )
    try:
        teacher.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n\t")[1:2]) or str(error)
        raise ModelError(f"{path} does not fit the BasicVSR network it describes: {reason[:200]}") from error
    return teacher.to(device).eval().requires_grad_(False)


def is_basicvsr(state: Mapping[str, Tensor]) -> bool:
    """Whether ``state`` holds the parameters of a BasicVSR network."""
    return _FIRST in state and state[_FIRST].dim() == 4
