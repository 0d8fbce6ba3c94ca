"""Fill `VideoInfo` from an open container and its first decoded frame."""

import re
import struct
from fractions import Fraction
from threading import Lock

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edvr_cli.video.containers import is_cover, readable
from edvr_cli.video.pixels.color import ColorSpec, resolve
from edvr_cli.video.pixels.hdr import hdr_metadata, side_data, unkept_metadata
from edvr_cli.video.pixels.layout import nearest_layout
from edvr_cli.video.pyav import fraction, time_base
from edvr_cli.video.reading.alpha_decoder import VideoTrack, has_alpha_beside
from edvr_cli.video.reading.info import Source, StreamInfo, VideoInfo

__all__ = ["color_of", "describe_stream"]

_CHROMA_LOCATION = re.compile(r", (left|center|topleft|top|bottomleft|bottom)\)")
# libav's log level is global: of two threads that raise it, each must restore what it was before both.
_LOG_LEVEL = Lock()


def describe_stream(source: Source, track: VideoTrack, frame: VideoFrame) -> VideoInfo:
    """The video stream of an open container, whose first decoded frame is ``frame``, and the other streams."""
    container, stream = track.container, track.stream
    others = tuple(_describe(other) for other in container.streams if other.index != stream.index)
    duration = _duration(container, stream)
    rate = fraction(stream.average_rate) or fraction(stream.guessed_rate)
    matrix = _display_matrix(frame)
    text = _libavs_own_words(container, stream)
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
        color=color_of(frame, found.group(1) if found else None),
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
    """Transparency next to VP8 or VP9 pictures, where this FFmpeg has no decoder for it."""
    if not has_alpha_beside(stream) or nearest_layout(frame.format.name).alpha:
        return ()
    return ("Transparency next to the VP8 or VP9 picture",)


def color_of(frame: VideoFrame, chroma_location: str | None = None) -> ColorSpec:
    """The color coding of a frame, by its tags."""
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


def _libavs_own_words(container: InputContainer, stream: VideoStream) -> str:
    """libav's description of a stream: PyAV has no attribute for some of its contents."""
    with _LOG_LEVEL:
        level = av.logging.get_level()
        av.logging.set_libav_level(av.logging.VERBOSE)
        av.logging.set_level(av.logging.VERBOSE)
        try:
            text = container.dumps_format()  # type: ignore[attr-defined]
        finally:
            av.logging.set_level(level)
            av.logging.set_libav_level(av.logging.INFO)
    lines = re.search(rf"Stream #0:{stream.index}\b.*?(?=\n  Stream #|\Z)", text, re.DOTALL)
    return lines.group() if lines else ""


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
