"""What commands say to people: on standard error, as far as --log-level lets it, and into --log-file.

Colors are left out where standard error is no terminal or NO_COLOR is set. Nothing that is said can end the work: a
full disk under the log file or a closed standard error only means that it is not said.
"""

import io
import os
import sys
from contextlib import suppress
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import click
from rich.text import Text

from edvr_cli.cli.output import PlainConsole, markup
from edvr_cli.errors import reason_of
from edvr_cli.system.text import printable

__all__ = ["LOG_OPTIONS", "Level", "Messages", "begin", "log", "log_traceback", "say", "wants_traceback"]

Level = Literal["debug", "info", "warning", "error"]
_LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")


class _Settings:
    """Of this run of the command."""

    level: Level = "info"
    file: TextIOWrapper | None = None


_settings = _Settings()


class _Forgiving(io.TextIOBase):
    """Standard error, which takes everything: what it cannot write is lost."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # full, gone, or closed
            if (stream := _stderr()) is not None:
                stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            if (stream := _stderr()) is not None:
                stream.flush()

    def isatty(self) -> bool:
        return (stream := _stderr()) is not None and stream.isatty()

    def fileno(self) -> int:
        if (stream := _stderr()) is None:
            raise io.UnsupportedOperation("fileno")
        return stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(_stderr(), "encoding", None) or "utf-8"


def _stderr() -> TextIO | None:
    """Standard error itself: while a bar is shown, rich has its own in this place."""
    return getattr(sys.stderr, "rich_proxied_file", sys.stderr)


class Messages(PlainConsole):
    """A console on standard error; what is printed is of level info, and goes into the log file as plain text."""

    def __init__(self) -> None:
        # Bars and spinners are of level info, too.
        quiet = _settings.level in ("warning", "error")
        super().__init__(file=cast(TextIO, _Forgiving()), quiet=quiet)

    def print(self, *objects: Any, **options: Any) -> None:
        """Of level info."""
        # Bars draw themselves by printing things that are no text.
        if all(isinstance(thing, str | Text) for thing in objects):
            log(" ".join(map(str, objects)))
        super().print(*objects, **options)

    def warn(self, text: str) -> None:
        """A note that the user should not miss: of level warning."""
        log(text, "warning")
        quiet, self.quiet = self.quiet, _settings.level == "error"
        super().print(markup("[yellow]note:[/] {}", text), soft_wrap=not self.is_terminal)
        self.quiet = quiet


def say(text: str) -> None:
    """Write lines to standard error, whatever the level is."""
    stream = _Forgiving()
    stream.write("\n".join(printable(line) for line in text.split("\n")) + "\n")
    stream.flush()


def log(text: str, level: Level = "info") -> None:
    """Append a line to the log file, if there is one and the level is wanted."""
    if text.strip() and _LEVELS.index(level) >= _LEVELS.index(_settings.level):
        _write_line(f"{level}: {' '.join(printable(text).split())}")


def log_traceback(text: str) -> None:
    """Append a traceback to the log file, if there is one, line by line."""
    for line in text.splitlines():
        _write_line(f"error: {printable(line)}")


def _write_line(text: str) -> None:
    if _settings.file is None:
        return
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        _settings.file.write(f"{now} {os.getpid()} {text}\n")
    except OSError as error:
        _close()
        say(f"note: The log file cannot be written, and stays as it is: {reason_of(error)}.")


def _close() -> None:
    file, _settings.file = _settings.file, None
    if file is not None:
        with suppress(OSError):
            file.close()


def wants_traceback() -> bool:
    """Whether errors are to be shown with where they come from."""
    return _settings.level == "debug"


def begin() -> None:
    """Forget the settings of an earlier run in the same process."""
    _close()
    _settings.level = "info"


def _set_level(ctx: click.Context, param: click.Parameter, value: Level | None) -> None:
    if value is not None:
        _settings.level = value


def _set_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    try:
        file = value.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        raise click.BadParameter(f"{value} cannot be written: {reason_of(error)}", ctx, param) from error
    _settings.file = file


LOG_OPTIONS: list[click.Option] = [
    click.Option(
        ["--log-level"],
        type=click.Choice(_LEVELS),
        callback=_set_level,
        expose_value=False,
        is_eager=True,
        help="How much to say: notes and errors with warning, errors alone with error.  [default: info]",
    ),
    click.Option(
        ["--log-file"],
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_set_file,
        expose_value=False,
        is_eager=True,
        help="Append what is said to FILE, with times.",
    ),
]
