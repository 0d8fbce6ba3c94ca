"""Files that are complete under their names, or not there at all."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_write", "sha256_of", "sync_directory", "sync_file"]


@contextmanager
def atomic_write(path: Path, *, scratch: Path | None = None, sync: bool = False) -> Iterator[Path]:
    """Yield a path to write to, which is renamed to ``path`` at the end of the block, or removed after an error.

    ``scratch`` is that path, by default ``path`` with ``.part``; ``sync`` lets the file survive a power failure.
    """
    scratch = scratch or path.with_name(f"{path.name}.part")
    try:
        yield scratch
        if sync:
            sync_file(scratch)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    if sync:
        sync_directory(path.parent)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Write a file, or all files of a folder, to disk, so that they survive a power failure. Raises OSError."""
    if path.is_dir():
        for picture in path.iterdir():
            sync_file(picture)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """The same for the names in a directory, on systems that need it."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
