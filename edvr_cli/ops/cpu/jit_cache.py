"""numba's compiler with a cache: machine code is kept in the user's cache folder between processes.

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

from edvr_cli.errors import OutputError
from edvr_cli.system.files import only_trusted_write, read_regular, write_file
from edvr_cli.system.user_folders import cache_folder

__all__ = ["jit"]

_DIGEST_SIZE = hashlib.sha256().digest_size


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
    """The folder for machine code of these sources; numba distinguishes CPUs and its versions."""
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


class _CheckedFiles(caching.IndexDataCacheFile):
    """The index and the machine code, each behind its digest: only what was written whole is ever looked at.

    A power failure leaves blocks of zeros in a file just written; as machine code they would be run.
    """

    def _load_index(self) -> dict[Any, str]:
        content = _checked(Path(self._index_path))
        stamp, overloads = pickle.loads(content) if content is not None else (None, {})
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        _write(Path(self._index_path), self._dump((self._source_stamp, overloads)))

    def _load_data(self, name: str) -> Any:
        content = _checked(Path(self._data_path(name)))
        return None if content is None else pickle.loads(content)

    def _save_data(self, name: str, data: object) -> None:
        _write(Path(self._data_path(name)), self._dump(data))


class _Cache(caching.FunctionCache):
    _impl_class = _Files

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        files = self._cache_file
        name = files._index_name.removesuffix(".nbi")
        self._cache_file = _CheckedFiles(files._cache_path, name, files._source_stamp)

    def _load_overload(self, signature: Any, target: Any) -> Any:
        return super()._load_overload(signature, target) if only_trusted_write(Path(self._cache_path)) else None

    def _save_overload(self, signature: Any, data: Any) -> None:
        super()._save_overload(signature, data)

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        """Around each load and save: after one that fails, for whatever reason, as if there had been nothing.

        The function is compiled then, and what that gives takes the place of what could not be loaded.
        """
        try:
            yield
        except Exception:
            with suppress(OSError):
                self.flush()


def _checked(path: Path) -> bytes | None:
    """A file's content without its digest, or None where it is missing or damaged."""
    try:
        stored = read_regular(path)
    except OSError:
        return None
    digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
    return content if hashlib.sha256(content).digest() == digest else None


def _write(path: Path, content: bytes) -> None:
    with suppress(OutputError):  # A cache that cannot be written is none.
        write_file(path, hashlib.sha256(content).digest() + content)
