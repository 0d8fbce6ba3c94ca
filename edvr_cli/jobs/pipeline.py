"""A video's frames through the network into segments of encoded video.

    video file ─decode▶ planes ─color▶ RGB ─shots, windows, engine▶ RGB ─resize, color▶ planes ─encode▶ segments

Decoding and encoding run in threads of their own beside the network; memory is that of a few frames. A GPU's work
is queued frame after frame: the encoder's thread is the one that waits for it.
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
from edvr_cli.jobs.segments import Lengths, Position
from edvr_cli.jobs.source_range import Excerpt, mark
from edvr_cli.network.windows import Window, windows
from edvr_cli.system.gpu_copy import Download
from edvr_cli.system.threads import Drain, prefetch
from edvr_cli.video.pixels.color import alpha_plane, planes_to_rgb, rgb_to_planes
from edvr_cli.video.reading.reader import SourceFrame
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = [
    "FrameSink",
    "decode",
    "restore_segments",
    "rgb_of",
    "see",
]

_DECODED_AHEAD = 4  # frames; a window's worth is held besides
_ENCODED_BEHIND = 4


@dataclass(frozen=True)
class Seen:
    """A source frame, its number in the video, and what the cut detector said of it."""

    number: int
    frame: SourceFrame
    starts_shot: bool
    motion: tuple[float, ...]  # what the detector remembers after it


Decoded = tuple[Seen, Tensor]
"""A frame and its RGB (3, H, W)."""


class FrameSink(Protocol):
    """Where restored frames go: segments, or a pipe. A context manager."""

    @property
    def encoder(self) -> EncoderPlan:
        """What the frames' planes must be."""

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
    on_host: Download  # planes, and whether the network's output was finite
    pts: int
    duration: int | None


def see(source: Excerpt, position: Position, *, shots: bool) -> Generator[Seen, None, None]:
    """The frames that ``position`` knows and those after it, with their cuts."""
    detector = CutDetector() if shots else None
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
            yield Seen(number, frame, starts_shot, detector.motion if detector is not None else ())


def decode(source: Excerpt, position: Position, *, shots: bool, device: torch.device) -> Generator[Decoded, None, None]:
    """What :func:`see` gives, with the frames' RGB on ``device``."""
    with closing(see(source, position, shots=shots)) as frames:
        for seen in frames:
            yield seen, rgb_of(seen.frame, device)


def rgb_of(frame: SourceFrame, device: torch.device) -> Tensor:
    """A source frame as (3, H, W) float32 on ``device``."""
    return planes_to_rgb(frame.planes, frame.layout, frame.color, device=device)


def restore_segments(
    frames: Generator[Decoded, None, None],
    engine: StreamingEDVR,
    files: FrameSink,
    *,
    begin: int,
    end: int | None,
    lengths: Lengths,
    on_frame: Callable[[], None],
    stop: Callable[[], bool],
) -> bool:
    """Restore frame number ``begin`` up to ``end`` (None: the last) and encode them into segments.

    ``frames`` start as far before ``begin`` as windows reach. ``on_frame`` is called after each frame, ``stop``
    asked after each segment. True when all is done, False when it was stopped before.
    """
    size = engine.config.frames
    trail: deque[Seen] = deque(maxlen=size)
    length = 0  # of the segment so far

    def encode(item: list[_Restored] | Position) -> None:
        if isinstance(item, Position):
            files.end(item)
            return
        for restored in item:
            *planes, is_finite = restored.on_host.wait()
            if not is_finite:
                raise DeviceError(
                    f"the network's output for frame {restored.number} is not finite in {name_of(engine.dtype)}, "
                    "which numbers may be too large for: choose --precision bf16 or fp32"
                )
            files.write(restored.number, planes, restored.pts, restored.duration)

    def queue(group: list[Window[Decoded]]) -> None:
        """Restore these windows and hand them to the encoder."""
        outputs = engine.restore_windows([Window(w.indices, tuple(rgb for _, rgb in w.frames)) for w in group])
        pairs = zip(group, outputs, strict=True)
        drain.put([_for_encoder(window.reference[0], output, files.encoder) for window, output in pairs])
        for _ in group:
            on_frame()
        group.clear()

    with ExitStack() as stack:
        stack.enter_context(files)
        decoded = stack.enter_context(closing(prefetch(frames, _DECODED_AHEAD)))
        drain = stack.enter_context(Drain(encode, _ENCODED_BEHIND))
        group: list[Window[Decoded]] = []  # restored in one go
        for window in windows(((item, item[0].starts_shot) for item in decoded), size, engine.model.padding):
            seen, rgb = window.reference
            if end is not None and seen.number >= end:
                break
            if length and lengths.ends(length, seen.starts_shot):
                if group:
                    queue(group)
                drain.put(_position(trail))
                length = 0
                if stop():
                    return False
            trail.append(seen)
            if seen.number < begin:
                continue
            if not engine.prepared:
                engine.prepare(*rgb.shape[1:])
            group.append(window)
            length += 1
            if len(group) >= engine.windows_at_once:
                queue(group)
        if group:
            queue(group)
        if length:
            drain.put(_position(trail))
    return True


def _for_encoder(seen: Seen, output: Tensor, encoder: EncoderPlan) -> _Restored:
    """A restored frame in the encoder's size and format, on its way to the host."""
    is_finite = output.sum().isfinite()
    output = to_output_size(output, (encoder.height, encoder.width))
    alpha = _alpha(seen.frame, encoder, output.device)
    planes = rgb_to_planes(output, encoder.layout, encoder.color, alpha=alpha)
    return _Restored(seen.number, Download((*planes, is_finite)), seen.frame.pts, seen.frame.duration)


def _position(trail: Sequence[Seen]) -> Position:
    """Where the last of these frames ends."""
    marks = tuple(mark(seen.frame, starts_shot=seen.starts_shot) for seen in trail)
    return Position(trail[-1].number + 1, marks, trail[-1].motion)


def _alpha(frame: SourceFrame, encoder: EncoderPlan, device: torch.device) -> Tensor | None:
    """The frame's transparency in the output's size (h, w), or None where one of the two has none."""
    if not encoder.layout.alpha:
        return None
    alpha = alpha_plane(frame.planes, frame.layout)
    return None if alpha is None else resize(alpha.to(device), (encoder.height, encoder.width), "bicubic")


def _luma(frame: SourceFrame) -> Tensor:
    """What scene cuts are looked for in: (H, W) in [0, 1], thinned out, from the first plane.

    For packed RGB that is a mixture of its channels, which a cut changes as well.
    """
    plane = frame.planes[0][::2, ::2]
    return plane.to(torch.float32) / (frame.layout.peak << frame.layout.shift)
