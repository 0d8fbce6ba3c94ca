"""Segments as self-contained tasks: one machine splits a video into tasks, others run them.

A task carries its frames as the source's packets. Whoever decodes them compares each frame with its checksum, so
that the result is that of one machine; where packets are not enough, the task carries the frames.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from edvr_cli.errors import InputError
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.jobs.manifest import MissingRange
from edvr_cli.jobs.pipeline import LabelledFrame, LabelledRgb, read_labelled, restore_segments, to_rgb
from edvr_cli.jobs.segment_files import SegmentWriter
from edvr_cli.jobs.segments import FrameId, Position, Segment, SegmentLimits
from edvr_cli.jobs.source_range import SourceRange, frame_id
from edvr_cli.video.pixels.color import ColorSpec
from edvr_cli.video.pixels.layout import PixelLayout
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.packet_extract import PacketExtractor, SourceFragment
from edvr_cli.video.reading.reader import SourceFrame, VideoReader
from edvr_cli.video.reading.sources import FileSource
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["SegmentTask", "embed_frames", "run_task", "split_into_tasks"]

_UNLIMITED = SegmentLimits(1 << 60, 1 << 60)

Format = tuple[PixelLayout, ColorSpec]
"""What the samples of a frame are, and what they mean."""


@dataclass(frozen=True)
class SegmentTask:
    """A segment to restore: frame ``begin`` up to ``end``, and the frames around them that windows reach.

    ``frame_ids``, ``durations`` and ``formats`` belong to the frames from number ``first`` on, which ``fragment`` or
    ``planes`` contain.
    """

    begin: int
    end: Position
    first: int
    frame_ids: tuple[FrameId, ...]
    durations: tuple[int | None, ...]
    formats: tuple[Format, ...]
    fragment: SourceFragment | None
    planes: tuple[tuple[np.ndarray, ...], ...] = ()

    @property
    def frame_count(self) -> int:
        """Number of frames to restore."""
        return self.end.frame - self.begin


@dataclass(frozen=True)
class _ReadFrame:
    number: int
    frame_id: FrameId
    duration: int | None
    format: Format
    motion: tuple[float, ...]


def split_into_tasks(
    source: SourceRange, missing: MissingRange, *, split_at_cuts: bool, limits: SegmentLimits, reach: int
) -> Generator[SegmentTask, None, None]:
    """The segments of ``missing``, in order, as one machine would make them; windows reach ``reach`` frames."""
    extractor = PacketExtractor(source.info) if isinstance(source.info.source, FileSource) else None
    held: deque[_ReadFrame] = deque()  # frames that later tasks may still need
    # Segments whose end is known, but not yet the ``reach`` frames after it, which their last windows need.
    closed: deque[tuple[int, Position]] = deque()
    begin = missing.begin.frame
    try:
        with closing(read_labelled(source, missing.begin, split_at_cuts=split_at_cuts)) as frames:
            for labelled in frames:
                length = labelled.number - begin
                ends = limits.end_before(length, labelled.starts_shot) or labelled.number == missing.end
                if length > 0 and ends and (missing.end is None or begin < missing.end):
                    closed.append((begin, _position(held, reach)))
                    begin = labelled.number
                held.append(_read_frame(labelled))
                while closed and closed[0][1].frame + reach <= labelled.number + 1:
                    yield _task(*closed.popleft(), held, reach, extractor)
                if missing.end is not None and labelled.number + 1 >= missing.end + reach:
                    break
        if held and held[-1].number >= begin and (missing.end is None or begin < missing.end):
            closed.append((begin, _position(held, reach)))
        while closed:
            yield _task(*closed.popleft(), held, reach, extractor)
    finally:
        if extractor is not None:
            extractor.close()


def embed_frames(task: SegmentTask, source: SourceRange) -> SegmentTask:
    """The task with decoded frames instead of packets."""
    known = task.frame_ids[: max(1, task.begin - task.first)]
    with closing(source.frames(Position(task.first + len(known), known))) as frames:
        planes = tuple(
            tuple(plane.numpy() for plane in frame.planes) for frame, _ in zip(frames, task.frame_ids, strict=False)
        )
    return replace(task, fragment=None, planes=planes)


def run_task(
    task: SegmentTask,
    info: VideoInfo,
    engine: StreamingEDVR,
    encoder: EncoderPlan,
    *,
    on_frame: Callable[[], None] = lambda: None,
) -> tuple[Segment, bytes] | None:
    """Restore and encode a task's segment; None where its packets do not decode to its frames.

    ``on_frame`` is called after each frame.
    """
    segments: list[Segment] = []
    engine.prepare(info.height, info.width)
    with TemporaryDirectory(prefix="edvr-") as name:
        folder = Path(name)
        try:
            restore_segments(
                _read(task, info, folder, engine),
                engine,
                SegmentWriter(folder, encoder, info.time_base, segments.append),
                begin=task.begin,
                end=task.end.frame,
                limits=_UNLIMITED,
                on_frame=on_frame,
                stop=lambda: False,
            )
        except _MismatchError:
            return None
        (segment,) = segments
        return replace(segment, end=task.end), (folder / segment.name).read_bytes()


class _MismatchError(InputError):
    """The task's packets decode to other frames than the task's."""


def _read(
    task: SegmentTask, info: VideoInfo, folder: Path, engine: StreamingEDVR
) -> Generator[LabelledRgb, None, None]:
    fragment = task.fragment
    frames = _embedded(task) if fragment is None else _decoded(task, fragment, info, folder)
    parts = zip(frames, task.frame_ids, task.durations, task.formats, strict=True)
    for number, (planes, known, duration, (layout, color)) in enumerate(parts):
        frame = SourceFrame(planes, layout, number, known.pts, info.time_base, duration, color)
        if frame_id(frame, starts_shot=known.starts_shot) != known:
            raise _MismatchError(f"frame {task.first + number} decodes differently")
        labelled = LabelledFrame(task.first + number, frame, known.starts_shot, ())
        yield labelled, to_rgb(frame, engine.staging_device)


_Planes = tuple[torch.Tensor, ...]


def _embedded(task: SegmentTask) -> Iterator[_Planes]:
    for planes in task.planes:
        yield tuple(torch.from_numpy(plane.copy()) for plane in planes)


def _decoded(task: SegmentTask, fragment: SourceFragment, info: VideoInfo, folder: Path) -> Iterator[_Planes]:
    """As many frames as the task has, from its first one on."""
    path = folder / "source.mkv"
    path.write_bytes(fragment.data)
    times = iter(known.pts - fragment.origin for known in task.frame_ids)
    wanted = next(times)
    with VideoReader(path, info=replace(info, source=FileSource(path), start_time=Fraction(0)), threads=1) as reader:
        try:
            for frame in reader:
                if frame.pts == wanted:
                    yield frame.planes
                    following = next(times, None)
                    if following is None:
                        return
                    wanted = following
        except InputError as error:
            raise _MismatchError(str(error)) from error
    raise _MismatchError(f"frame at {wanted} does not decode")


def _read_frame(item: LabelledFrame) -> _ReadFrame:
    frame = item.frame
    known = frame_id(frame, starts_shot=item.starts_shot)
    return _ReadFrame(item.number, known, frame.duration, (frame.layout, frame.color), item.motion)


def _position(held: deque[_ReadFrame], reach: int) -> Position:
    """The position after the last of these frames."""
    last = list(held)[-reach:]
    return Position(last[-1].number + 1, tuple(item.frame_id for item in last), last[-1].motion)


def _task(
    begin: int, end: Position, held: deque[_ReadFrame], reach: int, extractor: PacketExtractor | None
) -> SegmentTask:
    while held[0].number < begin - reach:
        held.popleft()
    frames = [item for item in held if item.number < end.frame + reach]
    first, last = frames[0].frame_id.pts, frames[-1].frame_id.pts
    fragment = extractor.extract(first, last) if extractor is not None else None
    frame_ids = tuple(item.frame_id for item in frames)
    durations, formats = tuple(item.duration for item in frames), tuple(item.format for item in frames)
    return SegmentTask(begin, end, frames[0].number, frame_ids, durations, formats, fragment)
