"""The source's frames from any position, exactly as a run from the beginning reads them."""

import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from edvr_cli.errors import InputError
from edvr_cli.jobs.segments import FrameId, Position
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.reader import SourceFrame, VideoReader

__all__ = ["SourceRange", "frame_id"]


@dataclass(frozen=True)
class SourceRange:
    """The part of a video to restore, as arguments of `VideoReader`."""

    info: VideoInfo
    start: Fraction | None = None
    end: Fraction | None = None
    max_frames: int | None = None
    threads: int = 0
    on_warning: Callable[[str], None] | None = None
    on_transparency: Callable[[Fraction], None] | None = None

    def frames(self, position: Position) -> Generator[SourceFrame, None, None]:
        """The frames just before ``position`` that it lists, then those after it.

        A decoder that starts in the middle may produce other frames than one that read from the beginning, above
        all in damaged files: then this reads from the beginning. Raises InputError where not even that reproduces
        the listed frames.
        """
        known = position.before
        if not known:
            yield from self._read(self.start, self.max_frames)
            return
        first = position.frame - len(known)
        remaining = None if self.max_frames is None else self.max_frames - first
        begin = known[0].pts * self.info.time_base - self.info.start_time
        with closing(self._read(begin, remaining)) as frames:
            found = _first(frames, len(known))
            if _checksums(found) == [(item.pts, item.checksum) for item in known]:
                yield from found
                yield from frames
                return
        with closing(self._read(self.start, self.max_frames)) as frames:
            found = list(islice(frames, first, position.frame))
            # Pixels of a damaged frame may differ from one decoding to the next; its time does not.
            if [frame.pts for frame in found] != [item.pts for item in known]:
                raise InputError(f"{self.info.path} decodes differently than in the interrupted run.", hint="fresh")
            yield from found
            yield from frames

    def _read(self, start: Fraction | None, max_frames: int | None) -> Generator[SourceFrame, None, None]:
        reader = VideoReader(
            self.info.path,
            start=start,
            end=self.end,
            max_frames=max_frames,
            threads=self.threads,
            info=self.info,
            on_warning=self.on_warning,
            on_transparency=self.on_transparency,
        )
        with reader:
            yield from reader


def frame_id(frame: SourceFrame, *, starts_shot: bool) -> FrameId:
    """What identifies ``frame``."""
    return FrameId(frame.pts, _checksum(frame), starts_shot)


def _first(frames: Iterator[SourceFrame], count: int) -> list[SourceFrame]:
    """Up to ``count`` of them."""
    try:
        return list(islice(frames, count))
    except InputError:  # Nothing decodes from there.
        return []


def _checksums(frames: Sequence[SourceFrame]) -> list[tuple[int, int]]:
    return [(frame.pts, _checksum(frame)) for frame in frames]


def _checksum(frame: SourceFrame) -> int:
    value = 0
    for plane in frame.planes:
        value = zlib.crc32(plane.contiguous().numpy().data, value)
    return value
