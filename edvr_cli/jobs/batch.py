"""Restore many videos, one after the other; a failure is reported and the next one follows."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from traceback import format_exception

from edvr_cli.errors import EdvrError, StoppedError, sentence_of, unforeseen
from edvr_cli.events import BatchEnded, FileBegun, Finished, OnEvent, Outcome
from edvr_cli.jobs.inputs import Entry

__all__ = ["restore_batch", "watch"]


def restore_batch(
    entries: Iterable[Entry],
    restore: Callable[[Entry], Finished],
    *,
    count: int | None,
    skip_existing: bool,
    stop: Callable[[], bool],
    emit: OnEvent,
) -> list[Outcome]:
    """``restore`` each entry (``count`` of them, None: unknown) and emit each outcome, and all of them at the end.

    Folders of outputs are made. Raises StoppedError after ``stop``; other exceptions of ``restore`` become outcomes.
    """
    outcomes: list[Outcome] = []
    try:
        for number, entry in enumerate(entries, start=1):
            if stop():
                raise StoppedError(f"{entry.source} was not started.")
            emit(FileBegun(number, count, entry.source, entry.target))
            outcome = _restore(entry, restore, skip_existing=skip_existing)
            outcomes.append(outcome)
            emit(outcome)
    finally:
        emit(BatchEnded(tuple(outcomes)))
    return outcomes


def _restore(entry: Entry, restore: Callable[[Entry], Finished], *, skip_existing: bool) -> Outcome:
    began = time.monotonic()
    made: list[Path] = []
    try:
        if skip_existing and entry.target.exists():
            return Outcome(entry.source, entry.target, "skipped", message="the output exists")
        made = [folder for folder in (entry.target.parent, *entry.target.parent.parents) if not folder.exists()]
        entry.target.parent.mkdir(parents=True, exist_ok=True)
        finished = restore(entry)
    except StoppedError:
        raise
    except Exception as error:  # A fault of this program's in one file, too, is no reason to leave out the others.
        with suppress(OSError):  # Folders that are not empty stay.
            for folder in made:
                folder.rmdir()
        foreseen = isinstance(error, EdvrError | OSError)
        return Outcome(
            entry.source,
            entry.target,
            "failed",
            seconds=time.monotonic() - began,
            message=sentence_of(error) if foreseen else unforeseen(error),
            hint=error.hint if isinstance(error, EdvrError) else None,
            trace="" if foreseen else "".join(format_exception(error)),
        )
    short = finished.promised is not None
    return Outcome(
        entry.source,
        entry.target,
        "done",
        message=f"the input breaks off, {finished.promised} frames are promised" if short else "",
        frames=finished.frames,
        restored=finished.restored,
        seconds=finished.seconds,
        size=_size(entry.target),
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # Somebody has taken it away already.
        return 0


def watch(find: Callable[[], Iterable[Entry]], *, interval: float, stop: Callable[[], bool]) -> Iterator[Entry]:
    """Entries as their files appear: each one when it has not changed for ``interval`` seconds, again after a change.

    Ends after ``stop``.
    """
    seen: dict[Entry, tuple[int, int]] = {}
    taken: dict[Entry, tuple[int, int]] = {}
    while not stop():
        for entry in find():
            try:
                facts = entry.source.stat()
            except OSError:  # The file has disappeared.
                continue
            state = facts.st_size, facts.st_mtime_ns
            if facts.st_size and seen.get(entry) == state and taken.get(entry) != state:
                taken[entry] = state
                yield entry
            seen[entry] = state
        until = time.monotonic() + interval
        while time.monotonic() < until and not stop():
            time.sleep(min(0.1, interval))
