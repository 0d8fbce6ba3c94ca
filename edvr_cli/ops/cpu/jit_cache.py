"""numba's compiler with a memory: what it compiled is kept in the user's cache folder between processes.

Compilation takes seconds at every start. numba's own cache looks at the file of the compiled function alone, not at
what that calls; this one goes by all the sources of this folder. A folder that cannot be written, or a file that
cannot be read, means compiling as if there were no cache. EDVR_KERNEL_CACHE names another folder; empty: none.
"""

import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

from edvr_cli.system.user_folders import cache_folder

__all__ = ["jit"]


def jit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` with these options, and with the cache."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if _folder() is not None:
            dispatcher._cache = _Cache(function)  # as Dispatcher.enable_caching does with numba's own
        return dispatcher

    return decorate


@lru_cache(maxsize=1)
def _folder() -> Path | None:
    """Where machine code of these very sources is kept; numba tells processors and its own versions apart."""
    base = os.environ.get("EDVR_KERNEL_CACHE")
    if base == "":
        return None
    try:
        folder = Path(base).expanduser() if base else cache_folder() / "kernels"
        digest = hashlib.sha256(numba.__version__.encode())
        for source in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(source.name.encode() + source.read_bytes())
    except (OSError, RuntimeError):  # no home, or no sources to read
        return None
    return folder / digest.hexdigest()[:16]


class _Locator(caching._CacheLocator):
    """Tells numba the folder."""

    def get_cache_path(self) -> str:
        return str(_folder())

    def get_source_stamp(self) -> str:
        return str(_folder())  # its name is the sources' digest

    def get_disambiguator(self) -> str:
        return "edvr"

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_Locator":
        return cls()

    def ensure_cache_path(self) -> None:
        Path(self.get_cache_path()).mkdir(mode=0o700, parents=True, exist_ok=True)


class _Files(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # type: ignore[list-item]  # noqa: RUF012 (numba declares it so)


class _Cache(caching.FunctionCache):
    _impl_class = _Files

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        """Around each load and save: after one that fails, as if there had been nothing."""
        try:
            yield
        except OSError:
            pass
        except (EOFError, pickle.PickleError):  # a damaged file
            with suppress(OSError):
                self.flush()
