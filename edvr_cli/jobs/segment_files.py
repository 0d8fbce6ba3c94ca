"""Segments on disk: each is complete under its name, or not there."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from edvr_cli.errors import OutputError, reason_of
from edvr_cli.jobs.segments import Position, Segment
from edvr_cli.system.files import open_regular, remove, reserve, sha256_of, sync_directory, sync_file, write_file
from edvr_cli.system.threads import Drain
from edvr_cli.video.writing.encoders import EncoderPlan
from edvr_cli.video.writing.writer import EncodedVideo, VideoWriter

__all__ = ["PARTIAL", "SegmentWriter", "as_encoded_video", "is_whole", "store_segment"]

PARTIAL = ".part"  # suffix of a segment while it is written


class SegmentWriter:
    """Encodes frames into segments; a context manager. ``on_segment`` receives each segment that is on disk.

    A segment is finished in a thread while the next one is encoded: an encoder that looks ahead has dozens of frames
    left to encode at the end. ``on_segment`` is called in that thread, in the order of the segments.
    Leaving the block finishes what is ended, and drops a segment that is not. Raises OutputError where a file cannot
    be written or the encoder fails.
    """

    def __init__(
        self, directory: Path, encoder: EncoderPlan, time_base: Fraction, on_segment: Callable[[Segment], None]
    ) -> None:
        self.encoder = encoder
        self._directory = directory
        self._time_base = time_base
        self._on_segment = on_segment
        self._writer: VideoWriter | None = None
        self._finishing: Drain[tuple[VideoWriter, int, Position]] = Drain(self._finish, 1)

    def __enter__(self) -> Self:
        self._finishing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            _drop(writer, error)
        try:
            self._finishing.__exit__(None, None, None)  # all that is ended, also after an error elsewhere
        except Exception:
            if error is None:  # else that one matters more
                raise

    def write(self, number: int, planes: Sequence[Tensor], pts: int, duration: int | None) -> None:
        """Encode frame ``number``: see `VideoWriter.write`."""
        if self._writer is None:
            path = self._directory / f"{number:08}.mkv{PARTIAL}"
            reserve(path)
            self._writer = VideoWriter(path, self.encoder, time_base=self._time_base)
            self._first = number
        self._writer.write(planes, pts, duration)

    def end(self, position: Position) -> None:
        """End the segment at ``position``, and put it in place."""
        assert self._writer is not None
        writer, self._writer = self._writer, None
        self._finishing.put((writer, self._first, position))

    def _finish(self, ended: tuple[VideoWriter, int, Position]) -> None:
        writer, first, position = ended
        try:
            video = writer.finish()
            path, digest = _put_in_place(video.path)
        except BaseException as error:
            _drop(writer, error)
            raise
        self._on_segment(
            Segment(
                name=path.name,
                first=first,
                frame_count=video.frame_count,
                first_pts=video.first_pts,
                last_duration=video.last_duration,
                size=path.stat().st_size,
                sha256=digest,
                end=position,
            )
        )


def _drop(writer: VideoWriter, error: BaseException | None) -> None:
    """Close and remove a segment that is not whole."""
    with suppress(OutputError):  # What is dropped need not be finished.
        writer.__exit__(type(error) if error else None, error, None)
    with suppress(OSError):  # Nor does it matter more than what it is dropped for.
        remove(writer.path)


def store_segment(segment: Segment, data: bytes, directory: Path) -> None:
    """Put a segment that was made elsewhere into ``directory``, whole or not at all.

    Raises OutputError where it cannot be written, or where ``data`` is not what it should be.
    """
    path = directory / segment.name
    write_file(path, data)
    digest = sha256_of(path)
    if digest != segment.sha256:
        raise OutputError(f"{segment.name} was damaged on its way here.")


def _put_in_place(part: Path) -> tuple[Path, str]:
    """(final path, digest) of a finished segment."""
    path = part.with_suffix("")
    try:
        sync_file(part)
        digest = sha256_of(part)
        part.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise OutputError(f"{part} cannot be written: {reason_of(error)}.") from error
    return path, digest


def as_encoded_video(segment: Segment, directory: Path, time_base: Fraction) -> EncodedVideo:
    """A segment in ``directory``, for `mux`."""
    path = directory / segment.name
    return EncodedVideo(path, time_base, segment.frame_count, segment.first_pts, segment.last_duration)


def is_whole(segment: Segment, directory: Path) -> bool:
    """Whether a segment's file exists and has not changed."""
    path = directory / segment.name
    try:
        with open_regular(path) as file:
            same_size = os.fstat(file.fileno()).st_size == segment.size
            return same_size and hashlib.file_digest(file, "sha256").hexdigest() == segment.sha256
    except OSError:
        return False
