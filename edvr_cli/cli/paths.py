"""Paths on the command line: inputs, and where the outputs go."""

import codecs
import os
from collections.abc import Sequence
from glob import has_magic
from pathlib import Path

import click

from edvr_cli.errors import InputError, reason_of
from edvr_cli.jobs.inputs import writable_name
from edvr_cli.video.addresses import as_url, is_url
from edvr_cli.video.file_names import STANDARD_INPUT

__all__ = ["check_inputs", "read_paths", "single_target"]

# What Windows' editors and shells begin a text with; UTF-32's mark begins as UTF-16's does.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_paths(
    paths: Sequence[str], input_path: str | None, output_path: str | None, list_file: Path | None
) -> tuple[list[str], Path | None]:
    """(inputs, output or None for the default one).

    Of two paths the second is the output; of more, the last one if it is a folder. Raises UsageError for none, and
    for what is given twice.
    """
    listed = _lines(list_file) if list_file is not None else []
    if input_path is not None and paths:
        raise click.UsageError(f"IN is given twice: {paths[0]} and {input_path}.")
    inputs = [*paths] if input_path is None else [input_path]
    output = output_path
    if output is not None and len(inputs) > 1 and Path(output).suffix and not _is_folder(output):
        raise click.UsageError(f"OUT is given twice: {inputs[-1]} and {output}; several inputs need a folder.")
    several = len(inputs) + bool(listed)
    if output is None and inputs and (several == 2 or (several > 2 and _names_folder(inputs[-1]))):
        output = inputs.pop()
    inputs += listed
    if not inputs:
        raise click.UsageError("Missing argument 'IN': the video to restore.")
    if (
        output is not None
        and output.endswith(("/", os.sep))
        and not Path(output).exists()
        and len(inputs) == 1
        and not Path(inputs[0]).is_dir()
        and not has_magic(inputs[0])
    ):
        raise click.UsageError(f"{output} does not exist; create the folder first, or name a file.")
    if output is not None and any(_is_same_folder(text, output) for text in inputs):
        raise click.UsageError(f"{output} is the folder IN itself; name another one for OUT, or none.")
    return inputs, None if output is None else Path(output)


def single_target(source: Path, output: Path | None, suffix: str) -> Path:
    """Where one file's output goes: to ``output``, into it if it is a folder, or next to the input.

    The output of numbered pictures, in a folder or by a pattern, is a folder, or the same pattern in one.
    """
    if source == STANDARD_INPUT and (output is None or output.is_dir()):
        raise click.UsageError("Missing argument 'OUT': where to write what comes from standard input; - is a pipe.")
    if source.is_dir() or ("%" in source.name and not source.exists()):
        if output is not None:
            return output
        folder = source.resolve() if source.is_dir() else source.parent.resolve()
        beside = folder.with_name(f"{folder.name}_{suffix}")
        return beside if source.is_dir() else beside / writable_name(Path(source.name))
    if output is None:
        return writable_name(source.with_name(f"{source.stem}_{suffix}{source.suffix}"), source)
    return output / writable_name(Path(source.name), source) if output.is_dir() else output


def _names_folder(last: str) -> bool:
    """Whether the last of several paths is a folder for the outputs, there or to be made."""
    path = Path(last)
    if _is_folder(last) or path.exists() or has_magic(last):
        return _is_folder(last)
    if path.suffix:
        raise click.UsageError(f"{last} does not exist; several inputs need a folder for OUT.")
    return True


def _is_missing_folder(path: str) -> bool:
    return path.endswith(("/", os.sep)) and not Path(path).exists()


def _is_same_folder(first: str, second: str) -> bool:
    return Path(first).is_dir() and Path(second).is_dir() and Path(first).samefile(second)


def _is_folder(path: str) -> bool:
    return path.endswith(("/", os.sep)) or Path(path).is_dir()


def _lines(path: Path) -> list[str]:
    """The inputs in a text file, one per line; empty lines and those that begin with # are skipped."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {reason_of(error)}.") from error
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    text = content.decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")
    lines = [_unquoted(line.strip()) for line in text.removeprefix("\ufeff").splitlines()]
    if any("\0" in line for line in lines):
        raise click.UsageError(f"{path} is not a list of files, one per line.")
    return [line for line in lines if line and not line.startswith("#")]


def _unquoted(line: str) -> str:
    """A path without the quotes that Windows' "Copy as path" puts around it."""
    quoted = len(line) > 2 and line[0] == line[-1] and line[0] in "\"'"
    return line[1:-1] if quoted and not Path(line).exists() else line


def check_inputs(*paths: Path | None) -> None:
    """Raise InputError for an input that is missing: before torch is loaded."""
    for path in paths:
        if path is not None and path != STANDARD_INPUT and not path.exists() and "%" not in path.name:
            if is_url(str(path)):
                raise InputError(
                    f"{as_url(str(path))} is a URL; only upscale, deblur and info read one.", wrong_usage=True
                )
            raise InputError(f"{path}: no such file.", wrong_usage=True)
