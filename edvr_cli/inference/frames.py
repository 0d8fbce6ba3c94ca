"""A stream of frames in memory through the network."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from edvr_cli.errors import ModelError
from edvr_cli.image.convert import bt709_luma, to_uint8
from edvr_cli.image.resize import Kernel, resize
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.inference.scene_cuts import CutDetector
from edvr_cli.network.edvr import EDVR
from edvr_cli.network.model import Model
from edvr_cli.size import Size

__all__ = ["Frame", "model_scale", "output_size", "restore_frames", "to_output_size"]

Frame = Tensor | np.ndarray
"""A float tensor (3, H, W), RGB in [0, 1], or a uint8 array (H, W, 3), RGB."""


def restore_frames(
    frames: Iterable[Frame],
    model: Model | EDVR,
    *,
    scale: float | None = None,
    inference: InferenceOptions | None = None,
    split_at_cuts: bool = True,
) -> Iterator[Frame]:
    """Restore a stream of frames, one for one and in order; a window of them is in memory at a time.

    On a GPU small frames come back several at a time.

    Every frame is a float tensor (3, H, W) in [0, 1] or a uint8 array (H, W, 3), all of one size, and is returned
    as the same kind and type. ``scale`` (1 to the model's) resizes the output; None is the model's scale.
    ``split_at_cuts`` keeps windows from reaching across scene cuts. Raises ValueError for frames of another kind or
    size, ModelError for a scale beyond the model's.
    """
    model = Model.of(model)
    factor = model_scale(model, scale)
    engine = StreamingEDVR(model, inference)
    detector = CutDetector() if split_at_cuts else None
    shape: tuple[int, ...] | None = None

    def read() -> Iterator[tuple[tuple[torch.dtype | None, torch.device], Tensor, bool]]:
        nonlocal shape
        for frame in frames:
            rgb, kind = _as_rgb(frame)
            if shape is not None and tuple(rgb.shape) != shape:
                raise ValueError(f"frames must be of one size: got {tuple(rgb.shape)} after {shape}")
            shape = tuple(rgb.shape)
            yield (kind, rgb.device), rgb, detector is not None and detector.starts_shot(bt709_luma(rgb))

    for (kind, device), restored in engine.restore_stream(read()):
        assert shape is not None
        output = to_output_size(restored, output_size(Size(shape[2], shape[1]), factor))
        yield _as_array(output) if kind is None else output.clamp(0, 1).to(device, kind)


def output_size(size: Size, scale: float) -> Size:
    """Size of the output; even, as most pixel formats need, where the scale leaves a choice."""
    if scale == int(scale):
        return size.times(int(scale))
    return Size(*(max(2, round(side * scale / 2) * 2) for side in size))


def model_scale(model: Model, scale: float | None) -> float:
    """The scale that is asked for, or the model's own. Raises ModelError for one beyond the model's."""
    if scale is None:
        return model.config.scale
    if not 1 <= scale <= model.config.scale:
        raise ModelError(f"{model.name} enlarges by {model.config.scale}: choose a scale from 1 to that")
    return scale


def to_output_size(rgb: Tensor, size: Size) -> Tensor:
    """Shrink (3, H, W) to ``size`` where it has another: Lanczos, whose antialiasing keeps it sharp."""
    kernel: Kernel = "lanczos"
    return rgb if tuple(rgb.shape[1:]) == size.shape else resize(rgb, size.shape, kernel)


def _as_rgb(frame: Frame) -> tuple[Tensor, torch.dtype | None]:
    """A frame as float32 RGB (3, H, W), and the type that its tensor had, None for an array."""
    if isinstance(frame, np.ndarray):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
            raise ValueError(f"an array frame must be uint8 (H, W, 3), got {frame.dtype} {frame.shape}")
        return torch.from_numpy(frame).permute(2, 0, 1).float() / 255, None
    if not isinstance(frame, Tensor):
        raise ValueError(f"a frame must be a tensor or an array, got {type(frame).__name__}")
    if not frame.is_floating_point() or frame.dim() != 3 or frame.shape[0] != 3 or frame.numel() == 0:
        raise ValueError(f"a tensor frame must be floating (3, H, W), got {frame.dtype} {tuple(frame.shape)}")
    return frame.float(), frame.dtype


def _as_array(rgb: Tensor) -> np.ndarray:
    return to_uint8(rgb).permute(1, 2, 0).cpu().contiguous().numpy()
