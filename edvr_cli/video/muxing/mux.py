"""Join the restored video with the source's other streams, which are copied.

Times stay the source's. Where the video is a cut of the source, the cut begins at time 0 and the other streams
are cut at the same instants and moved by the same amount. A video that begins before time 0, which players
would not show from its beginning, is moved to 0 with all that belongs to it.
"""

import math
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from heapq import merge
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Discard, Stream
from av.video.stream import VideoStream

from edvr_cli.errors import InputError, OutputError
from edvr_cli.video.containers import reason
from edvr_cli.video.muxing.image_files import write_images
from edvr_cli.video.muxing.plan import MuxPlan, StreamPlan
from edvr_cli.video.muxing.side_packets import Route, audio_spans, side_packets
from edvr_cli.video.muxing.stream_copy import StreamCopier
from edvr_cli.video.muxing.subtitles import SubtitleConverter
from edvr_cli.video.muxing.tags import advanced_timecode, kept_metadata
from edvr_cli.video.muxing.timeline import Timeline, VideoClock
from edvr_cli.video.muxing.trim import TrimRange, trimmer_for
from edvr_cli.video.pyav import TAGS_AS_BYTES, fraction
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.writer import EncodedVideo

_MAX_TIMESCALE = (1 << 31) - 1
_REPORT_EVERY = 256


def mux(
    video: EncodedVideo | Sequence[EncodedVideo],
    info: VideoInfo,
    plan: MuxPlan,
    target: str | os.PathLike[str],
    *,
    trim_start: bool = False,
    trim_end: bool = False,
    on_frames: Callable[[int], None] | None = None,
) -> Timeline:
    """Write ``target``: the encoded video (segments in order) and the source's streams according to ``plan``.

    ``trim_start`` and ``trim_end`` say that the video leaves out the source's beginning or end, so that the other
    streams must too. ``on_frames`` receives the number of frames written, now and then. Raises OutputError where
    writing fails; ``target`` is then of no use. Returns when its frames and its sound must be.
    """
    segments = [video] if isinstance(video, EncodedVideo) else list(video)
    clock = VideoClock(segments)
    if plan.images is not None:
        write_images(segments, plan.images, Path(target), profiles=plan.profiles)
        return clock.timeline(Fraction(0))
    trim = TrimRange(
        start=clock.begin if trim_start else None,
        end=clock.end if trim_end else None,
        shift=-clock.begin if trim_start or clock.begin < 0 else Fraction(0),
    )
    options = _muxer_options(plan, info, clock.time_base)
    try:
        with (
            info.source.side_streams() as source,
            av.open(f"file:{segments[0].path}") as encoded,
            av.open(
                f"file:{Path(target)}", "w", format=plan.format, container_options=options, **TAGS_AS_BYTES
            ) as output,
        ):
            copier = StreamCopier(output, plan.format)
            video_stream, routes = _add_streams(copier, source, encoded.streams.video[0], info, plan, clock, trim)
            _set_timecode(video_stream, info, clock if trim_start else None)
            output.metadata.update(kept_metadata(info.metadata))
            if source is not None:
                output.set_chapters(_chapters(source, trim))
            output.start_encoding()
            pictures = clock.packets(video_stream, trim.shift)
            others = side_packets(source, routes, trim, info.source.clock) if source is not None else iter(())
            written = 0
            for _, _, packet in merge(pictures, others, key=lambda timed: timed[:2]):
                is_frame = packet.stream is video_stream
                output.mux_one(packet)
                written += is_frame
                if on_frames is not None and is_frame and written % _REPORT_EVERY == 0:
                    on_frames(written)
            spans = audio_spans(routes)  # The streams are gone with the container.
            output.close()  # Writes the index, which may fail as any writing may.
            copier.finish(Path(target))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise OutputError(f"{target}: joining the video with its other streams failed: {reason(error)}.") from error
    return clock.timeline(trim.shift, spans)


def _muxer_options(plan: MuxPlan, info: VideoInfo, tick: Fraction) -> dict[str, str]:
    """Time scales in which an mp4's times, those of its edit list included, come out exactly."""
    if plan.format not in ("mp4", "mov"):
        # AAC from mp4 begins a little before 0, with samples that no one hears. The muxer would move everything
        # behind 0; its blocks can be that early as they are.
        return {"avoid_negative_ts": "disabled"}
    scale = tick.denominator
    options = {
        "video_track_timescale": str(scale),
        "movflags": "faststart+use_metadata_tags" if plan.any_tag else "faststart",
        "strict": "experimental",
        "write_tmcd": "1",
    }
    rates = [stream.sample_rate for stream in info.streams if stream.sample_rate]
    movie_scale = math.lcm(scale, *rates)
    options["movie_timescale"] = str(movie_scale if movie_scale <= _MAX_TIMESCALE else scale)
    return options


def _add_streams(
    copier: StreamCopier,
    source: InputContainer | None,
    encoded: VideoStream,
    info: VideoInfo,
    plan: MuxPlan,
    clock: VideoClock,
    trim: TrimRange,
) -> tuple[Stream, dict[int, Route]]:
    """Give the output its streams in the source's order; returns the video's and the others' routes."""
    if source is None:
        return _add_video(copier.output, None, encoded, info, plan, clock), {}
    plans = {item.stream.index: item for item in plan.streams}
    video_stream: Stream | None = None
    routes: dict[int, Route] = {}
    for stream in source.streams:
        if stream.index == info.stream_index:
            video_stream = _add_video(copier.output, stream, encoded, info, plan, clock)
        elif stream.index in plans and plans[stream.index].action != "drop":
            route = _add_other(copier, stream, plans[stream.index], info, plan, trim)
            if route is not None:
                routes[stream.index] = route
        if stream.index not in routes and stream.type not in ("attachment", "unknown"):
            stream.discard = Discard.all
    if video_stream is None:
        raise InputError(f"{info.path} no longer has a stream {info.stream_index}.")
    return video_stream, routes


def _add_video(
    output: OutputContainer,
    original: Stream | None,
    encoded: VideoStream,
    info: VideoInfo,
    plan: MuxPlan,
    clock: VideoClock,
) -> Stream:
    stream = output.add_stream_from_template(encoded, opaque=True)
    assert isinstance(stream, VideoStream)
    stream.time_base = clock.time_base
    if info.average_rate is not None:
        stream.codec_context.framerate = info.average_rate
    if plan.format in ("mp4", "mov") and encoded.codec_context.codec.canonical_name == "hevc":
        stream.codec_context.codec_tag = "hvc1"  # The tag that Apple's players ask for.
    if encoded.codec_context.codec.canonical_name == "prores":
        stream.codec_context.codec_tag = encoded.codec_context.codec_tag  # Its kind: 422 HQ, 4444, and so on.
    stream.codec_context.sample_aspect_ratio = info.sample_aspect_ratio
    if info.display_matrix is not None:
        stream.set_display_matrix(info.display_matrix)
    if plan.alpha_beside:
        stream.metadata["alpha_mode"] = "1"
    if original is not None:
        stream.metadata.update(kept_metadata(original.metadata))
        stream.disposition = original.disposition
    return stream


def _set_timecode(stream: Stream, info: VideoInfo, trim: VideoClock | None) -> None:
    """Where a video is a cut, its timecode is that of the cut's first frame."""
    timecode = stream.metadata.get("timecode", stream.metadata.get("TIMECODE"))
    if trim is not None and timecode is not None and info.average_rate is not None:
        skipped = round((trim.begin - info.start_time) * info.average_rate)
        stream.metadata["timecode"] = advanced_timecode(timecode, skipped, info.average_rate)


def _add_other(
    copier: StreamCopier, original: Stream, item: StreamPlan, info: VideoInfo, plan: MuxPlan, trim: TrimRange
) -> Route | None:
    if item.stream.cover and plan.format == "matroska":
        kind = "png" if item.stream.codec == "png" else "jpeg"
        name = original.metadata.get("filename", f"cover.{kind.replace('jpeg', 'jpg')}")
        mime = original.metadata.get("mimetype", f"image/{kind}")
        copier.output.add_attachment(name, mime, _picture(info, original.index))
        return None
    converter = SubtitleConverter(original, copier.output, item.codec) if item.action == "convert" else None
    stream = copier.add(original) if converter is None else converter.stream
    stream.metadata.update(kept_metadata(original.metadata))
    stream.disposition = original.disposition
    if original.type == "attachment":
        return None
    trimmer = trimmer_for(original, trim, plan.format)
    # Matroska takes two packets of one time, and its ticks are too coarse for anything else.
    min_step = None if original.type == "subtitle" else 0 if plan.format in ("matroska", "webm") else 1
    return Route(stream, trimmer, min_step, converter)


def _picture(info: VideoInfo, index: int) -> bytes:
    """The one packet of an attached picture."""
    with info.source.side_streams() as container:
        assert container is not None
        return next((bytes(packet) for packet in container.demux(container.streams[index]) if packet.size), b"")


def _chapters(source: InputContainer, trim: TrimRange) -> list:
    """The source's chapters, those of a cut moved and trimmed with it."""
    kept = []
    for chapter in source.chapters():
        unit = fraction(chapter["time_base"]) or Fraction(1)
        begin, end = chapter["start"] * unit, chapter["end"] * unit
        if not trim.holds(begin, end):
            continue
        begin, end = trim.bounded(begin, end)
        shifted = {"start": round((begin + trim.shift) / unit), "end": round((end + trim.shift) / unit)}
        kept.append({**chapter, **shifted})
    return kept
