"""Events of the work as lines of JSON on standard output, for scripts; docs/guide/jobs.md lists them."""

import re
from types import TracebackType
from typing import Any, Self

from edvr_cli.cli.hints import with_hint
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import discard, echo_json, plain_data
from edvr_cli.errors import EdvrError, OutputError, sentence_of
from edvr_cli.events import Event

__all__ = ["JsonLines"]


class JsonLines:
    """Writes each event as an object: its fields, and as ``event`` its kind; a context manager."""

    def __init__(self) -> None:
        self._reader_gone = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            hint = error.hint if isinstance(error, EdvrError) else None
            message = with_hint(sentence_of(error), hint)
            self._write({"event": "error", "kind": type(error).__name__, "message": message, "hint": hint})

    def __call__(self, event: Event) -> None:
        """Write one event."""
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
        self._write({"event": kind, **plain_data(event)})

    def interrupted(self) -> None:
        """Report the first Ctrl-C."""
        self._write({"event": "interrupted"})

    def _write(self, line: dict[str, Any]) -> None:
        if self._reader_gone:
            return
        try:
            echo_json(line)
        except OutputError as error:  # What is said about the work does not end it.
            self._reader_gone = True
            discard()
            Messages().warn(f"{error} No more events are written; the work continues.")
