"""A model: a trained network, and what its parameters do not show."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edvr_cli.network.edvr import EDVR, EDVRConfig
from edvr_cli.network.windows import Padding

__all__ = ["Model"]


@dataclass(frozen=True)
class Model:
    """A network, how its windows are padded at the ends of a shot, and what to call it.

    ``sharpen`` is the amount of an unsharp mask that belongs on its output: trained to be right on average, some
    networks are softer than they need be.
    """

    network: EDVR
    padding: Padding
    name: str = "edvr"
    sharpen: float = 0.0

    @classmethod
    def of(
        cls, network: EDVR | Model, *, padding: Padding | None = None, name: str = "edvr", sharpen: float = 0.0
    ) -> Model:
        """A model made of a bare network: padded as published, unless ``padding`` says otherwise.

        A model is returned as it is.
        """
        if isinstance(network, Model):
            return network
        return cls(network, padding or network.config.published_padding, name, sharpen)

    @property
    def config(self) -> EDVRConfig:
        """The dimensions of the network."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.network.parameters()).device
