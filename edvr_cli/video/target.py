"""The contract for output files: whole under their name, or not there at all."""

import os
from pathlib import Path

from edvr_cli.errors import OutputError


def check_target(target: str | os.PathLike[str], *, source: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """The target's path, if writing there is allowed and possible.

    Raises OutputError where the target is the source (by any name, links followed), exists without
    ``overwrite``, is not a file, or where its directory is missing or not writable.
    """
    path = Path(target)
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise OutputError(f"{path} is the input itself; give the output another name.")
    if path.is_dir():
        raise OutputError(f"{path} is a directory; give a file name in it.")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; give --overwrite (-y) to replace it.")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} does not exist; make the directory first.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path.parent} is not writable.")
    return path


def put_in_place(
    output: Path, target: str | os.PathLike[str], *, source: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """Give a finished file on the target's disk the target's name, in one step.

    Raises OutputError as `check_target` does, as somebody may have made the target in the meantime.
    """
    path = check_target(target, source=source, overwrite=overwrite)
    try:
        output.replace(path)
    except OSError as error:
        raise OutputError(f"{path} could not be put in place: {error.strerror}.") from error
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Have the system write a file to disk, so that it survives a power failure. Raises OSError where it cannot."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """The same for the names in a directory, where the system knows of that."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
