"""Events of a restoration as a progress bar, or as plain lines where there is no terminal."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from edvr_cli.cli.hints import with_hint
from edvr_cli.cli.messages import Messages, log_traceback
from edvr_cli.cli.output import markup
from edvr_cli.events import (
    BatchEnded,
    Event,
    FileBegun,
    Finished,
    FrameRestored,
    Joining,
    Notice,
    Outcome,
    Paused,
    Started,
)
from edvr_cli.inference.options import describe_look
from edvr_cli.system.text import format_bytes, format_duration, format_estimate

__all__ = ["Display"]

_LINE_SECONDS = 10.0  # seconds between lines
_SLOW_FRAME_SECONDS = 1.0
_LONG_SECONDS = 3600.0  # a user wants to know before
_SPEED_SECONDS = 600.0  # seconds; a frame may take minutes, and the speed needs two of them


class Display:
    """Shows events on standard error; a context manager, called with each event.

    On a terminal a bar with frames, speed and remaining time; elsewhere, or with ``bar`` off, a line every ten
    seconds. Of a batch, a second bar with its files, and a table at the end.
    """

    def __init__(self, *, bar: bool = True) -> None:
        self._console = Messages()
        self._bar = bar and self._console.is_terminal
        self._progress: Progress | None = None
        self._started = self._said = time.monotonic()
        self._kept = 0  # frames of an earlier run
        self._job: Started | None = None  # the one that runs now
        self._last: FrameRestored | None = None  # of this job
        self._files: TaskID | None = None
        self._frames: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Started():
                self._start(event)
            case FrameRestored():
                self._advance(event)
            case Notice():
                self._console.warn(with_hint(event.message, event.hint))
            case Joining():
                self._say("Joining the segments.")
            case Paused():
                self._pause(event)
            case Finished():
                self._finish(event)
            case FileBegun():
                self._begin_file(event)
            case Outcome():
                self._end_file(event)
            case BatchEnded():
                self._end_batch(event)

    def interrupted(self) -> None:
        """Say what the first Ctrl-C does."""
        if self._job is None:
            self._say("Stopping.")
            return
        unsaved = self._last.unsaved if self._last is not None else 0
        pace = self._pace()
        most = self._job.segment_frames * self._job.workers
        wait = None if pace is None else max(1, most - unsaved) * pace
        when = "" if wait is None or not self._job.segment_frames else f", in {format_estimate(wait)} at most"
        lost = "1 frame" if unsaved == 1 else f"{unsaved} frames"
        self._say(f"Stopping when the current segment is done{when}; Ctrl-C again stops at once and loses {lost}.")

    def _pace(self) -> float | None:
        """Seconds per frame: of this run so far, or as expected."""
        if self._job is None or self._last is None or self._last.done <= self._kept:
            return None if self._job is None else self._job.seconds_per_frame
        return (time.monotonic() - self._started) / (self._last.done - self._kept)

    def _start(self, event: Started) -> None:
        self._started = self._said = time.monotonic()
        self._kept = event.kept
        self._job, self._last = event, None
        tiles = f"tiles of {event.tile}" if event.tile else "whole frames"
        sizes = f"{event.size} → {event.output_size}"
        self._say(markup("[bold]{}[/] → [bold]{}[/]  {}", event.source.name, event.target.name, sizes))
        look = describe_look(event)
        self._say(f"{event.model} on {event.device}, {event.precision}, {tiles}{look}")
        if event.resized:
            self._say("The model enlarges by 4; its output is resized to this size (Lanczos).")
        if event.kept:
            self._say(f"Continuing after {_frames(event.kept, event.total)} of an earlier run.")
        if event.seconds_per_frame and event.total is not None:
            left = (event.total - event.kept) * event.seconds_per_frame
            first = "; edvr preview shows a few moments first" if left > _LONG_SECONDS else ""
            self._say(f"This takes {format_estimate(left)} ({event.seconds_per_frame:.2g} s per frame){first}.")
        if self._bar:
            self._frames = self._bars().add_task("frames", total=event.total, completed=event.kept)

    def _bars(self) -> Progress:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Speed(),
                TextColumn("elapsed"),
                TimeElapsedColumn(),
                TextColumn("left"),
                _TimeLeft(self._pace),
                console=self._console,
                speed_estimate_period=_SPEED_SECONDS,
            )
            self._progress.start()
        return self._progress

    def _begin_file(self, event: FileBegun) -> None:
        if self._bar and self._files is None:
            self._files = self._bars().add_task("files", total=event.count)
        if not self._bar:
            self._say(f"File {event.number}{f' of {event.count}' if event.count else ''}: {event.source}")

    def _end_file(self, event: Outcome) -> None:
        self._job = None
        log_traceback(event.trace)
        if event.status != "done":
            message = with_hint(event.message, event.hint)
            left = message.removeprefix(str(event.source))
            what = left if left != message else f": {left}"
            self._say(markup("[yellow]{}:[/] {}{}", event.status, event.source.name, what))
        if self._progress is not None and self._files is not None:
            self._drop_frames()
            self._progress.advance(self._files)

    def _end_batch(self, event: BatchEnded) -> None:
        if self._progress is not None:
            self._drop_frames()
            self._progress.stop()
        if not event.outcomes:
            return
        table = Table("file", box=None, header_style="bold", pad_edge=False)
        table.columns[0].overflow = "fold"
        for name in ("frames", "fps", "size"):
            table.add_column(name, justify="right")
        table.add_column("status")
        for outcome in event.outcomes:
            done = outcome.status == "done"
            speed = f"{outcome.restored / outcome.seconds:.2f}" if outcome.restored and outcome.seconds else ""
            # The file's name stands in the first column.
            reason = with_hint(outcome.message, outcome.hint).removeprefix(str(outcome.source)).lstrip(": ")
            style = {"done": "green", "skipped": "yellow", "failed": "red"}[outcome.status]
            table.add_row(
                str(outcome.source),
                str(outcome.frames) if done else "",
                speed,
                format_bytes(outcome.size) if done else "",
                markup(f"[{style}]{{}}[/]{{}}", outcome.status, f": {reason}" if reason else ""),
            )
        self._console.print(table)

    def _drop_frames(self) -> None:
        if self._progress is not None and self._frames is not None:
            self._progress.remove_task(self._frames)
            self._frames = None

    def _advance(self, event: FrameRestored) -> None:
        is_first, self._last = self._last is None, event
        if self._progress is not None and self._frames is not None:
            total = None if event.total is None else max(event.total, event.done)
            self._progress.update(self._frames, completed=event.done, total=total)
            return
        now = time.monotonic()
        # A frame that takes long is reported at once: it says how long all will take.
        if now - self._said < (min(_SLOW_FRAME_SECONDS, _LINE_SECONDS) if is_first else _LINE_SECONDS):
            return
        self._said = now
        speed = (event.done - self._kept) / (now - self._started)
        line = f"{event.done} frames, {speed:.2f} fps"
        if event.total:
            line = f"{event.done}/{event.total} frames, {speed:.2f} fps"
            if event.done < event.total:
                line += f", {format_estimate((event.total - event.done) / speed)} left"
        self._say(line)

    def _finish(self, event: Finished) -> None:
        self._job = None
        if self._progress is not None and self._frames is not None:
            # The source's own count may have been an estimate.
            self._progress.update(self._frames, completed=event.frames, total=event.frames)
            if self._files is None:
                self._progress.stop()
        frames = "1 frame" if event.frames == 1 else f"{event.frames} frames"
        if event.promised is not None:
            frames = f"{event.frames} of {event.promised} promised frames"
        if event.restored < event.frames:
            frames += f", {event.restored} of them by this run,"
        speed = f" ({event.restored / event.seconds:.2f} fps)" if event.restored and event.seconds else ""
        self._say(
            f"{frames} in {format_duration(event.seconds)}{speed}{'' if event.target == Path('-') else ', verified'}."
        )

    def _pause(self, event: Paused) -> None:
        self._job = None
        if self._progress is not None and self._files is None:
            self._progress.stop()
        kept = _frames(event.done, event.total)
        self._say(f"{kept} are kept in {event.directory}; the same command continues from there.")

    def _say(self, line: str | Text) -> None:
        self._console.tell(line)


class _TimeLeft(TimeRemainingColumn):
    """The time left, from the first frame on."""

    def __init__(self, pace: Callable[[], float | None]) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        """Return what rich knows after two frames, and before that what one frame took."""
        pace = self._pace()
        if task.description != "frames" or task.speed or task.remaining is None or pace is None:
            return super().render(task)
        minutes, seconds = divmod(round(task.remaining * pace), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{hours}:{minutes:02}:{seconds:02}", style="progress.remaining")


class _Speed(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        """Nothing until it is known."""
        return Text("" if not task.speed else f"{task.speed:.2f} fps")


def _frames(count: int, total: int | None) -> str:
    return f"{count} frames" if total is None else f"{count} of {total} frames"
