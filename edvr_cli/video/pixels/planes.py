"""A decoded frame's samples as tensors."""

import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from torch import Tensor

from edvr_cli.size import Size
from edvr_cli.video.pixels.color import alpha_plane
from edvr_cli.video.pixels.layout import PixelLayout, nearest_layout


def to_planes(frame: VideoFrame, layout: PixelLayout, size: Size | None = None) -> tuple[Tensor, ...]:
    """The frame's samples in ``layout``, which holds its format, copied out of libav's padded buffers.

    A frame of another size is scaled to ``size``.
    """
    if size is not None and (frame.width, frame.height) != size:
        frame = frame.reformat(*size, interpolation="BICUBIC")
    # "yuvj" is "yuv" with the range in the name, which a stream may switch between; the samples are alike.
    if frame.format.name.replace("yuvj", "yuv") != layout.name.replace("yuvj", "yuv"):
        frame = frame.reformat(format=layout.name)
    shapes = layout.plane_shapes(frame.height, frame.width)
    return tuple(_samples(plane, layout, *shape) for plane, shape in zip(frame.planes, shapes, strict=True))


def is_opaque(frame: VideoFrame) -> bool:
    """Whether a frame has no transparency, or has it nowhere."""
    layout = nearest_layout(frame.format.name)
    if not layout.alpha:
        return True
    alpha = alpha_plane(to_planes(frame, layout), layout)
    return alpha is None or bool(alpha.min() >= 1)


def _samples(plane: VideoPlane, layout: PixelLayout, rows: int, columns: int) -> Tensor:
    stored = layout.stored_dtype
    samples: np.ndarray = np.frombuffer(plane, stored)  # type: ignore[call-overload]  # a buffer, said not to be
    grid = samples[: rows * (abs(plane.line_size) // samples.itemsize)].reshape(rows, -1)[:, :columns]
    return torch.from_numpy((grid if plane.line_size > 0 else grid[::-1]).astype(stored.newbyteorder("=")))
