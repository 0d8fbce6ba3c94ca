"""The look of a restored frame: how far it is sharpened, and blended with the plain enlargement.

Shapes: H W pixels of the input, s the model's scale.
"""

import torch
from torch import Tensor

from edvr_cli.image.resize import resize
from edvr_cli.image.sharpen import sharpened
from edvr_cli.inference.options import InferenceOptions

__all__ = ["finish"]

_SHARPEN_SIGMA, _SHARPEN_SIGMA_OF_INPUT = 0.7, 0.375  # output pixels at least, and a share of an input pixel


def finish(output: Tensor, frame: Tensor, options: InferenceOptions, *, sharpen: float = 0.0) -> Tensor:
    """The network's ``output`` (3, s·H, s·W) for ``frame`` (3, H, W), sharpened and blended as the options say.

    ``sharpen`` is the amount that belongs to the model; that of the options is added.
    """
    if amount := sharpen + options.sharpen:
        sigma = max(_SHARPEN_SIGMA, _SHARPEN_SIGMA_OF_INPUT * (output.shape[1] // frame.shape[1]))
        output = sharpened(output, amount, sigma)
    if options.strength == 1:
        return output
    h, w = output.shape[1:]
    return torch.lerp(resize(frame, (h, w), "bicubic"), output, options.strength)
