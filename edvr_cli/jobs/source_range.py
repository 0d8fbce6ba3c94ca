"""The source's frames from any position on, exactly as a run from the beginning gets them."""

import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from edvr_cli.errors import InputError
from edvr_cli.jobs.segments import Mark, Position
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.reader import SourceFrame, VideoReader

__all__ = ["Excerpt", "mark"]


@dataclass(frozen=True)
class Excerpt:
    """The part of a video that is to be restored: `VideoReader`'s arguments."""

    info: VideoInfo
    start: Fraction | None = None
    end: Fraction | None = None
    max_frames: int | None = None
    threads: int = 0
    on_warning: Callable[[str], None] | None = None
    on_transparency: Callable[[Fraction], None] | None = None

    def frames(self, position: Position) -> Generator[SourceFrame, None, None]:
        """The frames that ``position`` knows from before it, then those after it.

        A decoder that starts in the middle may produce other frames than one that got there from the beginning,
        in damaged files above all: then this reads from the beginning. Raises InputError where not even that
        leads to the frames that ``position`` knows.
        """
        known = position.before
        if not known:
            yield from self._read(self.start, self.max_frames)
            return
        first = position.frame - len(known)
        left = None if self.max_frames is None else self.max_frames - first
        begin = known[0].pts * self.info.time_base - self.info.start_time
        with closing(self._read(begin, left)) as frames:
            found = _first(frames, len(known))
            if _checksums(found) == [(item.pts, item.checksum) for item in known]:
                yield from found
                yield from frames
                return
        with closing(self._read(self.start, self.max_frames)) as frames:
            found = list(islice(frames, first, position.frame))
            # Pixels of a damaged frame may differ from one decoding to the next; its time does not.
            if [frame.pts for frame in found] != [item.pts for item in known]:
                raise InputError(f"{self.info.path} decodes otherwise than before; start over with --fresh.")
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


def mark(frame: SourceFrame, *, starts_shot: bool) -> Mark:
    """What ``frame`` is recognized by."""
    return Mark(frame.pts, _checksum(frame), starts_shot)


def _first(frames: Iterator[SourceFrame], count: int) -> list[SourceFrame]:
    """As many of them, or as there are."""
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
