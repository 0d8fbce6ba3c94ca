"""What is in a file, before anything is done to it."""

import os
import re
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edvr_cli.errors import InputError
from edvr_cli.video.color import ColorSpec, resolve
from edvr_cli.video.container import is_cover, main_video, open_source, reason
from edvr_cli.video.hdr import HdrMetadata, hdr_metadata, side_data
from edvr_cli.video.layout import PixelLayout, nearest_layout

StreamKind = Literal["video", "audio", "subtitle", "data", "attachment", "unknown"]

# Packets looked at for a first decodable frame; a broken start is common in captures, a broken minute is not.
_PROBE_PACKETS = 1000
_CHROMA_LOCATION = re.compile(r", (left|center|topleft|top|bottomleft|bottom)\)")


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
    """A source file: its video stream as it decodes, and a line for each other stream.

    Attributes:
        width, height: pixels of a decoded frame, cropping honored.
        pix_fmt: as decoded; ``layout`` is the native layout that the reader hands out.
        time_base: seconds a tick; average_rate: frames a second, None where unknown.
        start_time: seconds on the file's clock at which it begins; ``--start`` counts from here.
        frame_count: what the file claims, or duration times rate; an estimate, None where unknown.
        rotation: degrees counter-clockwise to turn a frame for display; ``display_matrix`` also mirrors.
    """

    path: Path
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
    streams: tuple[StreamInfo, ...] = ()
    chapters: int = 0
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Bits a sample."""
        return self.layout.depth

    @property
    def display_size(self) -> tuple[int, int]:
        """(width, height) in square pixels as a player shows it, aspect ratio and rotation applied."""
        width, height = round(self.width * self.sample_aspect_ratio), self.height
        return (height, width) if self.rotation % 180 else (width, height)

    def of_kind(self, kind: StreamKind) -> tuple[StreamInfo, ...]:
        """The other streams of one kind, cover art left out."""
        return tuple(stream for stream in self.streams if stream.kind == kind and not stream.cover)


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Describe a video file; decodes one frame, so that what is described can be decoded.

    Raises InputError for a file that is missing, not media, without video, encrypted, or undecodable.
    """
    with open_source(path) as container:
        stream = main_video(container, path)
        chroma_location = _chroma_location(container, stream)
        others = tuple(_describe(other) for other in container.streams if other.index != stream.index)
        start = Fraction(container.start_time or 0, av.time_base)
        duration = _duration(container, stream)
        rate = _positive(stream.average_rate) or _positive(stream.guessed_rate)
        frame = _first_frame(container, stream, path)
        layout = nearest_layout(frame.format.name)
        matrix = _display_matrix(frame)
        return VideoInfo(
            path=Path(path),
            container=container.format.name,
            stream_index=stream.index,
            codec=stream.codec_context.name,
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.format.name,
            layout=layout,
            color=resolve(
                nearest_layout(frame.format.name),
                frame.width,
                frame.height,
                matrix=frame.colorspace,
                color_range=frame.color_range,
                primaries=frame.color_primaries,
                transfer=frame.color_trc,
                chroma_location=chroma_location,
            ),
            time_base=Fraction(stream.time_base or Fraction(1, 1000)),
            average_rate=rate,
            start_time=start,
            duration=duration,
            frame_count=stream.frames or (round(duration * rate) if duration and rate else None),
            sample_aspect_ratio=_positive(stream.sample_aspect_ratio) or Fraction(1),
            rotation=frame.rotation % 360,
            display_matrix=matrix,
            interlaced=frame.interlaced_frame,
            hdr=hdr_metadata(frame),
            streams=others,
            chapters=len(container.chapters()),
            metadata=dict(container.metadata),
        )


def _first_frame(container: InputContainer, stream: VideoStream, path: str | os.PathLike[str]) -> VideoFrame:
    if stream.codec_context is None:
        raise InputError(f"{path}: this FFmpeg has no decoder for its video.")
    failure: Exception | None = None
    seen = 0
    for packet in container.demux(stream):
        seen += packet.size > 0
        if packet.has_sidedata("encryption_info"):
            raise InputError(f"{path} is encrypted (DRM); a decrypted copy is needed.")
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            failure, frames = error, []
        if frames:
            return frames[0]
        if seen > _PROBE_PACKETS:
            break
    if not seen:
        raise InputError(f"{path} holds no frames: only a header, or its data is missing.")
    detail = f": {reason(failure)}" if failure else ""
    codec = stream.codec_context.name
    raise InputError(f"{path}: none of the first {seen} packets of its {codec} video decodes{detail}.")


def _chroma_location(container: InputContainer, stream: VideoStream) -> str | None:
    """Where chroma samples lie, by libav's own description of the stream: PyAV has no attribute for it."""
    level = av.logging.get_level()
    av.logging.set_libav_level(av.logging.VERBOSE)
    av.logging.set_level(av.logging.VERBOSE)
    try:
        text = container.dumps_format()  # type: ignore[attr-defined]
    finally:
        av.logging.set_level(level)
        av.logging.set_libav_level(av.logging.INFO)
    line = re.search(rf"Stream #0:{stream.index}\b.*", text)
    found = _CHROMA_LOCATION.search(line.group()) if line else None
    return found.group(1) if found else None


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    data = side_data(frame, "DISPLAYMATRIX")
    return None if data is None else struct.unpack_from("9i", data)


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _positive(value: Fraction | None) -> Fraction | None:
    return Fraction(value) if value else None


def _describe(stream: Stream) -> StreamInfo:
    context = stream.codec_context
    codec = context.codec.canonical_name if context is not None else getattr(stream, "name", None)
    flags = tuple(flag.name for flag in Disposition if flag.name and stream.disposition & flag)
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=codec or "unknown",
        language=stream.metadata.get("language"),
        title=stream.metadata.get("title"),
        dispositions=flags,
        cover=is_cover(stream),
        sample_rate=context.sample_rate if isinstance(context, AudioCodecContext) else None,
        channels=context.channels if isinstance(context, AudioCodecContext) else None,
    )
