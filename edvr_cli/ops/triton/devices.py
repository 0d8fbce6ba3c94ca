"""The device that a kernel is launched on."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["on_device_of"]


def on_device_of(x: Tensor) -> AbstractContextManager[object]:
    """Launch on the device of ``x``: Triton takes the current one, whichever its tensors are on."""
    if x.is_cuda and x.device.index != torch.cuda.current_device():
        return torch.cuda.device(x.device)
    return nullcontext()
