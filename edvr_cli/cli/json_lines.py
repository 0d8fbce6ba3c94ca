"""Events of the work as lines of JSON on standard output, for scripts; docs/jobs.md lists them."""

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

from edvr_cli.cli.hints import with_hint
from edvr_cli.errors import EdvrError
from edvr_cli.events import Event

__all__ = ["JsonLines"]


class JsonLines:
    """Writes each event as an object: its fields, and as ``event`` its kind; a context manager."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            hint = error.hint if isinstance(error, EdvrError) else None
            message = with_hint(str(error), hint)
            self._write({"event": "error", "kind": type(error).__name__, "message": message, "hint": hint})

    def __call__(self, event: Event) -> None:
        """Write one event."""
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
        self._write({"event": kind, **_plain(event)})

    def interrupted(self) -> None:
        """Say that a first Ctrl-C was taken note of."""
        self._write({"event": "interrupted"})

    def _write(self, line: dict[str, Any]) -> None:
        click.echo(json.dumps(line))


def _plain(value: object) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
