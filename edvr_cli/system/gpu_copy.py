"""Non-blocking copies between the host and a GPU, queued among the GPU's kernels.

Both directions go by way of page-locked memory, which torch keeps for later frames and does not hand out again before
a copy is over. They share the kernels' stream: that orders everything, and copies take about a hundredth
of its kernels' time. On other devices than CUDA's a copy is done when it is asked for.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["Download", "upload"]


def upload(tensor: Tensor, device: torch.device | str) -> Tensor:
    """``tensor``, on the host or on any device, on ``device``: itself where it is there already."""
    if torch.device(device).type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    try:
        pinned = tensor.pin_memory()
    except RuntimeError:  # WSL and small containers bound page-locked memory
        return tensor.to(device)
    return pinned.to(device, non_blocking=True)


class Download:
    """Tensors of one device on their way to the host."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        tensors = tuple(tensors)
        self._device = next((tensor.device for tensor in tensors if tensor.is_cuda), None)
        self._arrived: torch.cuda.Event | None = None
        self._on_host = tuple(_to_host(tensor) for tensor in tensors)
        if self._device is not None:
            with torch.cuda.device(self._device):
                self._arrived = torch.cuda.Event(blocking=True)  # who waits for it leaves the core to others
                self._arrived.record(torch.cuda.current_stream(self._device))

    def wait(self) -> tuple[Tensor, ...]:
        """The tensors on the host, complete. From any thread."""
        if self._arrived is not None:
            # On its own device: a thread that is on another one would start CUDA there, which takes memory.
            with torch.cuda.device(self._device):
                self._arrived.synchronize()
        return self._on_host


def _to_host(tensor: Tensor) -> Tensor:
    """Into page-locked memory, if it is not to block. Only CUDA's is safe to read after an event."""
    if not tensor.is_cuda:
        return tensor.to("cpu")
    try:
        return tensor.to("cpu", non_blocking=True)
    except RuntimeError:  # no page-locked memory left
        return tensor.to("cpu")
