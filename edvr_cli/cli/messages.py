"""Messages of the command: on standard error, filtered by --log-level, and in --log-file by the standard logging.

The library logs its decisions at level debug, by loggers below ``edvr_cli``. Colors are left out where standard error
is not a terminal or NO_COLOR is set. No message can end the work: with a full disk under the log file, or a closed
standard error, it is lost.
"""

import io
import logging
import sys
import textwrap
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import click
from rich.text import Text

from edvr_cli.cli.help import put_into_section
from edvr_cli.cli.output import PlainConsole, markup
from edvr_cli.errors import reason_of
from edvr_cli.system.text import printable

__all__ = ["LOG_OPTIONS", "Level", "Messages", "begin", "log", "log_traceback", "say", "wants_traceback"]

Level = Literal["debug", "info", "warning", "error"]
_NUMBERS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


_LOGGER = logging.getLogger("edvr_cli")


class _Forgiving(io.TextIOBase):
    """Standard error; what it cannot write is lost."""

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
        quiet = _LOGGER.level > logging.INFO
        super().__init__(file=cast(TextIO, _Forgiving()), quiet=quiet)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print at level info, and append to the log file."""
        # Bars print objects that are not text.
        if all(isinstance(thing, str | Text) for thing in objects):
            log(" ".join(map(str, objects)))
        super().print(*objects, **options)

    def warn(self, text: str) -> None:
        """Print a note at level warning, and append it to the log file."""
        log(text, "warning")
        quiet, self.quiet = self.quiet, _LOGGER.level > logging.WARNING
        super().print(markup("[yellow]note:[/] {}", text), soft_wrap=not self.is_terminal)
        self.quiet = quiet


def say(text: str, *, wrap: bool = False) -> None:
    """Write lines to standard error, whatever the level is; ``wrap``: on a terminal, no wider than it is."""
    stream = _Forgiving()
    lines = [printable(line) for line in text.split("\n")]
    if wrap and stream.isatty():
        lines = [part for line in lines for part in _wrapped(line, Messages().width)]
    stream.write("\n".join(lines) + "\n")
    stream.flush()


def _wrapped(line: str, width: int) -> list[str]:
    """A line in pieces of whole words; a path that is longer stays in one piece, to be copied."""
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]


def log(text: str, level: Level = "info") -> None:
    """Append a line to the log file, if there is one and the level is wanted."""
    if text.strip():
        _LOGGER.log(_NUMBERS[level], "%s", " ".join(printable(text).split()))


def log_traceback(text: str) -> None:
    """Append a traceback to the log file, if there is one, line by line."""
    for line in text.splitlines():
        _LOGGER.error("%s", printable(line))


class _Line(logging.Formatter):
    """Time, process and level before each message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(process)d %(levelname)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (logging's name)
        """The local time with its offset."""
        return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")

    def format(self, record: logging.LogRecord) -> str:
        """The line, its level in lower case."""
        line = super().format(record)
        return line.replace(f" {record.levelname}: ", f" {record.levelname.lower()}: ", 1)


class _LogFile(logging.StreamHandler):
    """A log file; after a failure the rest of the messages is dropped, with a note."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Close the file and report it."""
        error = sys.exc_info()[1]
        _close()
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        say(f"note: The log file cannot be written and remains incomplete: {reason}.")

    def close(self) -> None:
        """Close the file as well."""
        with suppress(OSError, ValueError):
            self.stream.close()
        super().close()


def _close() -> None:
    for handler in _LOGGER.handlers[:]:
        _LOGGER.removeHandler(handler)
        handler.close()


def wants_traceback() -> bool:
    """Whether errors are shown with their tracebacks."""
    return _LOGGER.level <= logging.DEBUG


def begin() -> None:
    """Drop the settings of an earlier run in the same process."""
    _close()
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False  # the root logger would print to standard error
    _LOGGER.addHandler(logging.NullHandler())


def _set_level(ctx: click.Context, param: click.Parameter, value: Level | None) -> None:
    if value is not None:
        _LOGGER.setLevel(_NUMBERS[value])


def _set_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    try:
        file = value.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        raise click.BadParameter(f"{value} cannot be written: {reason_of(error)}", ctx, param) from error
    handler = _LogFile(file)
    handler.setFormatter(_Line())
    _LOGGER.addHandler(handler)


LOG_OPTIONS: list[click.Option] = [
    click.Option(
        ["--log-level"],
        type=click.Choice(list(_NUMBERS)),
        callback=_set_level,
        expose_value=False,
        is_eager=True,
        help="Least severe messages to show; debug adds decisions to the log file.  [default: info]",
    ),
    click.Option(
        ["--log-file"],
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_set_file,
        expose_value=False,
        is_eager=True,
        help="Append messages to FILE, with times.",
    ),
]
for _option in LOG_OPTIONS:
    put_into_section(_option, "Display")
