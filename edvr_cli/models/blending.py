"""A network between two, one of which was trained on from the other: the weighted mean of their parameters."""

import torch

from edvr_cli.errors import ModelError
from edvr_cli.network.edvr import EDVR

__all__ = ["blend_into"]


def blend_into(model: EDVR, other: EDVR, share: float) -> EDVR:
    """Give ``model`` the mean of the two networks' parameters, ``share`` (0 to 1) of it ``other``'s; returns it.

    Trained apart, the parameters of two networks do not correspond, and their mean is none. Raises ModelError where
    the two are not of one kind.
    """
    if (model.config, model.padding) != (other.config, other.padding):
        raise ModelError(
            f"{model.name} and {other.name} are different networks; blend a model with one trained from it"
        )
    theirs = other.state_dict()
    model.load_state_dict({key: torch.lerp(own, theirs[key], share) for key, own in model.state_dict().items()})
    return model
