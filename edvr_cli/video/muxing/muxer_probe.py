"""Trials of what a container takes: its muxer writes a stream's header and first packet to memory."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from edvr_cli.video.containers import reason
from edvr_cli.video.libav_log import log_level
from edvr_cli.video.muxing.stream_copy import StreamCopier
from edvr_cli.video.reading.info import VideoInfo

__all__ = ["first_packets", "holds_video", "why_muxer_refuses"]

# Packets read to find the first one of each stream for the trial.
_TRIAL_PACKETS = 400
# What muxers say where they have no place for a codec, or for such a stream.
_NO_PLACE = re.compile("could not find tag|not currently supported in container|are supported for", re.IGNORECASE)


def holds_video(codec: str, width: int, height: int, format_name: str) -> bool:
    """Whether a container takes video of this codec."""
    with av.open(io.BytesIO(), "w", format=format_name) as trial:
        try:
            trial.add_mux_stream(codec, width=width, height=height)
        except ValueError:
            return False
    return True


def first_packets(source: InputContainer, info: VideoInfo) -> dict[int, Packet]:
    """The first packet of each other stream, of those that begin soon enough."""
    wanted = {stream.index for stream in info.streams if stream.kind != "attachment"}
    found: dict[int, Packet] = {}
    others = [stream for stream in source.streams if stream.index in wanted]
    if not others:
        return found
    try:
        for count, packet in enumerate(source.demux(others)):
            if packet.size:
                found.setdefault(packet.stream_index, packet)
            if len(found) == len(wanted) or count >= _TRIAL_PACKETS:
                break
    except av.FFmpegError:  # The reader reports damage; what was found is enough here.
        pass
    return found


def why_muxer_refuses(template: Stream, packet: Packet | None, format_name: str, *, cover: bool) -> str | None:
    """None where the muxer takes the stream, else its reason, empty where it merely has no place for such a stream."""
    if cover and format_name == "matroska":
        return None  # Written as an attachment.
    if template.type == "attachment" and format_name == "webm":
        return "no attachments"  # Its muxer leaves them out without a word.
    memory = io.BytesIO()
    said: list[tuple[int, str, str]]
    with _log() as said, av.open(memory, "w", format=format_name, container_options=_options(format_name)) as trial:
        try:
            copy = StreamCopier(trial, format_name).add(template)
            copy.disposition = template.disposition
            trial.start_encoding()
            if packet is not None:
                # A copy: muxing moves a packet's times to the target's clock.
                probe_packet = Packet(bytes(packet))
                probe_packet.pts = probe_packet.dts = 0
                probe_packet.is_keyframe = True
                probe_packet.duration = packet.duration
                probe_packet.time_base = packet.time_base
                probe_packet.stream = copy
                trial.mux_one(probe_packet)
            trial.close()
        except av.FFmpegError as error:
            text = _first_sentence(said) or reason(error)
            return "" if _NO_PLACE.search(text) else text
        except ValueError:  # PyAV's answer where the container has no place for the codec at all.
            return ""
    if cover and not _reads_back(memory, template.type):
        return "no cover art"  # Its muxer leaves it out without a word.
    return None


@contextmanager
def _log() -> Iterator[list[tuple[int, str, str]]]:
    """libav's message, which is only in its log."""
    with log_level(av.logging.ERROR), av.logging.Capture() as said:
        yield said


def _first_sentence(said: list[tuple[int, str, str]]) -> str:
    """The muxer's own reason; what follows it is its consequence."""
    texts = [text.strip().rstrip(".") for level, _, text in said if level <= av.logging.ERROR and text.strip()]
    return texts[0][:1].lower() + texts[0][1:] if texts else ""


def _reads_back(memory: io.BytesIO, kind: str) -> bool:
    memory.seek(0)
    try:
        with av.open(memory) as written:
            return any(stream.type == kind for stream in written.streams)
    except av.FFmpegError:
        return False


def _options(format_name: str) -> dict[str, str]:
    return {"strict": "experimental"} if format_name in ("mp4", "mov") else {}
