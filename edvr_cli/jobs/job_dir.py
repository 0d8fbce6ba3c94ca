"""The directory of a job: hidden, next to the target, on the same disk."""

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from edvr_cli.errors import OutputError, reason_of
from edvr_cli.system.files import is_own_folder, new_folder, open_regular, read_regular, remove, write_file

__all__ = ["JobDirectory"]

_JOB_FILES = re.compile(r"\d{8,}\.mkv(\.part)?|output(\.\w+)?|manifest\.jsonl|\.edvr-[0-9a-f]{16}\.part|lock|owner")
# A folder of pictures is recognized by a name that nobody would choose: a folder called otherwise is never removed.
_PICTURES = re.compile(r"pictures-[0-9a-f]{32}")
_MAX_NAME_BYTES = 240  # file systems allow 255


class JobDirectory:
    """The directory of the job whose result is ``target``; only files of the job are ever removed.

    Nobody else may write there: a directory of another user, or a link to one, is refused.
    """

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
        OutputError where another run is at work there, or where the directory cannot be made or is not this user's.
        """
        try:
            if not new_folder(self.directory):
                self._check_directory()
            lock = FileLock(self.directory / "lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"{self.directory} is in use by another run{self._holder()}; wait for it to end."
            ) from error
        except OSError as error:
            raise OutputError(f"{self.directory} cannot be written: {reason_of(error)}.") from error
        try:
            with suppress(OutputError):  # Only a message needs it.
                write_file(self._owner, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
            yield
        finally:
            with suppress(OSError):  # What ends the work is worth more than what is left behind.
                self._leave()  # While no other run can enter.
            lock.release()

    def sweep(self) -> None:
        """Remove the directory of a run that was killed before it had anything, or after it had cleaned up."""
        if self.directory.is_dir() and not self.manifest.exists():
            with self.locked():
                pass

    def pictures(self) -> Path:
        """A name for a new folder in which the job's pictures are collected."""
        return self.directory / f"pictures-{secrets.token_hex(16)}"

    def clear(self) -> None:
        """Remove the files of earlier runs, the lock excepted; the manifest last, which says what they are."""
        self.clear_unfinished(set())
        remove(self.manifest)

    def clear_unfinished(self, keep: set[str]) -> None:
        """Remove what earlier runs did not finish: all but the segments named in ``keep`` and the manifest."""
        for path in self._items():
            if not _is_ours(path) or path.name in {*keep, "lock", "owner", self.manifest.name}:
                continue
            if _is_folder(path):
                shutil.rmtree(path)
            else:
                remove(path)

    def _check_directory(self) -> None:
        """Raises OutputError where the directory, or what is to be written to in it, is somebody else's."""
        if not is_own_folder(self.directory):
            what = "a link" if self.directory.is_symlink() else "another user's or not a folder"
            raise OutputError(f"{self.directory} is {what}; remove it, or choose another output.")
        for name in ("lock", self.manifest.name):
            try:
                open_regular(self.directory / name, write=True).close()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise OutputError(
                    f"{self.directory / name} cannot be used: {reason_of(error)}; remove {self.directory}."
                ) from error

    def _items(self) -> list[Path]:
        return list(self.directory.iterdir()) if self.directory.is_dir() else []

    def _leave(self) -> None:
        """Remove the directory where nothing of the job is left in it."""
        own = {"lock", "owner"}
        if {path.name for path in self._items() if _is_ours(path)} <= own:
            with suppress(OSError):  # Windows keeps open files; and someone else's file may be in it.
                for name in own:
                    remove(self.directory / name)
                self.directory.rmdir()

    def _holder(self) -> str:
        try:
            owner = json.loads(read_regular(self._owner))
            return f" (process {owner['pid']} on {owner['host']})"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""


def _is_ours(path: Path) -> bool:
    """Whether something in the directory is the job's, by its name and by whether it is a folder."""
    return (_PICTURES if _is_folder(path) else _JOB_FILES).fullmatch(path.name) is not None


def _is_folder(path: Path) -> bool:
    """Whether it is one itself, and not a link to one."""
    return stat.S_ISDIR(path.lstat().st_mode)
