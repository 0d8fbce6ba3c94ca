"""The operations of a network, counted while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edvr_cli.network.edvr import DeformConv
from edvr_cli.ops.numba_status import numba_fault

__all__ = ["WorkCount", "count_work"]


@dataclass(frozen=True)
class WorkCount:
    """Floating-point operations (a multiply-add is two), and bytes of maps read and written."""

    flops: float
    bytes: float

    def __mul__(self, times: float) -> "WorkCount":
        return WorkCount(self.flops * times, self.bytes * times)


@torch.inference_mode()
def count_work(network: nn.Module, run: Callable[[], object]) -> WorkCount:
    """What the convolutions of ``network`` do in ``run``: direct ones, that read and write their maps once.

    Convolutions are nearly all of the work. How they are computed in truth, by Winograd or fused with a
    neighbor, makes no difference to what is counted.
    """
    flops = moved = 0.0
    written: dict[nn.Module, int] = {}

    def add(module: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        nonlocal flops, moved
        x = inputs[0]
        taps = 9
        values = x.numel() + y.numel()
        if isinstance(module, nn.Conv2d):
            taps = module.kernel_size[0] * module.kernel_size[1]
        elif isinstance(module, DeformConv):  # the convolution that finds its offsets is counted by itself
            values += written[module.conv_offset]
        written[module] = y.numel()
        flops += 2.0 * y.numel() * taps * x.shape[1]
        moved += values * x.element_size()

    kinds = nn.Conv2d, DeformConv, *_stand_ins()
    handles = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, kinds)]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return WorkCount(flops, moved)


def _stand_ins() -> tuple[type[nn.Module], ...]:
    """The classes that replace convolutions in an engine; all are 3×3."""
    if numba_fault() is not None:
        return ()
    from edvr_cli.ops.cpu.winograd import WinogradConv2d  # noqa: PLC0415 (numba is optional)

    return (WinogradConv2d,)
