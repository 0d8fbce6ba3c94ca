"""Segments as tasks that carry what they need: one machine divides a video, others restore the parts.

A task's frames travel as the source's own packets. Whoever decodes them compares each frame with its checksum, so
that the result is that of one machine; where packets are not enough, the frames themselves travel.
"""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from edvr_cli.errors import InputError
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.jobs.manifest import Gap
from edvr_cli.jobs.pipeline import Decoded, Seen, restore_segments, rgb_of, see
from edvr_cli.jobs.segment_files import SegmentWriter
from edvr_cli.jobs.segments import Lengths, Mark, Position, Segment
from edvr_cli.jobs.source_range import Excerpt, mark
from edvr_cli.video.pixels.color import ColorSpec
from edvr_cli.video.pixels.layout import PixelLayout
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.packet_extract import PacketCutter, Part
from edvr_cli.video.reading.reader import SourceFrame, VideoReader
from edvr_cli.video.reading.sources import FileSource
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["Task", "divide", "perform", "with_frames"]

_UNDIVIDED = Lengths(1 << 60, 1 << 60)


Format = tuple[PixelLayout, ColorSpec]
"""What the samples of a frame are, and what they mean."""


@dataclass(frozen=True)
class Task:
    """A segment to restore: frame ``begin`` up to ``end``, and the frames around them that windows reach.

    ``marks``, ``durations`` and ``formats`` are those of the frames from number ``first`` on; ``part`` or ``planes``
    hold them.
    """

    begin: int
    end: Position
    first: int
    marks: tuple[Mark, ...]
    durations: tuple[int | None, ...]
    formats: tuple[Format, ...]
    part: Part | None
    planes: tuple[tuple[np.ndarray, ...], ...] = ()

    @property
    def frame_count(self) -> int:
        """How many frames are to be restored."""
        return self.end.frame - self.begin


@dataclass(frozen=True)
class _Known:
    number: int
    mark: Mark
    duration: int | None
    format: Format
    motion: tuple[float, ...]


def divide(source: Excerpt, gap: Gap, *, shots: bool, lengths: Lengths, reach: int) -> Generator[Task, None, None]:
    """The segments of ``gap``, in order, as one machine would make them; windows reach ``reach`` frames far."""
    cutter = PacketCutter(source.info) if isinstance(source.info.source, FileSource) else None
    held: deque[_Known] = deque()  # frames that tasks may still need
    closed: deque[tuple[int, Position]] = deque()  # segments that wait for the frames behind them
    begin = gap.begin.frame
    try:
        with closing(see(source, gap.begin, shots=shots)) as frames:
            for seen in frames:
                length = seen.number - begin
                ends = lengths.ends(length, seen.starts_shot) or seen.number == gap.end
                if length > 0 and ends and (gap.end is None or begin < gap.end):
                    closed.append((begin, _position(held, reach)))
                    begin = seen.number
                held.append(_known(seen))
                while closed and closed[0][1].frame + reach <= seen.number + 1:
                    yield _task(*closed.popleft(), held, reach, cutter)
                if gap.end is not None and seen.number + 1 >= gap.end + reach:
                    break
        if held and held[-1].number >= begin and (gap.end is None or begin < gap.end):
            closed.append((begin, _position(held, reach)))
        while closed:
            yield _task(*closed.popleft(), held, reach, cutter)
    finally:
        if cutter is not None:
            cutter.close()


def with_frames(task: Task, source: Excerpt) -> Task:
    """The task with the frames themselves."""
    known = task.marks[: max(1, task.begin - task.first)]
    with closing(source.frames(Position(task.first + len(known), known))) as frames:
        planes = tuple(
            tuple(plane.numpy() for plane in frame.planes) for frame, _ in zip(frames, task.marks, strict=False)
        )
    return replace(task, part=None, planes=planes)


def perform(task: Task, info: VideoInfo, engine: StreamingEDVR, encoder: EncoderPlan) -> tuple[Segment, bytes] | None:
    """Restore and encode a task's segment; None where its packets do not decode to its frames."""
    segments: list[Segment] = []
    engine.prepare(info.height, info.width)
    with TemporaryDirectory(prefix="edvr-") as name:
        folder = Path(name)
        try:
            restore_segments(
                _decode(task, info, folder, engine),
                engine,
                SegmentWriter(folder, encoder, info.time_base, segments.append),
                begin=task.begin,
                end=task.end.frame,
                lengths=_UNDIVIDED,
                on_frame=lambda: None,
                stop=lambda: False,
            )
        except _MismatchError:
            return None
        (segment,) = segments
        return replace(segment, end=task.end), (folder / segment.name).read_bytes()


class _MismatchError(InputError):
    """Other frames than the task's came out of its packets."""


def _decode(task: Task, info: VideoInfo, folder: Path, engine: StreamingEDVR) -> Generator[Decoded, None, None]:
    device = engine.device if engine.whole_frames else torch.device("cpu")
    frames = _sent(task, info) if task.part is None else _decoded(task, task.part, info, folder)
    parts = zip(frames, task.marks, task.durations, task.formats, strict=True)
    for number, (planes, known, duration, (layout, color)) in enumerate(parts):
        frame = SourceFrame(planes, layout, number, known.pts, info.time_base, duration, color)
        if mark(frame, starts_shot=known.starts_shot) != known:
            raise _MismatchError(f"frame {task.first + number} decodes otherwise")
        seen = Seen(task.first + number, frame, known.starts_shot, ())
        yield seen, rgb_of(frame, device)


_Planes = tuple[torch.Tensor, ...]


def _sent(task: Task, info: VideoInfo) -> Iterator[_Planes]:
    for planes in task.planes:
        yield tuple(torch.from_numpy(plane.copy()) for plane in planes)


def _decoded(task: Task, part: Part, info: VideoInfo, folder: Path) -> Iterator[_Planes]:
    """As many frames as the task has, from its first one on."""
    path = folder / "source.mkv"
    path.write_bytes(part.data)
    times = iter(known.pts - part.origin for known in task.marks)
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


def _known(seen: Seen) -> _Known:
    frame = seen.frame
    known = mark(frame, starts_shot=seen.starts_shot)
    return _Known(seen.number, known, frame.duration, (frame.layout, frame.color), seen.motion)


def _position(held: deque[_Known], reach: int) -> Position:
    """Where the last of these frames ends."""
    last = list(held)[-reach:]
    return Position(last[-1].number + 1, tuple(known.mark for known in last), last[-1].motion)


def _task(begin: int, end: Position, held: deque[_Known], reach: int, cutter: PacketCutter | None) -> Task:
    while held[0].number < begin - reach:
        held.popleft()
    frames = [known for known in held if known.number < end.frame + reach]
    part = cutter.cut(frames[0].mark.pts, frames[-1].mark.pts) if cutter is not None else None
    marks = tuple(known.mark for known in frames)
    durations, formats = tuple(known.duration for known in frames), tuple(known.format for known in frames)
    return Task(begin, end, frames[0].number, marks, durations, formats, part)
