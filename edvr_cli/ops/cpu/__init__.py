"""CPU kernels compiled by numba: optional, behind `accelerate`; docs/lab/cpu_kernels.md explains them.

Nothing outside this package and the dispatch in `ops/deform_conv.py` knows of numba. EDVR_CPU_KERNELS=0 switches the
kernels off; plain torch then computes the same, several times as slowly.
"""

from torch import nn

__all__ = ["accelerate"]


def accelerate(model: nn.Module) -> None:
    """Replace the convolutions below ``model`` that are faster in a compiled kernel; without backward."""
    from edvr_cli.ops.cpu.winograd import winograd  # noqa: PLC0415 (numba is optional)

    winograd(model)
