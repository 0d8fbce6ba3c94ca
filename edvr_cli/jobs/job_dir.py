"""The directory of a job: hidden, next to the target, on the same disk."""

import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from edvr_cli.errors import OutputError

__all__ = ["JobDirectory"]

_OURS = re.compile(r"\d{8,}\.mkv(\.part)?|output(\.\w+)?|manifest\.(jsonl|part)|lock|owner")
_MAX_NAME_BYTES = 240  # file systems allow 255


class JobDirectory:
    """The directory of the job whose result is ``target``; only files of the job are ever removed."""

    def __init__(self, target: Path) -> None:
        name = f".{target.name}.edvr"
        if len(os.fsencode(name)) > _MAX_NAME_BYTES:
            name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:32]}.edvr"
        self.directory = target.parent / name
        self.manifest = self.directory / "manifest.jsonl"
        self.output = self.directory / f"output{target.suffix}"
        self._owner = self.directory / "owner"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the directory, and keep other runs from it.

        The lock is the operating system's: it ends with the process that holds it, however that ends. Raises
        OutputError where another run is at work there, or where the directory cannot be made.
        """
        try:
            self.directory.mkdir(exist_ok=True)
            lock = FileLock(self.directory / "lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"{self.directory} is in use by another run{self._holder()}; wait for it to end."
            ) from error
        except OSError as error:
            raise OutputError(f"{self.directory} cannot be written: {error.strerror}.") from error
        try:
            with suppress(OSError):  # Only a message needs it.
                self._owner.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
            yield
        finally:
            self._leave()  # While no other run can enter.
            lock.release()

    def sweep(self) -> None:
        """Remove the directory of a run that was killed before it had anything, or after it had cleaned up."""
        if self.directory.is_dir() and not self.manifest.exists():
            with self.locked():
                pass

    def clear(self) -> None:
        """Remove the files of earlier runs, the lock excepted; the manifest last, which says what they are."""
        self._clear_pictures()
        names = [path for path in self._files() if path.name not in ("lock", "owner", self.manifest.name)]
        for path in [*names, self.manifest]:
            path.unlink(missing_ok=True)

    def clear_unfinished(self, keep: set[str]) -> None:
        """Remove what earlier runs did not finish: all but the segments named in ``keep`` and the manifest."""
        self._clear_pictures()
        for path in self._files():
            if path.name not in {*keep, "lock", "owner", self.manifest.name}:
                path.unlink(missing_ok=True)

    def _clear_pictures(self) -> None:
        """Remove the folder in which a job's pictures are collected."""
        if self.output.is_dir():
            shutil.rmtree(self.output)

    def _files(self) -> list[Path]:
        return [path for path in self.directory.iterdir() if path.is_file() and _OURS.fullmatch(path.name)]

    def _leave(self) -> None:
        """Remove the directory where nothing of the job is left in it."""
        own = {"lock", "owner"}
        if {path.name for path in self._files()} <= own:
            with suppress(OSError):  # Windows keeps open files; and someone else's file may be in it.
                for name in own:
                    (self.directory / name).unlink(missing_ok=True)
                self.directory.rmdir()

    def _holder(self) -> str:
        try:
            owner = json.loads(self._owner.read_text())
            return f" (process {owner['pid']} on {owner['host']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""
