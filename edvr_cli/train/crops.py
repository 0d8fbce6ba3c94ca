"""Crops of footage: which has most texture, how it is turned, and the processes that cut them."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["one_thread", "texture", "turned"]


def one_thread(worker: int) -> None:
    """Set up a worker process: there is one for each core already."""
    torch.set_num_threads(1)


def turned(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """One of the eight flips and rotations of a square."""
    turn = rng.integers(8)
    if turn & 1:
        frames = frames.flip(-1)
    if turn & 2:
        frames = frames.flip(-2)
    return frames.transpose(-1, -2) if turn & 4 else frames


def texture(crop: np.ndarray) -> float:
    """Mean change of a crop (3, H, W) from row to row."""
    return float(np.abs(np.diff(crop[1, ::2].astype(np.int16), axis=0)).mean())
