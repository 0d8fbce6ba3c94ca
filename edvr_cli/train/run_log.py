"""The log of a run: a CSV table, and a chart of it."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from edvr_cli.system.charts import Panel, charts_available, write_chart
from edvr_cli.system.files import append_to, write_file
from edvr_cli.train.events import Event, Progress, RolledBack, Validated

__all__ = ["RunLog"]

_COLUMNS = (
    "step", "stage", "loss", "learning_rate", "offset", "samples_per_second", "waiting", "psnr", "gain", "note",
)  # fmt: skip
_STEPS_PER_ROW = 10


class RunLog:
    """Appends to ``log.csv`` in ``folder``; rows past step ``first``, of a run that was killed, are dropped."""

    def __init__(self, folder: Path, *, first: int) -> None:
        self._table, self._chart = folder / "log.csv", folder / "chart.png"
        kept = [row for row in self._rows() if int(row["step"]) <= first] if first else []
        write_file(self._table, _as_csv(dict(zip(_COLUMNS, _COLUMNS, strict=True)), *kept))
        self._losses: list[float] = []

    def add(self, event: Event) -> None:
        """Log an event that has figures; the loss of a row is the mean since the last row."""
        match event:
            case Progress():
                self._losses.append(event.loss)
                if event.step % _STEPS_PER_ROW == 0 or event.step == event.steps:
                    self._write(
                        step=event.step, stage=event.stage, loss=f"{sum(self._losses) / len(self._losses):.6f}",
                        learning_rate=f"{event.learning_rate:.3g}", offset=f"{event.offset:.3f}",
                        samples_per_second=f"{event.samples_per_second:.2f}", waiting=f"{event.waiting:.3f}",
                    )  # fmt: skip
                    self._losses = []
            case Validated():
                self._write(step=event.step, psnr=f"{event.psnr:.3f}", gain=f"{event.gain:.3f}")
            case RolledBack():
                self._write(step=event.step, note=f"{event.reason}; back to step {event.to}")

    def draw(self) -> None:
        """Redraw ``chart.png``, where matplotlib is installed."""
        if not charts_available():
            return
        rows = self._rows()
        panels = []
        for column, title in (("loss", "loss"), ("psnr", "validation PSNR, dB"), ("gain", "gain from time, dB")):
            points = [(float(row["step"]), float(row[column])) for row in rows if row[column]]
            panels.append(Panel(title, {"": ([x for x, _ in points], [y for _, y in points])}))
        write_chart(self._chart, panels, across="step")

    def _rows(self) -> list[dict[str, str]]:
        if not self._table.is_file():
            return []
        with self._table.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _write(self, **values: object) -> None:
        append_to(self._table, _as_csv(values))


def _as_csv(*rows: Mapping[str, object]) -> bytes:
    text = io.StringIO(newline="")
    csv.DictWriter(text, _COLUMNS).writerows(rows)
    return text.getvalue().encode()
