"""The published form of the network, with which the engine is compared."""

import copy
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch.nn.functional as F
from torch import Tensor

from edvr_cli.network.edvr import EDVR, DeformConv
from edvr_cli.ops.deform_conv_reference import deform_conv2d_packed_reference, split_packed

__all__ = ["published_form"]


def published_form(model: EDVR) -> tuple[EDVR, str]:
    """A copy of ``model`` as BasicSR runs it, a whole window in NCHW, and the name of its deformable op.

    That is torchvision's where torchvision is installed, else nine samples taken by ``grid_sample``.
    """
    model = copy.deepcopy(model)
    installed = find_spec("torchvision") is not None
    op: Callable[..., Tensor] = _torchvision_op if installed else deform_conv2d_packed_reference
    for module in model.modules():
        if isinstance(module, DeformConv):
            module.forward = partial(_with_op, module, op)  # type: ignore[method-assign]
    return model, "torchvision" if installed else "grid_sample"


def _with_op(
    module: DeformConv, op: Callable[..., Tensor], x: Tensor, offset_features: Tensor, negative_slope: float = 1.0
) -> Tensor:
    return op(x, module.conv_offset(offset_features), module.weight, module.bias, negative_slope)


def _torchvision_op(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
    from torchvision.ops import deform_conv2d  # noqa: PLC0415 (not a dependency)

    offset, mask = split_packed(packed, weight.shape[-1])
    return F.leaky_relu(deform_conv2d(x, offset, weight, bias, padding=1, mask=mask.sigmoid()), slope)
