"""The contract for output files: whole under their name, or not there at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edvr_cli.errors import OutputError


@dataclass(frozen=True)
class Workspace:
    """A hidden directory beside the target, on the same disk, that disappears with whatever is in it.

    ``output`` is where to write what will become the target; it has the target's suffix.
    """

    directory: Path
    output: Path


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


@contextmanager
def target_file(
    target: str | os.PathLike[str], *, source: str | os.PathLike[str], overwrite: bool = False
) -> Iterator[Workspace]:
    """Work on a target: when the block ends well, ``output`` takes the target's name in one step.

    On any exception, an interrupt included, nothing is left and an older target is untouched. Raises
    OutputError as `check_target` does, and where the block ends without having written ``output``.
    """
    path = check_target(target, source=source, overwrite=overwrite)
    try:
        workspace = tempfile.TemporaryDirectory(prefix=f".{path.stem}.", suffix=".edvr", dir=path.parent)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be written: {error.strerror}.") from error
    with workspace as name:
        work = Workspace(Path(name), Path(name) / f"output{path.suffix}")
        yield work
        if not work.output.is_file():
            raise OutputError(f"{path} was not written.")
        check_target(path, source=source, overwrite=overwrite)  # Nobody else made one in the meantime.
        try:
            work.output.replace(path)
        except OSError as error:
            raise OutputError(f"{path} could not be put in place: {error.strerror}.") from error
