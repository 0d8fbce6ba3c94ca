"""Whether the CPU kernels can be used: without them, torch computes the same, several times as slowly."""

import os
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from edvr_cli.ops.triton_status import Fault

__all__ = ["numba_fault"]

# What numba raises where it does not fit the llvmlite, numpy or Python beside it, and what these kernels raise where
# a part of numba that they use has changed.
_IMPORT_ERRORS = (ImportError, AttributeError, TypeError, ValueError, OSError, RuntimeError, SyntaxError)


@lru_cache
def numba_fault() -> Fault | None:
    """Why the CPU kernels are not used; None where they are."""
    if os.environ.get("EDVR_CPU_KERNELS") == "0":
        return Fault("EDVR_CPU_KERNELS=0 switches them off", "unset EDVR_CPU_KERNELS")
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return Fault("NUMBA_DISABLE_JIT switches numba's compiler off", "unset NUMBA_DISABLE_JIT")
    if find_spec("numba") is None:
        return Fault("numba is not installed", "pip install numba")
    try:
        import_module("edvr_cli.ops.cpu.winograd")
        import_module("edvr_cli.ops.cpu.deform_conv")
    except _IMPORT_ERRORS as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        return Fault(
            f"numba {_version('numba')} with llvmlite {_version('llvmlite')} does not work: {first}",
            "pip install --force-reinstall 'numba>=0.62.1,<0.69'",
        )
    return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"
