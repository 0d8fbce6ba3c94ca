"""Safe file access: outputs appear complete or not at all, and links prepared by others are not followed.

In a folder that others may write to, somebody may have made a link or a named pipe under the very name that this
program is about to use. So new files are created exclusively under random names, existing ones are opened only
where they are regular files, and neither follows a link.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom, BufferedReader
from pathlib import Path

from edvr_cli.errors import OutputError, reason_of

__all__ = [
    "append_to",
    "create",
    "is_own_folder",
    "new_folder",
    "only_trusted_write",
    "open_regular",
    "read_regular",
    "remove",
    "replacing",
    "replacing_path",
    "reserve",
    "sha256_of",
    "sync_directory",
    "sync_file",
    "take_name",
    "write_file",
]

# Windows has neither links of this kind nor the flag, and needs the last one for bytes to stay what they are.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a named pipe without a writer would be waited for


def create(path: Path) -> BufferedRandom:
    """A new file, open for writing, with the mode that the umask leaves. Raises FileExistsError for any taken name."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666), "w+b")


def open_regular(path: Path, *, write: bool = False) -> BufferedRandom | BufferedReader:
    """An existing regular file, open for reading, or for writing at its end as well.

    Raises OSError for a link, a named pipe, a device, and for a file that has another name elsewhere.
    """
    access = os.O_RDWR | os.O_APPEND if write else os.O_RDONLY
    try:
        handle = os.open(path, access | _NO_LINK | _NO_WAIT)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, which is not followed here", str(path)) from error
        raise
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if write and facts.st_nlink > 1:
            raise OSError(errno.EMLINK, "it is also called something else, where others may need it", str(path))
        if write:
            return open(handle, "a+b")  # noqa: PTH123 (a descriptor, handed on)
        return open(handle, "rb")  # noqa: PTH123
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path) -> bytes:
    """The content of a regular file: see `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def append_to(path: Path, content: bytes) -> None:
    """Add to a regular file, on disk when this returns. Raises OutputError where it cannot be written."""
    with _named(path), open_regular(path, write=True) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[BufferedRandom]:
    """A new file that takes the name ``path``, on disk, when the block ends well, and is removed otherwise.

    Raises OutputError where it cannot be written.
    """
    temporary = path.with_name(f".edvr-{secrets.token_hex(8)}.part")
    with _named(path, temporary):
        file = create(temporary)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            take_name(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_directory(path.parent)


@contextmanager
def replacing_path(path: Path) -> Iterator[Path]:
    """A path to write to by its name; its file takes the name ``path`` when the block ends well: see `replacing`.

    It lies in a new folder that only this user may enter, and is called as ``path`` is.
    """
    folder = path.with_name(f".edvr-{secrets.token_hex(8)}")
    temporary = folder / path.name
    with _named(path, temporary, folder):
        folder.mkdir(mode=0o700)
        try:
            yield temporary
            sync_file(temporary)
            take_name(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()
        sync_directory(path.parent)


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file: see `replacing`."""
    with replacing(path) as file:
        file.write(content)


def take_name(path: Path, target: Path) -> None:
    """Rename a file to ``target``. Where that replaces a file, who may read and write it stays as it was."""
    with suppress(OSError):  # Nothing there; or a file system without modes.
        facts = target.lstat()
        if stat.S_ISREG(facts.st_mode):
            path.chmod(stat.S_IMODE(facts.st_mode) & 0o777)
    path.replace(target)


def remove(path: Path) -> None:
    """Remove a file, a link or a named pipe, if it is there; never a folder, nor what a link leads to."""
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()


def reserve(path: Path) -> None:
    """Make an empty file for a library that opens files by name; what had that name is removed, unless it is a folder.

    Raises OutputError where that cannot be.
    """
    with _named(path):
        remove(path)
        create(path).close()


def new_folder(path: Path) -> bool:
    """Make a folder that only this user may enter; False where something has that name."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def is_own_folder(path: Path) -> bool:
    """Whether ``path`` is a folder, not a link to one, of the user that files made in it belong to.

    Who that is, is tried: some file systems give everything to one user, whoever writes. Raises OSError where nothing
    can be made there.
    """
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        return False
    if os.name != "posix":
        return True
    probe = path / f".edvr-{secrets.token_hex(8)}.part"
    with create(probe) as file:
        owner = os.fstat(file.fileno()).st_uid
        probe.unlink()
    if owner != facts.st_uid:
        return False
    if facts.st_mode & 0o022:
        with suppress(OSError):
            path.chmod(0o700)
    return True


def only_trusted_write(folder: Path) -> bool:
    """Whether nobody but this user and the system's can have put anything into a folder."""
    if os.name != "posix":
        return True
    try:
        facts = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid in (0, os.geteuid()) and not facts.st_mode & 0o022


def sync_file(path: Path) -> None:
    """Write a file, or all files of a folder, to disk, so that they survive a power failure.

    Raises OSError where it cannot.
    """
    if path.is_dir():
        for item in path.iterdir():
            sync_file(item)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """The same for the names in a directory, on systems that support it."""
    if os.name != "posix":
        return
    try:
        handle = os.open(directory, os.O_RDONLY)
    except PermissionError:  # One that may be written to, but not be listed.
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # Network file systems know of none.
            raise
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """The file's digest, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _named(path: Path, *temporary: Path) -> Iterator[None]:
    """Raise the system's errors over this file as OutputError, under its name instead of a temporary one."""
    try:
        yield
    except OSError as error:
        own = {None, str(path), *map(str, temporary)}
        if error.filename not in own:  # Something else that was read or written within the block.
            raise
        raise OutputError(f"{path} cannot be written: {reason_of(error)}.") from error
