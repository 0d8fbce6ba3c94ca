"""What commands say to people: on standard error, as far as --log-level lets it, and into --log-file.

Colors are left out where standard error is no terminal or NO_COLOR is set.
"""

import os
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.text import Text

__all__ = ["LOG_OPTIONS", "Level", "Messages", "begin", "log", "wants_traceback"]

Level = Literal["debug", "info", "warning", "error"]
_LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")


class _Settings:
    """Of this run of the command."""

    level: Level = "info"
    file: TextIOWrapper | None = None


_settings = _Settings()


class Messages(Console):
    """A console on standard error; what is printed is of level info, and goes into the log file as plain text."""

    def __init__(self) -> None:
        # Bars and spinners are of level info, too.
        super().__init__(stderr=True, highlight=False, quiet=_settings.level in ("warning", "error"))

    def print(self, *objects: Any, **options: Any) -> None:
        """Of level info."""
        # Bars draw themselves by printing things that are no text.
        if all(isinstance(thing, str) for thing in objects):
            text = " ".join(objects)
            log(Text.from_markup(text).plain if options.get("markup", True) else text)
        super().print(*objects, **options)

    def warn(self, markup: str) -> None:
        """A note that the user should not miss: of level warning."""
        log(Text.from_markup(markup).plain, "warning")
        quiet, self.quiet = self.quiet, _settings.level == "error"
        super().print(f"[yellow]note:[/] {markup}", soft_wrap=not self.is_terminal)
        self.quiet = quiet


def log(text: str, level: Level = "info") -> None:
    """Append a line to the log file, if there is one and the level is wanted."""
    if _settings.file is not None and text.strip() and _LEVELS.index(level) >= _LEVELS.index(_settings.level):
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        _settings.file.write(f"{now} {os.getpid()} {level}: {' '.join(text.split())}\n")


def wants_traceback() -> bool:
    """Whether errors are to be shown with where they come from."""
    return _settings.level == "debug"


def begin() -> None:
    """Forget the settings of an earlier run in the same process."""
    if _settings.file is not None:
        _settings.file.close()
    _settings.level, _settings.file = "info", None


def _set_level(ctx: click.Context, param: click.Parameter, value: Level | None) -> None:
    if value is not None:
        _settings.level = value


def _set_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    try:
        file = value.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise click.BadParameter(f"{value} cannot be written: {error.strerror}", ctx, param) from error
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
