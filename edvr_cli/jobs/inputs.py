"""Inputs of a batch: folders, patterns and lists of videos, and the output of each."""

import fnmatch
import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edvr_cli.errors import InputError
from edvr_cli.video.file_names import FORMATS
from edvr_cli.video.image_sequences import LOSSLESS, holds_images, is_still_picture

__all__ = ["Entry", "Selection", "find_entries", "is_batch", "writable_name"]

# What files of videos are called; others in a folder are left alone unless a pattern includes them.
_SUFFIXES = {
    ".3gp", ".apng", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".m2t", ".m2ts", ".m2v", ".m4v",
    ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb",
    ".ts", ".vob", ".webm", ".wmv", ".y4m",
}  # fmt: skip


_WRITTEN_SUFFIXES = (FORMATS.keys() - {".webm"}) | LOSSLESS.keys()


@dataclass(frozen=True)
class Entry:
    """One video of a batch."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Selection:
    """Which files of folders are restored; patterns match names and paths below the folder."""

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, name: Path) -> bool:
        """Whether a file, by its path below the folder, is to be restored."""
        if any(part.startswith(".") for part in name.parts) or _matches(name, self.exclude):
            return False
        return _matches(name, self.include) if self.include else name.suffix.lower() in _SUFFIXES


def is_batch(inputs: Sequence[str]) -> bool:
    """Whether the inputs may be several files."""
    return len(inputs) != 1 or _is_folder_of_videos(Path(inputs[0])) or _is_pattern(inputs[0])


def find_entries(inputs: Sequence[str], output: Path | None, selection: Selection, suffix: str) -> list[Entry]:
    """The files that ``inputs`` (files, folders, patterns) mean, in order, each once.

    Outputs lie below ``output`` as the inputs do below their folders. Without one, those of a folder lie in
    ``<folder>_<suffix>`` beside it, and those of files beside them as ``<file>_<suffix>``. No two entries share an
    output. Raises InputError for a pattern that nothing matches.
    """
    found: list[Entry] = []
    seen: set[Path] = set()
    for text in inputs:
        for root, source in _files(text, selection):
            identity = source.resolve()
            if identity in seen or (output is not None and identity.is_relative_to(output.resolve())):
                continue
            seen.add(identity)
            if root is not None:
                folder = output or _beside(root, suffix)
                below = source.relative_to(root)
            elif output is not None:
                folder, below = output, Path(source.name)
            else:
                folder, below = source.parent, Path(f"{source.stem}_{suffix}{source.suffix}")
            found.append(Entry(source, folder / writable_name(below, source)))
    return _apart(found)


def writable_name(name: Path, source: Path | None = None) -> Path:
    """The output's name for an input's name: .mkv replaces containers that cannot be written.

    So does WebM, which does not hold what encoders make by default. A picture, ``source`` or else that name, becomes a
    PNG.
    """
    if name.suffix.lower() in _WRITTEN_SUFFIXES:
        return name
    return name.with_suffix(".png" if is_still_picture(source or name) else ".mkv")


def _is_folder_of_videos(path: Path) -> bool:
    """Whether a folder is a batch; one with pictures and without videos is one video, picture by picture."""
    if not path.is_dir():
        return False
    return not holds_images(path) or any(item.suffix.lower() in _SUFFIXES for item in path.iterdir())


def _beside(folder: Path, suffix: str) -> Path:
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return named.with_name(f"{named.name}_{suffix}")


def _files(text: str, selection: Selection) -> Iterator[tuple[Path | None, Path]]:
    """(folder in which it was found, or None; file) for each file that one input means."""
    path = Path(text)
    if path.is_dir():
        pattern = "**/*" if selection.recursive else "*"
        for file in sorted(path.glob(pattern)):
            if file.is_file() and selection.takes(file.relative_to(path)):
                yield path, file
    elif _is_pattern(text):
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute patterns)
        if not matches:
            raise InputError(f"{text}: no file matches.", wrong_usage=True)
        for match in matches:
            file = Path(match)
            if file.is_file() and not _matches(Path(file.name), selection.exclude):
                yield None, file
    else:
        yield None, path  # Whether it exists is checked when it is restored.


def _apart(entries: list[Entry]) -> list[Entry]:
    """Give each entry its output, where several would share one.

    Where another suffix would be lost it is kept (``a.avi.mkv``); files of several folders are told apart by these.
    """
    shared = _shared(entries)
    entries = [_with_suffix(entry) if entry.target in shared else entry for entry in entries]
    shared = _shared(entries)
    parents = [entry.source.resolve().parent for entry in entries if entry.target in shared]
    if parents:
        common = Path(os.path.commonpath(parents))
        entries = [_below(common, entry) if entry.target in shared else entry for entry in entries]
    if shared := _shared(entries):
        raise InputError(f"Several inputs would be written to {min(shared)}; give them other names.")
    return entries


def _shared(entries: list[Entry]) -> set[Path]:
    """Targets of more than one entry, also where the file system takes upper and lower case for the same."""
    counts = Counter(str(entry.target.absolute()).lower() for entry in entries)
    return {entry.target for entry in entries if counts[str(entry.target.absolute()).lower()] > 1}


def _with_suffix(entry: Entry) -> Entry:
    target = entry.target
    if entry.source.suffix == target.suffix:
        return entry
    return replace(entry, target=target.with_name(f"{target.stem}{entry.source.suffix}{target.suffix}"))


def _below(common: Path, entry: Entry) -> Entry:
    below = entry.source.resolve().parent.relative_to(common)
    return replace(entry, target=entry.target.parent / below / entry.target.name)


def _is_pattern(text: str) -> bool:
    return glob.has_magic(text) and not Path(text).exists()


def _matches(name: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(text, pattern) for pattern in patterns for text in (name.name, name.as_posix()))
