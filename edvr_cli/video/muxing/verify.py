"""Verify a finished file: times of all frames and of the audio, and decodable beginnings of segments."""

import os
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from edvr_cli.errors import OutputError
from edvr_cli.video.containers import main_video, open_source, reason
from edvr_cli.video.image_sequences import ENCODERS
from edvr_cli.video.muxing.timeline import AudioSpan, Timeline
from edvr_cli.video.pyav import time_base

# Matroska and WebM keep times to the millisecond.
_TOLERANCE = Fraction(1, 1000)
# Seconds that sound may be elsewhere: packets that overlap are moved apart, and decoders are given a little more than
# is heard, which edit lists take back.
_SOUND_TOLERANCE = Fraction(1, 4)


def verify(path: str | os.PathLike[str], timeline: Timeline) -> None:
    """Compare a file with its timeline. Raises OutputError where a frame is missing or at another time.

    Of pictures, in a folder or single, only the count and that none is empty is looked at: they have no times.
    """
    if Path(path).is_dir() or Path(path).suffix.lower() in ENCODERS:
        files = list(Path(path).iterdir()) if Path(path).is_dir() else [Path(path)]
        count = sum(file.stat().st_size > 0 for file in files)
        if count != len(timeline.ticks):
            raise OutputError(f"{path} holds {count} pictures instead of {len(timeline.ticks)}; they are not kept.")
        return
    times: list[int] = []
    audio_spans: dict[int, AudioSpan] = {}
    with open_source(path) as container:
        stream = main_video(container, path)
        numbers = {sound.index: number for number, sound in enumerate(container.streams.audio)}
        try:
            for packet in container.demux([stream, *container.streams.audio]):
                if not packet.size:
                    continue
                if packet.stream is not stream:
                    _extend(audio_spans, numbers[packet.stream_index], packet)
                    continue
                if len(times) in timeline.beginnings and not _decodes(stream, packet):
                    raise OutputError(f"{path}: frame {len(times)} does not decode; the file is not kept.")
                if packet.pts is None:
                    raise OutputError(f"{path}: frame {len(times)} has no time; the file is not kept.")
                times.append(packet.pts)
            unit = time_base(stream)
        except av.FFmpegError as error:
            raise OutputError(f"{path} cannot be read back: {reason(error)}.") from error
    if len(times) != len(timeline.ticks):
        raise OutputError(f"{path} holds {len(times)} frames instead of {len(timeline.ticks)}; it is not kept.")
    for number, (time, ticks) in enumerate(zip(sorted(times), timeline.ticks, strict=True)):
        expected = ticks * timeline.time_base
        if abs(time * unit - expected) > _TOLERANCE:
            found = f"at {float(time * unit):.4f} s instead of {float(expected):.4f} s"
            raise OutputError(f"{path}: frame {number} is {found}; the file is not kept.")
    for wanted in timeline.audio_spans:
        _check_audio(path, wanted, audio_spans.get(wanted.number))


def _decodes(stream: VideoStream, packet: Packet) -> bool:
    """Whether a packet gives a picture by itself, as the first one of a segment must."""
    context = stream.codec_context
    try:
        frames = [*context.decode(packet), *context.decode(None)]
    except av.FFmpegError:
        frames = []
    context.flush_buffers()
    return bool(frames)


def _extend(audio_spans: dict[int, AudioSpan], number: int, packet: Packet) -> None:
    if packet.pts is None:
        return
    unit = time_base(packet)
    begin, end = packet.pts * unit, (packet.pts + (packet.duration or 0)) * unit
    before = audio_spans.get(number, AudioSpan(number, begin, end))
    audio_spans[number] = AudioSpan(number, min(before.begin, begin), max(before.end, end))


def _check_audio(path: str | os.PathLike[str], wanted: AudioSpan, found: AudioSpan | None) -> None:
    """Whether sound is in step with the frames: it begins and ends when the source's clock says."""
    if found is None:
        raise OutputError(f"{path}: its sound (track {wanted.number + 1}) is missing; the file is not kept.")
    for what, is_at, belongs in (("begins", found.begin, wanted.begin), ("ends", found.end, wanted.end)):
        if abs(is_at - belongs) > _SOUND_TOLERANCE:
            times = f"at {float(is_at):.3f} s instead of {float(belongs):.3f} s"
            raise OutputError(f"{path}: its sound (track {wanted.number + 1}) {what} {times}; the file is not kept.")
