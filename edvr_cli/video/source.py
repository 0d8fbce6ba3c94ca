"""Where frames come from: a file, numbered pictures, or a pipe. Whoever reads frames knows only `Source`."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame

from edvr_cli.errors import InputError
from edvr_cli.video.container import main_video, open_pipe, open_source
from edvr_cli.video.decoder import Warn, decode, decode_once, first_frame
from edvr_cli.video.images import decode_images, find_images, gaps
from edvr_cli.video.info import Source, VideoInfo, color_of, describe_stream
from edvr_cli.video.layout import native_layout, nearest_layout

DEFAULT_RATE = Fraction(25)
STANDARD_INPUT = Path("-")


@dataclass(frozen=True)
class RawFormat:
    """What raw samples on a pipe mean, which they do not say themselves."""

    width: int
    height: int
    pix_fmt: str


@dataclass(frozen=True)
class Reading:
    """What the user says of the input.

    ``rate`` is the frames a second of pictures and raw samples (None: 25), ``raw`` the meaning of a pipe without
    a header. ``allow_network`` lets a file lead to others and to the network.
    """

    rate: Fraction | None = None
    raw: RawFormat | None = None
    allow_network: bool = False


def as_source(path: str | os.PathLike[str] | Source, reading: Reading | None = None) -> Source:
    """What a name stands for: ``-`` or a pipe, a folder or pattern of pictures, or a file."""
    if not isinstance(path, str | os.PathLike):
        return path
    reading = reading or Reading()
    name = Path(path)
    if name == STANDARD_INPUT or name.is_fifo():
        return PipeSource(name, reading)
    if name.is_dir() or "%" in name.name:
        pictures = find_images(name)
        if pictures is not None:
            return ImageSource(name, tuple(pictures), reading.rate)
    return FileSource(name, allow_network=reading.allow_network)


@dataclass(frozen=True)
class FileSource:
    """A video file."""

    path: Path
    allow_network: bool = False
    rereadable: bool = field(default=True, init=False)

    def describe(self) -> VideoInfo:
        """What is in it; decodes one frame."""
        with self.side_streams() as container:
            stream = main_video(container, self.path)
            return describe_stream(self, container, stream, first_frame(container, stream, self.path))

    def frames(self, *, instant: Fraction | None, threads: int, on_warning: Warn) -> Iterator[VideoFrame]:
        """Decoded frames in display order, from the start or from a little before ``instant`` (seconds)."""
        return decode(self.path, self.side_streams, instant=instant, threads=threads, on_warning=on_warning)

    def files(self) -> tuple[Path, ...]:
        """The file itself."""
        return (self.path,)

    def side_streams(self) -> InputContainer:
        """The file, open."""
        return open_source(self.path, allow_network=self.allow_network)


@dataclass(frozen=True)
class ImageSource:
    """Numbered pictures, ``rate`` of them a second; their times are their places in the sequence."""

    path: Path
    pictures: tuple[Path, ...]
    rate: Fraction | None = None
    rereadable: bool = field(default=True, init=False)

    def describe(self) -> VideoInfo:
        """What is in the first picture, and how many there are."""
        _, frame = next(decode_images(self.pictures))
        rate = self.rate or DEFAULT_RATE
        notes = [] if self.rate else [f"Pictures have no frame rate: {rate} a second are assumed; --fps sets it."]
        missing = gaps(self.pictures)
        if missing:
            notes.append(f"{missing} numbers between the first and the last picture have no picture.")
        count = len(self.pictures)
        return VideoInfo(
            source=self,
            container="pictures",
            stream_index=0,
            codec=self.pictures[0].suffix.lower().removeprefix("."),
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.format.name,
            layout=nearest_layout(frame.format.name),
            color=color_of(frame),
            time_base=1 / rate,
            average_rate=rate,
            start_time=Fraction(0),
            duration=float(count / rate),
            frame_count=count,
            notes=tuple(notes),
        )

    def frames(self, *, instant: Fraction | None, threads: int, on_warning: Warn) -> Iterator[VideoFrame]:
        """The pictures in order, from the one shown at ``instant`` (seconds)."""
        rate = self.rate or DEFAULT_RATE
        first = 0 if instant is None else max(0, int(instant * rate))
        for index, frame in decode_images(self.pictures, first=first, threads=threads):
            frame.pts, frame.time_base, frame.duration = index, 1 / rate, 1
            yield frame

    def files(self) -> tuple[Path, ...]:
        """The pictures."""
        return self.pictures

    def side_streams(self) -> AbstractContextManager[None]:
        """Nothing is beside pictures."""
        return nullcontext()


class PipeSource:
    """Video that is read once, as it comes: standard input or a named pipe; y4m, raw samples, or any container."""

    rereadable = False

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path = path
        self._reading = reading
        self._info: VideoInfo | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._warnings: list[str] = []

    def describe(self) -> VideoInfo:
        """What is in it; waits for the first frame, which `frames` gives again."""
        if self._info is None:
            container = open_pipe(self.path, self._options())
            stream = main_video(container, self.path)
            decoded = decode_once(container, stream, self.path, self._warnings.append)
            frame = next(decoded, None)
            if frame is None:
                raise InputError(f"{self._name}: no frame came through the pipe.")
            self._info = replace(describe_stream(self, container, stream, frame), frame_count=stream.frames or None)
            self._frames = chain([frame], decoded, _closing(container))
        return self._info

    def frames(self, *, instant: Fraction | None, threads: int, on_warning: Warn) -> Iterator[VideoFrame]:
        """Decoded frames in display order. Raises InputError the second time."""
        self.describe()
        frames, self._frames = self._frames, iter(())
        told = False
        for frame in frames:
            told = True
            while self._warnings:
                on_warning(self._warnings.pop(0))
            yield frame
        if not told:
            raise InputError(f"{self._name} can be read only once.")

    def files(self) -> tuple[Path, ...]:
        """None: what went through a pipe is gone."""
        return ()

    def side_streams(self) -> AbstractContextManager[None]:
        """They went by with the frames."""
        return nullcontext()

    @property
    def _name(self) -> str:
        return "Standard input" if self.path == STANDARD_INPUT else str(self.path)

    def _options(self) -> dict[str, str]:
        raw = self._reading.raw
        if raw is None:
            return {}
        if native_layout(raw.pix_fmt) is None:
            raise InputError(f"--raw-input: {raw.pix_fmt!r} is no pixel format that is read as it is.")
        rate = self._reading.rate or DEFAULT_RATE
        return {"video_size": f"{raw.width}x{raw.height}", "pixel_format": raw.pix_fmt, "framerate": str(rate)}


def _closing(container: InputContainer) -> Iterator[VideoFrame]:
    """No frames; closes the container after the last one."""
    container.close()
    yield from ()
