"""Events of a restoration as a progress bar, or as plain lines where there is no terminal."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from edvr_cli.events import Event, Finished, FrameRestored, Joining, Notice, Paused, Started

__all__ = ["Display"]

_PLAIN_EVERY = 10.0  # seconds between lines
_SPEED_OVER = 600.0  # seconds; a frame may take minutes, and there is no speed without two of them


class Display:
    """Shows events on standard error; a context manager, called with each event.

    On a terminal a bar with frames, speed and remaining time; elsewhere, or with ``bar`` off, a line every ten
    seconds.
    """

    def __init__(self, *, bar: bool = True) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = bar and self._console.is_terminal
        self._progress: Progress | None = None
        self._started = self._said = time.monotonic()
        self._kept = 0  # frames of an earlier run

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
                self._say(f"[yellow]note:[/] {escape(event.message)}")
            case Joining():
                self._say("Putting it together.")
            case Paused():
                self._pause(event)
            case Finished():
                self._finish(event)

    def interrupted(self) -> None:
        """Say what a first Ctrl-C leads to."""
        self._say("Stopping when the current segment is done; Ctrl-C again stops at once and loses it.")

    def _start(self, event: Started) -> None:
        self._started = self._said = time.monotonic()
        self._kept = event.kept
        tiles = f"tiles of {event.tile}" if event.tile else "whole frames"
        sizes = "{}×{} → {}×{}".format(*event.size, *event.output_size)
        self._say(f"[bold]{escape(event.source.name)}[/] → [bold]{escape(event.target.name)}[/]  {sizes}")
        self._say(f"{escape(event.model)} on {event.device}, {event.precision}, {tiles}")
        if event.resized:
            self._say("The model enlarges by 4; its output is brought to this size by Lanczos resampling.")
        if event.kept:
            self._say(f"Going on after {_frames(event.kept, event.total)} of an earlier run.")
        if self._bar:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Speed(),
                TextColumn("elapsed"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
                speed_estimate_period=_SPEED_OVER,
            )
            self._progress.add_task("frames", total=event.total, completed=event.kept)
            self._progress.start()

    def _advance(self, event: FrameRestored) -> None:
        if self._progress is not None:
            total = None if event.total is None else max(event.total, event.done)
            self._progress.update(self._progress.task_ids[0], completed=event.done, total=total)
            return
        now = time.monotonic()
        if now - self._said < _PLAIN_EVERY:
            return
        self._said = now
        speed = (event.done - self._kept) / (now - self._started)
        line = f"{event.done} frames, {speed:.2f} fps"
        if event.total:
            left = max(0, event.total - event.done) / speed
            line = f"{event.done}/{event.total} frames, {speed:.2f} fps, {_duration(left)} left"
        self._say(line)

    def _finish(self, event: Finished) -> None:
        if self._progress is not None:
            # The source's own count may have been an estimate.
            self._progress.update(self._progress.task_ids[0], completed=event.frames, total=event.frames)
            self._progress.stop()
        speed = event.restored / event.seconds if event.seconds else 0.0
        frames = "1 frame" if event.restored == 1 else f"{event.restored} frames"
        self._say(f"{frames} in {_duration(event.seconds)} ({speed:.2f} fps), verified.")

    def _pause(self, event: Paused) -> None:
        if self._progress is not None:
            self._progress.stop()
        kept = _frames(event.done, event.total)
        self._say(f"{kept} are kept in {escape(str(event.directory))}; the same command goes on from there.")

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=not self._console.is_terminal)  # a log line stays one line


class _Speed(ProgressColumn):
    """Frames a second."""

    def render(self, task: Task) -> Text:
        """Nothing until it is known."""
        return Text("" if not task.speed else f"{task.speed:.2f} fps")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def _frames(count: int, total: int | None) -> str:
    return f"{count} frames" if total is None else f"{count} of {total} frames"
