"""torch.compile with a fallback to the uncompiled function.

A function is compiled for the sizes of its first call; after a call with others, once more for all sizes. CUDA graphs
are off: their outputs are overwritten by the next call, while an engine keeps them for several frames.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import torch

__all__ = ["Compiler"]

P = ParamSpec("P")
T = TypeVar("T")

# Torch 2.11 lets each engine have its own count of the variants that it bounds; before, they share one.
_ISOLATED = {"isolate_recompiles": True} if "isolate_recompiles" in signature(torch.compile).parameters else {}


class Compiler:
    """Compiles functions when they are first called; after the first failure, all of them run uncompiled.

    ``on_failure`` is then called, once, with a sentence that says why. ``backend`` is torch.compile's.
    """

    def __init__(self, on_failure: Callable[[str], None], backend: str | Callable[..., Any] = "inductor") -> None:
        self.failed = False
        self._on_failure = on_failure
        self._backend = backend

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """``function``, compiled as a whole."""
        from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415 (seconds)

        options: dict[str, Any] = {"fullgraph": True, **_ISOLATED}
        compiled: Callable[P, T] = torch.compile(function, backend=self._backend, **options)

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if not self.failed:
                try:
                    return compiled(*args, **kwargs)
                except TorchDynamoException as error:
                    self.failed = True
                    why = " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__
                    self._on_failure(f"torch.compile failed, and the network runs uncompiled: {why}")
            return function(*args, **kwargs)

        return call
