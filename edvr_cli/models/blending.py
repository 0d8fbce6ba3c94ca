"""A network between two, one of which was trained on from the other: the weighted mean of their parameters."""

from dataclasses import replace

import torch

from edvr_cli.errors import ModelError
from edvr_cli.network.model import Model

__all__ = ["blend_into"]


def blend_into(model: Model, other: Model, share: float) -> Model:
    """Give ``model`` the mean of the two networks' parameters, ``share`` (0 to 1) of it ``other``'s; returns the model.

    Trained apart, the parameters of two networks do not correspond, and their mean is none. Raises ModelError where
    the two are not of one kind.
    """
    if (model.config, model.padding) != (other.config, other.padding):
        raise ModelError(
            f"{model.name} and {other.name} are different networks; blend a model with one trained from it"
        )
    ours, theirs = model.network.state_dict(), other.network.state_dict()
    model.network.load_state_dict({key: torch.lerp(own, theirs[key], share) for key, own in ours.items()})
    return replace(model, sharpen=round((1 - share) * model.sharpen + share * other.sharpen, 4))
