"""The progress of a training run on a terminal, or as lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import markup
from edvr_cli.train import events

__all__ = ["TrainDisplay"]

_LINE_EVERY = 30.0  # seconds, where there is no bar


class TrainDisplay:
    """Shows a run on standard error: a bar on a terminal, else a line every half minute."""

    def __init__(self, *, bar: bool) -> None:
        self._console = Messages()
        self._said = 0.0
        self._bar = Progress(
            TextColumn("{task.fields[stage]}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"), TimeElapsedColumn(), TextColumn("{task.fields[left]}"),
            console=self._console, disable=not (bar and self._console.is_terminal),
        )  # fmt: skip
        self._task = self._bar.add_task("steps", total=None, visible=False, stage="", figures="", left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, line: str | Text) -> None:
        """One line above the bar."""
        self._console.tell(line)

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.Progress():
                self._advance(event)
            case events.Validated():
                self.say(f"step {event.step}: {event.psnr:.2f} dB on held-out footage, {event.gain:+.2f} dB from time")
            case events.RolledBack():
                back = f"back to step {event.to} at {event.rate_factor:g} of the learning rate"
                self.say(markup("[yellow]{}[/]", f"step {event.step}: {event.reason}; {back}"))
            case events.Notice():
                self.say(event.message)
            case events.Finished():
                self.say(f"{event.samples_per_second:.3g} samples/s on average")
                end = "done" if event.complete else f"stopped at step {event.step}; continue with --resume"
                self.say(end)

    def _advance(self, event: events.Progress) -> None:
        left = event.seconds_left
        figures = (
            f"loss {event.loss:.4f}  rate {event.learning_rate:.1e}  {event.samples_per_second:.3g} samples/s  "
            f"waiting {event.waiting:.0%}"
        )
        remaining = f"{left / 3600:.1f} h left" if left >= 3600 else f"{left / 60:.0f} min left"
        self._bar.update(
            self._task, completed=event.step, total=event.steps, visible=True, stage=event.stage, figures=figures,
            left=remaining,
        )  # fmt: skip
        now = time.monotonic()
        if self._bar.disable and now - self._said >= _LINE_EVERY:
            self._said = now
            self.say(f"{event.stage} {event.step}/{event.steps}  {figures}  {remaining}")
