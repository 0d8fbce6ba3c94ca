"""Sources of frames: files, numbered pictures, and pipes."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path

import torch
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.frame import VideoFrame
from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.system.limits import available_memory
from edvr_cli.video.containers import main_video, open_pipe, open_source
from edvr_cli.video.file_names import STANDARD_INPUT
from edvr_cli.video.image_sequences import find_images, is_still_picture
from edvr_cli.video.pixels.layout import native_layout, nearest_layout
from edvr_cli.video.pixels.planes import is_opaque, to_planes
from edvr_cli.video.reading.alpha_decoder import video_track
from edvr_cli.video.reading.completeness import find_shortage
from edvr_cli.video.reading.decoder import Warn, decode, decode_once, first_frame
from edvr_cli.video.reading.deinterlace import INTERLACED_NOTE, DeinterlacedSource, looks_interlaced
from edvr_cli.video.reading.describe import describe_stream
from edvr_cli.video.reading.hwaccel import hardware_decoder
from edvr_cli.video.reading.info import Source, VideoInfo, plain_rate
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.reading.pictures import DEFAULT_RATE, ImageSource
from edvr_cli.video.reading.source_clock import STEADY, SourceClock, may_jump, read_clock
from edvr_cli.video.reading.webp import AnimatedWebPSource, is_animated_webp

_BYTES_A_PIXEL = 8  # of a decoded frame, its samples copied, and a part of them as numbers
_PROBED_FRAMES = 8  # frames, for interlacing
_MAX_PIXELS = 8 * 4096 * 2304  # of these frames together
_MAX_SIZE = (4096, 4096)  # (lines, columns) of one of them; of more the middle is enough


def as_source(path: str | os.PathLike[str] | Source, options: InputOptions | None = None) -> Source:
    """The source that a path means: ``-`` or a pipe, a folder or pattern of pictures, or a file."""
    if not isinstance(path, str | os.PathLike):
        return path
    options = options or InputOptions()
    source = _plain_source(Path(path), options)
    return source if options.deinterlace is None else DeinterlacedSource(source, options.deinterlace)


def _plain_source(name: Path, options: InputOptions) -> Source:
    if name == STANDARD_INPUT or name.is_fifo():
        return PipeSource(name, options)
    if name.is_dir() or "%" in name.name:
        pictures = find_images(name)
        if pictures is not None:
            return ImageSource(name, tuple(pictures), options.rate)
    if is_animated_webp(name):
        return AnimatedWebPSource(name)
    if is_still_picture(name):
        return ImageSource(name, (name,), options.rate)
    return FileSource(name, allow_network=options.allow_network, hwaccel=options.hwaccel)


def probe(source: str | os.PathLike[str] | Source) -> VideoInfo:
    """Describe a source; decodes one frame, so that what is described can be decoded.

    Raises InputError for one that is missing, not media, without video, encrypted, or undecodable.
    """
    return as_source(source).describe()


@dataclass(frozen=True)
class FileSource:
    """A video file."""

    path: Path
    allow_network: bool = False
    hwaccel: str | None = None
    rereadable: bool = field(default=True, init=False)

    def describe(self) -> VideoInfo:
        """Describe it; decodes a few frames."""
        with self.side_streams() as container:
            track = video_track(container, self.path)
            check_memory(self.path, track.stream.width, track.stream.height)
            frame = first_frame(track, self.path)
            info = describe_stream(self, track, frame)
            frames = [frame, *islice(decode_once(track, self.path, _ignore), _probed_frames(frame) - 1)]
        rate = _plausible_rate(info, frames)
        count = info.frame_count
        if rate != info.average_rate and info.duration and rate:  # The count was an estimate by the other rate.
            count = round(info.duration * rate)
        interlaced = info.interlaced or looks_interlaced([_luma(item) for item in frames])
        shortage = find_shortage(self.path) if self.path.is_file() else None
        notes = (*(() if shortage is None else (shortage.sentence,)), *((INTERLACED_NOTE,) if interlaced else ()))
        return replace(
            info,
            average_rate=rate,
            frame_count=count,
            interlaced=interlaced,
            opaque=all(is_opaque(item) for item in frames),
            share=1.0 if shortage is None else shortage.size / shortage.promised,
            notes=(*info.notes, *notes),
        )

    def frames(self, *, instant: Fraction | None, threads: int, on_warning: Warn) -> Iterator[VideoFrame]:
        """Decoded frames in display order, from the start or from a little before ``instant`` (seconds)."""
        opener = self.side_streams
        if self.hwaccel is not None:
            opener = partial(open_source, self.path, allow_network=self.allow_network, hwaccel=self._device(on_warning))
        return decode(self.path, opener, instant=instant, threads=threads, on_warning=on_warning, clock=self.clock)

    @cached_property
    def clock(self) -> SourceClock:
        """The file's clock; reads the whole file where its format allows jumps."""
        with self.side_streams() as container:
            return read_clock(container) if may_jump(container) else STEADY

    def files(self) -> tuple[Path, ...]:
        """The file itself; an address is none."""
        return (self.path,) if self.path.is_file() else ()

    def side_streams(self) -> InputContainer:
        """The file, open."""
        return open_source(self.path, allow_network=self.allow_network)

    def _device(self, on_warning: Warn) -> HWAccel | None:
        """The device to decode on; None, with a warning, where none decodes this file."""
        assert self.hwaccel is not None
        with self.side_streams() as container:
            codec = main_video(container, self.path).codec_context.codec
        device = hardware_decoder(self.hwaccel, codec)
        if device is None:
            on_warning(f"No {self.hwaccel} device decodes {codec.name} on this machine; the CPU decodes it.")
        return device


class PipeSource:
    """Video that is read once, as it comes: standard input or a named pipe; y4m, raw samples, or any container."""

    rereadable = False

    def __init__(self, path: Path, options: InputOptions) -> None:
        self.path = path
        self._options = options
        self._info: VideoInfo | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._warnings: list[str] = []

    def describe(self) -> VideoInfo:
        """Describe it; waits for the first frame, which `frames` returns again."""
        if self._info is None:
            container = open_pipe(self.path, self._demuxer_options())
            track = video_track(container, self.path)
            check_memory(self.path, track.stream.width, track.stream.height)
            decoded = decode_once(track, self.path, self._warnings.append)
            frame = next(decoded, None)
            if frame is None:
                raise InputError(f"{self._name}: no frame came through the pipe.")
            self._info = replace(
                describe_stream(self, track, frame), frame_count=track.stream.frames or None, opaque=is_opaque(frame)
            )
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
        """None for a pipe."""
        return ()

    @property
    def clock(self) -> SourceClock:
        """As it comes: what jumps behind the first frame is not known beforehand."""
        return STEADY

    def side_streams(self) -> AbstractContextManager[None]:
        """None: a pipe is read once."""
        return nullcontext()

    @property
    def _name(self) -> str:
        return "Standard input" if self.path == STANDARD_INPUT else str(self.path)

    def _demuxer_options(self) -> dict[str, str]:
        raw = self._options.raw
        if raw is None:
            return {}
        if native_layout(raw.pix_fmt) is None:
            raise InputError(f"unsupported pixel format of raw samples: {raw.pix_fmt!r}.", hint="raw")
        rate = self._options.rate or DEFAULT_RATE
        return {"video_size": f"{raw.width}x{raw.height}", "pixel_format": raw.pix_fmt, "framerate": str(rate)}


def _plausible_rate(info: VideoInfo, frames: list[VideoFrame]) -> Fraction | None:
    """The frame rate of the first frames where the container's is far off, as that of short Matroska files often is."""
    times = sorted(frame.pts for frame in frames if frame.pts is not None)
    if len(times) < 4 or times[-1] == times[0]:
        return info.average_rate
    seen = (len(times) - 1) / ((times[-1] - times[0]) * info.time_base)
    if info.average_rate is not None and info.average_rate < 4 * seen:
        return info.average_rate
    return plain_rate(seen)


def check_memory(path: Path, width: int, height: int) -> None:
    """Raises InputError where there is not even memory for a few of a source's frames."""
    needed, free = width * height * _BYTES_A_PIXEL, available_memory()
    if needed > free:
        raise InputError(
            f"{path}: pictures of {width}×{height} need {needed / 1e9:.1f} GB of memory to be looked at, "
            f"and {free / 1e9:.1f} GB are free."
        )


def _probed_frames(frame: VideoFrame) -> int:
    """How many frames are looked at for interlacing: of large ones fewer, as they are all in memory at once."""
    return max(1, min(_PROBED_FRAMES, _MAX_PIXELS // (frame.width * frame.height)))


def _luma(frame: VideoFrame) -> Tensor:
    """(H, W) in [0, 1] of the middle of the frame's first plane; of packed formats a mixture of the channels."""
    layout = nearest_layout(frame.format.name)
    plane = to_planes(frame, layout)[0]
    top, left = (max(0, side - most) // 4 * 2 for side, most in zip(plane.shape, _MAX_SIZE, strict=True))
    middle = plane[top : top + _MAX_SIZE[0], left : left + _MAX_SIZE[1]]
    return middle.to(torch.float32) / (layout.peak << layout.shift)


def _ignore(message: str) -> None:
    """Damage is reported when the file is read again."""


def _closing(container: InputContainer) -> Iterator[VideoFrame]:
    """No frames; closes the container after the last one."""
    container.close()
    yield from ()
