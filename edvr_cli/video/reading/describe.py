"""Fill `VideoInfo` from an open container and its first decoded frame."""

import re
import struct
from dataclasses import replace
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edvr_cli.video.color_profiles import whole_profile
from edvr_cli.video.containers import is_cover, readable
from edvr_cli.video.pixels.color import LINEAR, UNSPECIFIED, ColorSpec, resolve
from edvr_cli.video.pixels.hdr import hdr_metadata, unkept_metadata
from edvr_cli.video.pixels.layout import PixelLayout, nearest_layout
from edvr_cli.video.pixels.side_data import side_data
from edvr_cli.video.pyav import fraction, time_base
from edvr_cli.video.reading.alpha_decoder import VideoTrack, has_alpha_beside
from edvr_cli.video.reading.info import Source, StreamInfo, VideoInfo
from edvr_cli.video.stream_text import stream_text

__all__ = ["color_in", "color_of", "describe_stream", "layout_in", "tags_of"]

_CHROMA_LOCATION = re.compile(r", (left|center|topleft|top|bottomleft|bottom)\)")
# Pictures that hold light as it was measured, and do not always say so.
_LINEAR_CODECS = ("exr", "hdr", "pfm", "phm")


def describe_stream(source: Source, track: VideoTrack, frame: VideoFrame) -> VideoInfo:
    """The video stream of an open container, whose first decoded frame is ``frame``, and the other streams."""
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
        color_profile=whole_profile(side_data(frame, "ICC_PROFILE")),
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
    """The layout of one of a source's frames: that of the source where it loses nothing."""
    layout, known = nearest_layout(frame.format.name), info.layout
    here = (layout.family, layout.depth, layout.floating, layout.alpha, layout.shift_x, layout.shift_y)
    there = (known.family, known.depth, known.floating, known.alpha, known.shift_x, known.shift_y)
    return known if here == there else layout


def color_in(info: VideoInfo, frame: VideoFrame) -> ColorSpec:
    """What the samples of one of a source's frames mean; what the frame does not say holds as before."""
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
