"""Standard output and consoles: texts are shown literally, never as markup or as terminal commands.

What a file or its name says may hold brackets, which rich takes for markup, control characters, which a terminal
takes for commands, and letters that the output's encoding lacks.
"""

import codecs
import io
import json
import math
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from edvr_cli.errors import OutputError, reason_of
from edvr_cli.system.text import printable

__all__ = [
    "PlainConsole",
    "discard",
    "echo",
    "echo_json",
    "echo_path",
    "encode_anything",
    "flush",
    "markup",
    "plain",
    "plain_data",
]

# What is meant by the few signs of this program's own that old encodings lack.
_SIMPLER = str.maketrans({"→": "->", "×": "x", "≥": ">=", "≤": "<=", "…": "...", "–": "-", "²": "2", "°": " deg"})
_ERRORS = "edvr-plain"


def markup(template: str, *values: object) -> Text:
    """Rich markup with texts filled in as they are: ``markup("[bold]{}[/]", name)``."""
    texts = [escape(printable(str(value))) for value in values]
    return Text.from_markup(template.format(*texts), emoji=False)


def plain(text: object) -> str:
    """A text for what takes nothing but markup, such as the description of a bar."""
    return escape(printable(str(text)))


class PlainConsole(Console):
    """A console on standard output whose strings, in tables as well, are plain text; styles come with `markup`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Raises OutputError where standard output does not take it."""
        _guarded(lambda: super(PlainConsole, self).print(*objects, **options))

    def tell(self, text: str | Text) -> None:
        """Print a sentence, in pieces of whole words on a terminal; elsewhere, as in a log, a line stays one line."""
        self.print(text, soft_wrap=not self.is_terminal)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as it is, without control characters; line ends stay."""
        lines = [printable(line) for line in text.split("\n")]
        return super().render_str("\n".join(lines), **{**options, "markup": False, "emoji": False})


def echo(text: str = "") -> None:
    """Write lines to standard output. Raises OutputError where it does not take them."""
    _write("\n".join(printable(line) for line in text.split("\n")) + "\n")


def echo_path(path: str | os.PathLike[str]) -> None:
    """Write a result's path to standard output: for scripts byte by byte as the file system has it."""
    if sys.stdout is None:
        return
    if sys.stdout.isatty() or not hasattr(sys.stdout, "buffer"):
        echo(os.fspath(path))
        return
    _guarded(lambda: (sys.stdout.flush(), sys.stdout.buffer.write(os.fsencode(path) + b"\n"), sys.stdout.flush()))


def echo_json(value: object, *, indent: int | None = None) -> None:
    """Write ``value`` as JSON to standard output: see `plain_data`. No character is outside the output's encoding."""
    text = json.dumps(plain_data(value), indent=indent, ensure_ascii=False, allow_nan=False)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _write("".join(_json_character(character, encoding) for character in text) + "\n")


def plain_data(value: object) -> Any:
    """Plain values for JSON: texts without control characters, but paths as they are, as they are for scripts.

    JSON has no infinity, which is the PSNR of equal frames, and no NaN: they are null.
    """
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(str(key)): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    if is_dataclass(value):
        return {field.name: plain_data(getattr(value, field.name)) for field in fields(value)}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def encode_anything(*streams: TextIO | None) -> None:
    """Let streams take any character: what their encoding lacks is spelled out."""
    codecs.register_error(_ERRORS, _spelled_out)
    for stream in streams:
        if stream is not None and hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):  # one that was closed, or is something else by now
                stream.reconfigure(errors=_ERRORS)


def flush() -> None:
    """Write out what standard output still holds. Raises OutputError where it does not take it."""
    if sys.stdout is not None:
        _guarded(sys.stdout.flush)


def discard() -> None:
    """Give up what standard output did not take: it would fail again when the interpreter ends."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        sys.stdout = io.StringIO()


def _write(text: str) -> None:
    if sys.stdout is not None:
        _guarded(lambda: (sys.stdout.write(text), sys.stdout.flush()))


def _guarded(write: Callable[[], object]) -> None:
    try:
        write()
    except BrokenPipeError as error:
        raise OutputError("Standard output was closed by its reader.") from error
    except OSError as error:
        raise OutputError(f"Standard output cannot be written: {reason_of(error)}.") from error


def _spelled_out(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    simpler = text.translate(_SIMPLER)
    return (simpler, error.end) if simpler.isascii() else codecs.backslashreplace_errors(error)


def _json_character(character: str, encoding: str) -> str:
    """As it is, or as an escape of JSON's where a terminal or an encoding would not take it."""
    if character.isascii():
        return character  # json has escaped the controls
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(character)[1:-1]
    return character if character == printable(character) else json.dumps(character)[1:-1]
