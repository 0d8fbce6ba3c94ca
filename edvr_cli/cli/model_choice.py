"""The model that a command works with, and its device: chosen, fetched, loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edvr_cli.cli.fetch import available
from edvr_cli.models.registry import Task, default_model, find_model, lineage_of

if TYPE_CHECKING:
    from edvr_cli.network.model import Model

__all__ = ["ModelChoice"]


@dataclass(frozen=True)
class ModelChoice:
    """A model by name or file, and the device it runs on, or several of them: ``cuda:0,cuda:1``."""

    model: str | None
    denoise: float | None
    pull: bool
    device: str

    def check(self, task: Task, *, agreed: bool = False) -> None:
        """Fetch the model that was chosen if need be; ``agreed`` allows it without a question.

        Raises ModelError where it is not there, before torch is loaded. The defaults come with the program.
        """
        names: tuple[str, ...] = () if self.model is None else (self.model,)
        if self.denoise is not None:
            names = lineage_of(self.model or default_model(task))
        for needed in names:
            find_model(available(needed, agreed=self.pull or agreed))

    def devices(self) -> tuple[str, ...]:
        """The devices. Raises DeviceError where one of several is not there."""
        from edvr_cli.system.hardware import resolve_devices  # noqa: PLC0415 (torch takes seconds)

        return resolve_devices(self.device)

    def load(self, task: Task) -> Model:
        """The model that was chosen, or the default for ``task`` on that device, on the first device."""
        from edvr_cli.models.checkpoint import load_model  # noqa: PLC0415 (torch takes seconds)

        device = self._first_device()
        return load_model(self.model or default_model(task, device), device, denoise=self.denoise)

    def load_larger(self, task: Task) -> Model | None:
        """On a CPU, where no model was chosen: the default for GPUs, which takes longer and restores more."""
        from edvr_cli.models.checkpoint import load_model  # noqa: PLC0415 (torch takes seconds)

        device, larger = self._first_device(), default_model(task, "cuda")
        if self.model is not None or not device.startswith("cpu") or larger == default_model(task, device):
            return None
        return load_model(larger, device, denoise=self.denoise)

    def _first_device(self) -> str:
        """The one that ``auto`` comes to, or the first of several."""
        from edvr_cli.system.hardware import resolve_device  # noqa: PLC0415 (torch takes seconds)

        return str(resolve_device(self.devices()[0]))
