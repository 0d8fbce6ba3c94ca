"""A video's frames through the network into segments of encoded video.

    video file ─decode▶ planes ─color▶ RGB ─cuts, windows, engine▶ RGB ─resize, color▶ planes ─encode▶ segments

Decoding and encoding run in separate threads next to the network; only a few frames are in memory. A GPU's work is
queued frame by frame: the encoder's thread is the one that waits for it.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import torch
from torch import Tensor

from edvr_cli.errors import DeviceError
from edvr_cli.image.resize import resize
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.frames import to_output_size
from edvr_cli.inference.precision import name_of
from edvr_cli.inference.scene_cuts import CutDetector
from edvr_cli.jobs.segments import Position, SegmentLimits
from edvr_cli.jobs.source_range import SourceRange, frame_id
from edvr_cli.network.windows import Window
from edvr_cli.system.gpu_copy import Download
from edvr_cli.system.gpu_errors import is_out_of_memory
from edvr_cli.system.threads import Drain, prefetch
from edvr_cli.video.pixels.color import alpha_plane, planes_to_rgb, rgb_to_planes
from edvr_cli.video.reading.reader import SourceFrame
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["FrameSink", "LabelledFrame", "LabelledRgb", "read_labelled", "read_rgb", "restore_segments", "to_rgb"]

_DECODED_AHEAD = 4  # frames, in addition to those of a window
_ENCODED_BEHIND = 4


@dataclass(frozen=True)
class LabelledFrame:
    """A source frame, its number in the video, and the result of the cut detector."""

    number: int
    frame: SourceFrame
    starts_shot: bool
    motion: tuple[float, ...]  # state of the detector after this frame


LabelledRgb = tuple[LabelledFrame, Tensor]
"""A frame and its RGB (3, H, W)."""


class FrameSink(Protocol):
    """Where restored frames go: segments, or a pipe. A context manager."""

    @property
    def encoder(self) -> EncoderPlan:
        """The encoder, which decides size and layout of the planes."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, number: int, planes: Sequence[Tensor], pts: int, duration: int | None) -> None:
        """Take frame ``number``, with its time and duration in ticks of the source."""

    def end(self, position: Position) -> None:
        """A segment ends here."""


@dataclass(frozen=True)
class _Restored:
    number: int
    on_host: Download  # planes, and whether the network's output is finite
    pts: int
    duration: int | None


def read_labelled(
    source: SourceRange, position: Position, *, split_at_cuts: bool
) -> Generator[LabelledFrame, None, None]:
    """The frames that ``position`` lists and those after it, with their scene cuts."""
    detector = CutDetector() if split_at_cuts else None
    first = position.frame - len(position.before)
    with closing(source.frames(position)) as frames:
        for number, frame in enumerate(frames, start=first):
            starts_shot = False
            if number < position.frame:
                starts_shot = position.before[number - first].starts_shot
                if detector is not None and number == position.frame - 1:
                    detector.resume(_luma(frame), position.motion)
            elif detector is not None:
                starts_shot = detector.starts_shot(_luma(frame))
            yield LabelledFrame(number, frame, starts_shot, detector.motion if detector is not None else ())


def read_rgb(
    source: SourceRange, position: Position, *, split_at_cuts: bool, device: torch.device
) -> Generator[LabelledRgb, None, None]:
    """The frames of :func:`read_labelled` with their RGB on ``device``."""
    with closing(read_labelled(source, position, split_at_cuts=split_at_cuts)) as frames:
        for labelled in frames:
            yield labelled, to_rgb(labelled.frame, device)


def to_rgb(frame: SourceFrame, device: torch.device) -> Tensor:
    """A source frame as (3, H, W) float32 on ``device``."""
    try:
        return planes_to_rgb(frame.planes, frame.layout, frame.color, device=device)
    except RuntimeError as error:
        if device.type != "cuda" or not is_out_of_memory(error):
            raise
    torch.cuda.empty_cache()  # the network's memory between two frames
    return planes_to_rgb(frame.planes, frame.layout, frame.color, device=device)


def restore_segments(
    frames: Generator[LabelledRgb, None, None],
    engine: StreamingEDVR,
    sink: FrameSink,
    *,
    begin: int,
    end: int | None,
    limits: SegmentLimits,
    on_frame: Callable[[], None],
    stop: Callable[[], bool],
) -> bool:
    """Restore frame number ``begin`` up to ``end`` (exclusive; None: all) and encode them into segments.

    ``frames`` start as many frames before ``begin`` as windows reach back. ``on_frame`` is called after each frame,
    ``stop`` after each segment. Returns True when all is done, False when it was stopped.
    """
    trail: deque[LabelledFrame] = deque(maxlen=engine.config.frames)  # the last frames, to describe a position
    length = 0  # of the current segment

    def encode(item: list[_Restored] | Position) -> None:
        if isinstance(item, Position):
            sink.end(item)
            return
        for restored in item:
            *planes, is_finite = restored.on_host.wait()
            if not is_finite:
                raise DeviceError(
                    f"the network's output for frame {restored.number} is not finite in {name_of(engine.dtype)}"
                    f"{_why_not_finite(engine)}",
                    hint="precision" if engine.dtype == torch.float16 else None,
                )
            sink.write(restored.number, planes, restored.pts, restored.duration)

    def restore(group: list[tuple[LabelledFrame, Window[Tensor]]]) -> None:
        """Restore these windows in one go and queue them for the encoder."""
        while True:
            try:
                restored = _restored(group, engine, sink.encoder)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            engine.use_less_memory()  # more must be left for colors and resizing
        drain.put(restored)
        for _ in group:
            on_frame()
        group.clear()

    with ExitStack() as stack:
        stack.enter_context(sink)
        decoded = stack.enter_context(closing(prefetch(frames, _DECODED_AHEAD)))
        drain = stack.enter_context(Drain(encode, _ENCODED_BEHIND))
        group: list[tuple[LabelledFrame, Window[Tensor]]] = []  # restored in one go
        for labelled, window in engine.windows((item, rgb, item.starts_shot) for item, rgb in decoded):
            # The order matters. First the end: frames after it only fill windows. Then the segment's end, which
            # belongs to the frames before this one. Frames before ``begin`` are in the trail, but not restored.
            if end is not None and labelled.number >= end:
                break
            if length and limits.end_before(length, labelled.starts_shot):
                if group:
                    restore(group)
                drain.put(_position(trail))
                length = 0
                if stop():
                    return False
            trail.append(labelled)
            if labelled.number < begin:
                continue
            group.append((labelled, window))
            length += 1
            if len(group) >= engine.windows_at_once:
                restore(group)
        if group:
            restore(group)
        if length:
            drain.put(_position(trail))
    return True


def _restored(
    group: list[tuple[LabelledFrame, Window[Tensor]]], engine: StreamingEDVR, encoder: EncoderPlan
) -> list[_Restored]:
    """The frames of windows that are restored in one go."""
    outputs = engine.restore_windows([window for _, window in group])
    return [_for_encoder(labelled, output, encoder) for (labelled, _), output in zip(group, outputs, strict=True)]


def _for_encoder(labelled: LabelledFrame, output: Tensor, encoder: EncoderPlan) -> _Restored:
    """A restored frame in the encoder's size and layout, on its way to the host."""
    is_finite = output.sum().isfinite()
    output = to_output_size(encoder.turn.apply(output), encoder.size)
    alpha = _alpha(labelled.frame, encoder, output.device)
    planes = rgb_to_planes(output, encoder.layout, encoder.color, alpha=alpha)
    return _Restored(labelled.number, Download((*planes, is_finite)), labelled.frame.pts, labelled.frame.duration)


def _why_not_finite(engine: StreamingEDVR) -> str:
    """Whether the numbers' type or the model itself is at fault."""
    if not all(bool(parameter.isfinite().all()) for parameter in engine.model.network.parameters()):
        return f": the model {engine.model.name} has parameters that are not finite; use another model"
    if engine.dtype == torch.float16:
        return ", whose range may be too small: use bf16 or fp32"
    return ": the model does not suit these pictures; use another model"


def _position(trail: Sequence[LabelledFrame]) -> Position:
    """The position after the last of these frames."""
    frame_ids = tuple(frame_id(item.frame, starts_shot=item.starts_shot) for item in trail)
    return Position(trail[-1].number + 1, frame_ids, trail[-1].motion)


def _alpha(frame: SourceFrame, encoder: EncoderPlan, device: torch.device) -> Tensor | None:
    """The frame's transparency in the output's size (h, w), or None where one of the two has none."""
    if not encoder.layout.alpha:
        return None
    alpha = alpha_plane(frame.planes, frame.layout)
    if alpha is None:
        return None
    return resize(encoder.turn.apply(alpha.to(device)), (encoder.height, encoder.width), "bicubic")


def _luma(frame: SourceFrame) -> Tensor:
    """The picture in which scene cuts are detected: every second pixel of the first plane, (H, W) in [0, 1].

    For packed RGB that is a mixture of its channels, which a cut changes as well.
    """
    plane = frame.planes[0][::2, ::2]
    return plane.to(torch.float32) / (frame.layout.peak << frame.layout.shift)
