"""What is in a source, as far as a container, its video stream and a decoded frame tell."""

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edvr_cli.video.containers import is_cover, readable
from edvr_cli.video.pixels.color import LINEAR, UNSPECIFIED, ColorSpec, resolve
from edvr_cli.video.pixels.hdr import HdrMetadata, hdr_metadata, side_data, unkept_metadata
from edvr_cli.video.pixels.layout import PixelLayout, nearest_layout
from edvr_cli.video.pyav import fraction, time_base
from edvr_cli.video.reading.alpha_decoder import VideoTrack, has_alpha_beside
from edvr_cli.video.reading.source_clock import SourceClock
from edvr_cli.video.reading.stream_text import stream_text

StreamKind = Literal["video", "audio", "subtitle", "data", "attachment", "unknown"]

# Pictures that hold light as it was measured, and do not always say so.
_LINEAR_CODECS = ("exr", "hdr", "pfm", "phm")
_CHROMA_LOCATION = re.compile(r", (left|center|topleft|top|bottomleft|bottom)\)")


class Source(Protocol):
    """Frames of one video, and the streams beside it: a file, numbered pictures, or a pipe."""

    @property
    def path(self) -> Path:
        """What messages call it."""

    @property
    def rereadable(self) -> bool:
        """Whether it can be read more than once, and from the middle."""

    def describe(self) -> "VideoInfo":
        """What is in it; decodes one frame. Raises InputError where there is none."""

    def frames(
        self, *, instant: Fraction | None, threads: int, on_warning: Callable[[str], None]
    ) -> Iterator[VideoFrame]:
        """Decoded frames in display order, from the start or from a little before ``instant`` (seconds)."""

    @property
    def clock(self) -> SourceClock:
        """Its clock, mended where it jumps."""

    def files(self) -> tuple[Path, ...]:
        """The files it is made of, by which it can be recognized; none for a pipe."""

    def side_streams(self) -> AbstractContextManager[InputContainer | None]:
        """The container with the other streams, to be closed; None where there are none to be had."""


@dataclass(frozen=True)
class StreamInfo:
    """One stream beside the video: its number in the file, kind, codec, and what it says of itself."""

    index: int
    kind: StreamKind
    codec: str
    language: str | None = None
    title: str | None = None
    dispositions: tuple[str, ...] = ()
    cover: bool = False
    sample_rate: int | None = None
    channels: int | None = None


@dataclass(frozen=True)
class VideoInfo:
    """A source: its video as it decodes, and a line for each other stream.

    Attributes:
        width, height: pixels of a decoded frame, cropping honored.
        pix_fmt: as decoded; ``layout`` is the native layout that the reader hands out.
        time_base: seconds a tick; average_rate: frames a second, None where unknown.
        start_time: seconds on the file's clock at which it begins; ``--start`` counts from here.
        frame_count: what the file claims, or duration times rate; an estimate, None where unknown.
        unkept: what the pictures carry and no encoder here can write, such as "Dolby Vision".
        tags: of the frame that ``color`` is the color of, as `tags_of` gives them.
        opaque: whether the frames that were looked at have no transparency, or have it nowhere.
        share: how much of the bytes that the file promises is there.
        notes: sentences on what is assumed about the source, for the user.
        metadata: tags, bytes that are not UTF-8 kept as surrogates: see ``readable_metadata``.
        rotation: degrees counter-clockwise to turn a frame for display; ``display_matrix`` also mirrors.
    """

    source: Source
    container: str
    stream_index: int
    codec: str
    width: int
    height: int
    pix_fmt: str
    layout: PixelLayout
    color: ColorSpec
    time_base: Fraction
    average_rate: Fraction | None
    start_time: Fraction
    duration: float | None
    frame_count: int | None
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation: int = 0
    display_matrix: tuple[int, ...] | None = None
    interlaced: bool = False
    hdr: HdrMetadata = field(default_factory=HdrMetadata)
    unkept: tuple[str, ...] = ()
    streams: tuple[StreamInfo, ...] = ()
    chapters: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tags: tuple[str, int, int, int, int] | None = None
    opaque: bool = False
    share: float = 1.0

    @property
    def path(self) -> Path:
        """What messages call the source."""
        return self.source.path

    @property
    def depth(self) -> int:
        """Bits a sample."""
        return self.layout.depth

    @property
    def display_size(self) -> tuple[int, int]:
        """(width, height) in square pixels as a player shows it, aspect ratio and rotation applied."""
        width, height = round(self.width * self.sample_aspect_ratio), self.height
        return (height, width) if self.rotation % 180 else (width, height)

    @property
    def readable_metadata(self) -> dict[str, str]:
        """The tags as they can be printed."""
        return {readable(key): readable(value) for key, value in self.metadata.items()}

    def measured(self) -> "VideoInfo":
        """The same with the count and the length of a source whose clock jumps, which its container cannot know."""
        clock = self.source.clock
        if not clock.jumps or clock.end is None:
            return self
        count = clock.packets.get(self.stream_index, self.frame_count)
        return replace(self, frame_count=count, duration=float(clock.end - self.start_time))

    def of_kind(self, kind: StreamKind) -> tuple[StreamInfo, ...]:
        """The other streams of one kind, cover art left out."""
        return tuple(stream for stream in self.streams if stream.kind == kind and not stream.cover)


def describe_stream(source: Source, track: VideoTrack, frame: VideoFrame) -> VideoInfo:
    """The video stream of an open container, whose first decoded frame is ``frame``, and all that is beside it."""
    container, stream = track.container, track.stream
    others = tuple(_describe(other) for other in container.streams if other.index != stream.index)
    duration = _duration(container, stream)
    rate = fraction(stream.average_rate) or fraction(stream.guessed_rate)
    matrix = _display_matrix(frame)
    text = stream_text(container, stream)
    found = _CHROMA_LOCATION.search(text)
    return VideoInfo(
        source=source,
        container=container.format.name,
        stream_index=stream.index,
        codec=stream.codec_context.name,
        width=frame.width,
        height=frame.height,
        pix_fmt=frame.format.name,
        layout=nearest_layout(frame.format.name),
        color=_color_of_first(frame, stream.codec_context.name, found.group(1) if found else None),
        tags=tags_of(frame),
        time_base=fraction(stream.time_base) or Fraction(1, 1000),
        average_rate=rate,
        start_time=Fraction(container.start_time or 0, av.time_base),
        duration=duration,
        frame_count=stream.frames or (round(duration * rate) if duration and rate else None),
        sample_aspect_ratio=fraction(stream.sample_aspect_ratio)
        or fraction(stream.codec_context.sample_aspect_ratio)
        or Fraction(1),
        rotation=frame.rotation % 360,
        display_matrix=matrix,
        interlaced=frame.interlaced_frame,
        hdr=hdr_metadata(frame),
        unkept=unkept_metadata(frame, text) + _hidden_alpha(stream, frame),
        streams=others,
        chapters=len(container.chapters()),
        metadata=dict(container.metadata),
    )


def _hidden_alpha(stream: VideoStream, frame: VideoFrame) -> tuple[str, ...]:
    """Transparency beside VP8 or VP9 pictures, where this FFmpeg has no decoder that looks there."""
    if not has_alpha_beside(stream) or nearest_layout(frame.format.name).alpha:
        return ()
    return ("Transparency beside the VP8 or VP9 picture",)


def tags_of(frame: VideoFrame) -> tuple[str, int, int, int, int]:
    """What of a frame decides what its samples mean."""
    return (
        frame.format.name,
        int(frame.colorspace),
        int(frame.color_range),
        int(frame.color_primaries),
        int(frame.color_trc),
    )


def layout_in(info: VideoInfo, frame: VideoFrame) -> PixelLayout:
    """The layout that one of a source's frames is handed out in: the source's where that loses nothing."""
    layout = nearest_layout(frame.format.name)
    known = info.layout
    alike = (layout.family, layout.depth, layout.floating, layout.alpha) == (
        known.family,
        known.depth,
        known.floating,
        known.alpha,
    )
    return known if alike and (layout.shift_x, layout.shift_y) == (known.shift_x, known.shift_y) else layout


def color_in(info: VideoInfo, frame: VideoFrame) -> ColorSpec:
    """What the samples of one of a source's frames mean; what it does not say holds as before."""
    tags = tags_of(frame)
    same_size = (frame.width, frame.height) == (info.width, info.height)
    if info.tags is None or (tags == info.tags and same_size):
        return info.color
    name, matrix, color_range, primaries, transfer = tags
    layout = nearest_layout(name)
    if layout.family == info.layout.family:
        _, *before = info.tags
        pairs = zip((matrix, color_range, primaries, transfer), before, (2, 0, 2, 2), strict=True)
        matrix, color_range, primaries, transfer = (old if new == unset else new for new, old, unset in pairs)
    color = resolve(
        layout,
        frame.width,
        frame.height,
        matrix=matrix,
        color_range=color_range,
        primaries=primaries,
        transfer=transfer,
        chroma_location=info.color.chroma_location,
    )
    return replace(color, transfer=LINEAR) if info.color.transfer == LINEAR and layout.floating else color


def _color_of_first(frame: VideoFrame, codec: str, chroma_location: str | None) -> ColorSpec:
    color = color_of(frame, chroma_location)
    untagged = color.transfer == UNSPECIFIED
    return replace(color, transfer=LINEAR) if codec in _LINEAR_CODECS and untagged else color


def color_of(frame: VideoFrame, chroma_location: str | None = None) -> ColorSpec:
    """What a frame's samples mean, by its own tags."""
    return resolve(
        nearest_layout(frame.format.name),
        frame.width,
        frame.height,
        matrix=frame.colorspace,
        color_range=frame.color_range,
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
        chroma_location=chroma_location,
    )


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    data = side_data(frame, "DISPLAYMATRIX")
    return None if data is None else struct.unpack_from("9i", data)


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * time_base(stream))
    return container.duration / av.time_base if container.duration else None


def _describe(stream: Stream) -> StreamInfo:
    context = stream.codec_context
    codec = context.codec.canonical_name if context is not None else getattr(stream, "name", None)
    flags = tuple(flag.name for flag in Disposition if flag.name and stream.disposition & flag)
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=codec or "unknown",
        language=readable(stream.metadata.get("language", "")) or None,
        title=readable(stream.metadata.get("title", "")) or None,
        dispositions=flags,
        cover=is_cover(stream),
        sample_rate=context.sample_rate if isinstance(context, AudioCodecContext) else None,
        channels=context.channels if isinstance(context, AudioCodecContext) else None,
    )
