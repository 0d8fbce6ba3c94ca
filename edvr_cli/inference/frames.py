"""A stream of frames in memory through the network."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from edvr_cli.errors import ModelError
from edvr_cli.image.resize import Kernel, resize
from edvr_cli.inference.engine import DEFAULT_HALO, StreamingEDVR
from edvr_cli.inference.precision import Precision
from edvr_cli.inference.scene_cuts import CutDetector
from edvr_cli.network.edvr import EDVR
from edvr_cli.network.windows import Window, windows

__all__ = ["Frame", "model_scale", "output_size", "restore_frames", "to_output_size"]

Frame = Tensor | np.ndarray
"""A float tensor (3, H, W), RGB in [0, 1], or a uint8 array (H, W, 3), RGB."""


def restore_frames(
    frames: Iterable[Frame],
    model: EDVR,
    *,
    scale: float | None = None,
    precision: Precision = "auto",
    shots: bool = True,
    tile: int | None = None,
    halo: int = DEFAULT_HALO,
) -> Iterator[Frame]:
    """Restore a stream of frames, one for one and in order, holding a window of them at a time.

    On a GPU small frames come back several at a time.

    Every frame is a float tensor (3, H, W) in [0, 1] or a uint8 array (H, W, 3), all of one size, and comes
    back as the same kind, of the same type. ``scale`` (1 to the model's own) resizes the output; None is the
    model's. ``shots`` keeps windows from reaching across scene cuts. ``tile`` and ``halo`` are
    :class:`StreamingEDVR`'s. Raises ValueError for frames of another kind or size, ModelError for a scale that
    is not the model's.
    """
    factor = model_scale(model, scale)
    engine = StreamingEDVR(model, precision=precision, tile=tile, halo=halo)
    detector = CutDetector() if shots else None
    size: tuple[int, ...] | None = None

    def read() -> Iterator[tuple[tuple[Tensor, torch.dtype | None], bool]]:
        nonlocal size
        for frame in frames:
            rgb, kind = _as_rgb(frame)
            if size is not None and tuple(rgb.shape) != size:
                raise ValueError(f"frames must be of one size: got {tuple(rgb.shape)} after {size}")
            size = tuple(rgb.shape)
            yield (rgb, kind), detector is not None and detector.starts_shot(_luma_of(rgb))

    group: list[Window[tuple[Tensor, torch.dtype | None]]] = []
    for window in windows(read(), model.config.frames, model.padding):
        if not engine.prepared:
            engine.prepare(*window.reference[0].shape[1:])
        group.append(window)
        if len(group) >= engine.windows_at_once:
            yield from _restored(engine, group, factor)
            group.clear()
    if group:
        yield from _restored(engine, group, factor)


def _restored(
    engine: StreamingEDVR, group: list[Window[tuple[Tensor, torch.dtype | None]]], factor: float
) -> Iterator[Frame]:
    """The frames of windows that are restored in one go, as their source frames were."""
    outputs = engine.restore_windows([Window(w.indices, tuple(rgb for rgb, _ in w.frames)) for w in group])
    for window, output in zip(group, outputs, strict=True):
        source, kind = window.reference
        width, height = output_size(source.shape[2], source.shape[1], factor)
        fitted = to_output_size(output, (height, width))
        yield _as_array(fitted) if kind is None else fitted.clamp(0, 1).to(source.device, kind)


def output_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """(width, height) of the output; even, as most pixel formats need, where the scale leaves a choice."""
    if scale == int(scale):
        return int(width * scale), int(height * scale)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def model_scale(model: EDVR, scale: float | None) -> float:
    """The scale that is asked for, or the model's own. Raises ModelError for one beyond the model's."""
    if scale is None:
        return model.config.scale
    if not 1 <= scale <= model.config.scale:
        raise ModelError(f"{model.name} enlarges by {model.config.scale}: choose a scale from 1 to that")
    return scale


def to_output_size(rgb: Tensor, size: tuple[int, int]) -> Tensor:
    """Shrink (3, H, W) to ``size`` (h, w) where it has another: Lanczos, whose antialiasing keeps it sharp."""
    kernel: Kernel = "lanczos"
    return rgb if tuple(rgb.shape[1:]) == size else resize(rgb, size, kernel)


def _luma_of(rgb: Tensor) -> Tensor:
    """BT.709's luma (H, W) of (3, H, W)."""
    red, green, blue = rgb
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


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
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().contiguous().numpy()
