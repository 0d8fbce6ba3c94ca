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

    def available(self, task: Task, *, agreed: bool = False) -> str:
        """The model, or the default for ``task``, fetched if need be; ``agreed`` allows it without a question.

        Raises ModelError where it is not there, before torch is loaded.
        """
        name = self.model or default_model(task)
        for needed in (name,) if self.denoise is None else lineage_of(name):
            find_model(available(needed, agreed=self.pull or agreed))
        return name

    def devices(self) -> tuple[str, ...]:
        """The devices. Raises DeviceError where one of several is not there."""
        from edvr_cli.system.hardware import resolve_devices  # noqa: PLC0415 (torch takes seconds)

        return resolve_devices(self.device)

    def load(self, name: str) -> Model:
        """The model of that name, on the first device."""
        from edvr_cli.models.checkpoint import load_model  # noqa: PLC0415 (torch takes seconds)

        return load_model(name, self.devices()[0], denoise=self.denoise)
