"""The video stream of an open container together with what decodes it.

That is FFmpeg's own decoder, except for VP8 and VP9 in WebM with transparency: it is stored next to the pictures, where
only libvpx's decoders look.
"""

import os
from dataclasses import dataclass

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edvr_cli.errors import InputError
from edvr_cli.video.containers import main_video
from edvr_cli.video.reading.cropping import Cropper, container_cropper

__all__ = ["VideoTrack", "has_alpha_beside", "video_track"]

_DECODERS_OF_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_BT601 = 5


@dataclass(frozen=True)
class VideoTrack:
    """A video stream, its decoder, and what cuts off the borders that its container names."""

    container: InputContainer
    stream: VideoStream
    decoder: VideoCodecContext
    cropper: Cropper | None = None

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        """The frames that come out with a packet, or at the end (None). Raises av.FFmpegError for damage."""
        frames = self.decoder.decode(packet)
        if self.decoder.name == "libvpx":
            for frame in frames:
                frame.colorspace = _BT601  # The only matrix of VP8, which FFmpeg's decoder reports and this does not.
        return frames if self.cropper is None else [self.cropper.cut(frame) for frame in frames]


def video_track(container: InputContainer, path: str | os.PathLike[str], *, threads: int | None = None) -> VideoTrack:
    """The main video of ``container``, ready to be decoded once; ``threads`` is libav's count, 0 for one per core.

    Raises InputError for a file without video, or with a kind of it that is not decoded here.
    """
    stream = main_video(container, path)
    if stream.codec_context is None:
        raise InputError(f"{path}: this FFmpeg has no decoder for its video.")
    decoder = stream.codec_context
    if has_alpha_beside(stream):
        name = _DECODERS_OF_ALPHA[decoder.codec.canonical_name]
        if name in av.codecs_available:
            other = av.CodecContext.create(name, "r")
            assert isinstance(other, VideoCodecContext)
            decoder = other
    if threads is not None:
        decoder.thread_count = threads
    # Else libavcodec leaves borders on the left in place whose size is not a multiple of its alignment.
    decoder.flags |= Flags.unaligned
    return VideoTrack(container, stream, decoder, container_cropper(container, stream))


def has_alpha_beside(stream: VideoStream) -> bool:
    """Whether a stream has its transparency next to its pictures."""
    said = stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) == "1"
    return said and stream.codec_context.codec.canonical_name in _DECODERS_OF_ALPHA
