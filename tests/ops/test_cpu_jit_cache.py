"""Compiled loops that outlive the process."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edvr_cli.ops.cpu import jit_cache as module
from edvr_cli.ops.cpu.jit_cache import jit


def divide(a, b):
    """What is compiled."""
    return a / b


def loads() -> int:
    """How often a new process, as far as the compiler is concerned, finds the machine code."""
    dispatcher = jit(error_model="numpy")(divide)
    assert dispatcher(1.0, 0.0) == np.inf  # the option has reached the compiler
    return sum(dispatcher.stats.cache_hits.values())


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[object], None]]:
    """A function that names the cache's folder."""

    def name(folder: object) -> None:
        monkeypatch.setenv("EDVR_KERNEL_CACHE", str(folder))
        module._folder.cache_clear()

    yield name
    module._folder.cache_clear()


def test_what_was_compiled_once_is_loaded(cache: Callable[[object], None], tmp_path: Path):
    """And a damaged file is no more than a missing one."""
    cache(tmp_path)
    assert [loads(), loads()] == [0, 1]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:20])
    assert [loads(), loads()] == [0, 1]


def zeros(content: bytes) -> bytes:
    """Blocks that a power failure left."""
    return content[: len(content) // 2] + bytes(200) + content[len(content) // 2 + 200 :]


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize(
    "damage", [zeros, lambda content: bytes(reversed(content)), lambda content: b"", bytes.swapcase]
)
def test_a_damaged_file_is_compiled_again_and_replaced(
    cache: Callable[[object], None], tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]
):
    """Once: the run after that loads what was written."""
    cache(tmp_path)
    loads()
    (path,) = tmp_path.rglob(f"*{suffix}")
    path.write_bytes(damage(path.read_bytes()))
    assert [loads(), loads()] == [0, 1]


def test_whatever_loading_raises_it_compiles(
    cache: Callable[[object], None], monkeypatch: pytest.MonkeyPatch, tmp_path
):
    """LLVM and numba have errors of their own."""
    cache(tmp_path)
    loads()
    for error in (
        RuntimeError("Invalid record"),
        UnicodeDecodeError("utf-8", b"", 0, 1, ""),
        MemoryError(),
        KeyError(),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module._Files, "rebuild", lambda *_, error=error: (_ for _ in ()).throw(error))
            assert loads() == 0
    assert loads() == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_another_user_s_machine_code_is_not_run(cache: Callable[[object], None], tmp_path: Path):
    """Whoever may write to the folder could have put anything there."""
    cache(tmp_path)
    assert [loads(), loads()] == [0, 1]
    os.chown(module._folder(), 12345, 12345)
    assert loads() == 0


@pytest.mark.parametrize("folder", ["", "/proc/nowhere"])
def test_without_a_folder_to_write_it_compiles(cache: Callable[[object], None], folder: str):
    """Silently, as if there were no cache."""
    cache(folder)
    assert [loads(), loads()] == [0, 0]


def test_other_sources_have_another_folder(
    cache: Callable[[object], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A change in one file is a change for all, as they call each other."""
    cache(tmp_path)
    before = module._folder()
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "other.py").write_text("")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "ops" / "jit_cache.py"))
    module._folder.cache_clear()
    assert before is not None
    assert before.parent == tmp_path
    assert module._folder() not in (None, before)
