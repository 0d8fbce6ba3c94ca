"""How fast a training run is, and what it waits for."""

from dataclasses import dataclass

__all__ = ["Pace"]


@dataclass
class Pace:
    """Samples per second, and the share of the time spent waiting for them."""

    working: float = 0.0
    waiting: float = 0.0
    samples: float = 0.0

    def add(self, waited: float, worked: float, samples: int) -> None:
        """Count a step of ``samples`` samples: seconds spent waiting for them, and working."""
        # Old steps fade, so that the figures are those of the last hundred or so.
        self.waiting = 0.99 * self.waiting + waited
        self.working = 0.99 * self.working + worked
        self.samples = 0.99 * self.samples + samples

    @property
    def samples_per_second(self) -> float:
        """Of the last steps, waiting included."""
        return self.samples / max(self.waiting + self.working, 1e-9)

    @property
    def waiting_share(self) -> float:
        """Share of the time spent waiting for samples, 0 to 1."""
        return self.waiting / max(self.waiting + self.working, 1e-9)
