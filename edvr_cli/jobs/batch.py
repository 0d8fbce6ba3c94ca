"""Many videos one after the other: one that fails is reported, and the rest is done."""

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
    tell: OnEvent,
) -> list[Outcome]:
    """``restore`` each entry (``count`` of them, None: unknown) and tell of each outcome and of all at the end.

    Outputs' folders are made. Raises StoppedError after ``stop``; any other exception that ``restore`` raises is an
    outcome, and the next entry's turn.
    """
    outcomes: list[Outcome] = []
    try:
        for number, entry in enumerate(entries, start=1):
            if stop():
                raise StoppedError(f"{entry.source} was not begun.")
            tell(FileBegun(number, count, entry.source, entry.target))
            outcome = _restore(entry, restore, skip_existing=skip_existing)
            outcomes.append(outcome)
            tell(outcome)
    finally:
        tell(BatchEnded(tuple(outcomes)))
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
        with suppress(OSError):  # What has something in it stays.
            for folder in made:
                folder.rmdir()
        foreseen = isinstance(error, EdvrError | OSError)
        return Outcome(
            entry.source,
            entry.target,
            "failed",
            seconds=time.monotonic() - began,
            message=sentence_of(error) if foreseen else unforeseen(error),
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
    """Entries as their files appear, each once it has not changed for ``interval`` seconds, and again if it does.

    Ends after ``stop``.
    """
    seen: dict[Entry, tuple[int, int]] = {}
    taken: dict[Entry, tuple[int, int]] = {}
    while not stop():
        for entry in find():
            try:
                facts = entry.source.stat()
            except OSError:  # Gone again.
                continue
            state = facts.st_size, facts.st_mtime_ns
            if facts.st_size and seen.get(entry) == state and taken.get(entry) != state:
                taken[entry] = state
                yield entry
            seen[entry] = state
        until = time.monotonic() + interval
        while time.monotonic() < until and not stop():
            time.sleep(min(0.1, interval))
