"""Output files: checks, and placement in one step."""

import os
from pathlib import Path

from edvr_cli.errors import OutputError, reason_of
from edvr_cli.system.files import sync_directory, take_name
from edvr_cli.video.file_names import STANDARD_OUTPUT
from edvr_cli.video.image_sequences import ImageNames, find_images, output_names


def check_target(target: str | os.PathLike[str], *, source: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """The target's path, if writing there is allowed and possible.

    Raises OutputError where the target is the source (by any name, links followed), exists without
    ``overwrite``, is not a file, or where its directory is missing or not writable. For pictures this holds of each
    of them; their folder is made if need be. Standard output (``-``) is not looked at.
    """
    path = Path(target)
    if path == STANDARD_OUTPUT:
        return path
    images = _images(path, source)
    if images is not None:
        _check_images(images, source, overwrite=overwrite)
        _check_directory(images.folder if images.folder.exists() else images.folder.parent)
        return path
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise OutputError(f"{path} is the input itself; give the output another name.")
    if path.is_dir():
        raise OutputError(f"{path} is a directory; give a file name in it.")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists.", hint="overwrite")
    _check_directory(path.parent)
    return path


def scratch_path(target: Path, source: str | os.PathLike[str]) -> Path:
    """The path that scratch files are named after: the target, or a path in the folder of its pictures."""
    images = None if target == STANDARD_OUTPUT else _images(target, source)
    if images is None or images.single:
        return target
    return images.folder / images.folder.name if images.folder.is_dir() else images.folder


def put_in_place(
    output: Path, target: str | os.PathLike[str], *, source: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """Give a finished file, or folder of pictures, on the target's disk the target's name, in one step.

    Pictures whose folder is there take their places one after the other. Raises OutputError as `check_target`
    does, as somebody may have made the target in the meantime.
    """
    path = check_target(target, source=source, overwrite=overwrite)
    images = _images(path, source)
    try:
        if images is None or images.single:
            take_name(output, path)
        elif not images.folder.exists():
            path = output.rename(images.folder)
        else:
            for picture in sorted(output.iterdir()):
                take_name(picture, images.folder / picture.name)
            path = images.folder / "."
            output.rmdir()
    except OSError as error:
        raise OutputError(f"{path} could not be put in place: {reason_of(error)}.") from error
    sync_directory(path.parent)


def _images(target: Path, source: str | os.PathLike[str]) -> ImageNames | None:
    """Names of the pictures, if ``target`` means pictures."""
    return output_names(target, find_images(Path(source)) or ())


def _check_images(images: ImageNames, source: str | os.PathLike[str], *, overwrite: bool) -> None:
    taken = images.taken()
    own = {path.resolve() for path in find_images(Path(source)) or [Path(source)]}
    if any(path.resolve() in own for path in taken):
        raise OutputError(f"{images.folder}: these pictures are the input itself; give the output another name.")
    if taken and not overwrite:
        more = f" and {len(taken) - 1} more exist" if len(taken) > 1 else " exists"
        raise OutputError(f"{taken[0]}{more}.", hint="overwrite")


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise OutputError(f"{directory} does not exist; create the directory first.")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OutputError(f"{directory} is not writable.")
