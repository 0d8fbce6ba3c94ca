"""Encoded video in a scratch file, which `mux` then joins with the source's other streams.

The encoder is given frame numbers for times and a constant rate, so that no encoder's idea of time bases can
move a frame; the file is given the true times. It is a Matroska file whose milliseconds stand for ticks of
the source's time base, counted from the first frame: it holds any codec and any tick exactly, and nothing but
`mux` reads it.
"""

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.stream import VideoStream
from torch import Tensor

from edvr_cli.errors import OutputError
from edvr_cli.video.containers import reason
from edvr_cli.video.pixels.layout import PixelLayout
from edvr_cli.video.writing.encoders import EncoderPlan
from edvr_cli.video.writing.hdr_messages import HdrMessages, is_byte_stream
from edvr_cli.video.writing.output_formats import PICTURES

SUFFIX = ".edvr.mkv"
_WITHOUT_CONTAINER = frozenset({"libwebp"})
_TICK = Fraction(1, 1000)  # The only time base that Matroska files have here.


@dataclass(frozen=True)
class EncodedVideo:
    """A finished file of encoded frames, and what it cannot say itself.

    ``first_pts`` is the time of its first frame and ``last_duration`` the duration of its last, both in ticks
    of ``time_base``.
    """

    path: Path
    time_base: Fraction
    frame_count: int
    first_pts: int
    last_duration: int


class VideoWriter:
    """Encodes frames to a new file; a context manager. Call `finish` for the result, inside the block.

    Leaving the block without `finish` closes the file and leaves it unfinished: whoever made its directory
    removes it. Raises OutputError where the file cannot be written or the encoder fails.
    """

    def __init__(self, path: str | os.PathLike[str], plan: EncoderPlan, *, time_base: Fraction) -> None:
        self.path = Path(path)
        self.plan = plan
        self.time_base = time_base
        self._count = 0
        self._first_pts = 0
        self._last: tuple[int, int | None, int] = (0, None, 1)
        self._times: dict[int, int] = {}
        self._decode_times: deque[int] = deque()
        self._container: OutputContainer | None = None
        try:
            # Matroska has no place for encoded pictures; mov has, and is set to count in the same ticks.
            pictures = plan.codec in PICTURES
            name, options = ("mov", {"video_track_timescale": "1000"}) if pictures else ("matroska", {})
            self._container = av.open(f"file:{self.path}", "w", format=name, container_options=options)
            # It has none for WebP, whose packets are kept as those of another kind: nothing looks into them.
            homeless = plan.codec in _WITHOUT_CONTAINER
            stream = self._container.add_stream("png" if homeless else plan.codec, plan.rate)
            assert isinstance(stream, VideoStream)
            if homeless:
                stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, "rgb24"
                self._encoder: VideoStream | VideoCodecContext = plan.open()
            else:
                plan.configure(stream.codec_context)
                self._encoder = stream
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"{self.path} cannot be written: {reason(error)}.") from error
        self._stream = stream
        self._messages: HdrMessages | None = None
        headers = stream.codec_context.extradata or b""
        if plan.hdr and plan.codec_id == "hevc" and is_byte_stream(headers):
            self._messages = HdrMessages(plan.hdr)
            self._messages.found_in(headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def write(self, planes: Sequence[Tensor], pts: int, duration: int | None = None) -> None:
        """Encode one frame: planes of ``plan.layout`` on the CPU, its time and duration in ticks.

        Times must rise from frame to frame.
        """
        if self._count == 0:
            self._first_pts = pts
        elif pts <= self._last[0]:
            raise ValueError(f"frame times must rise: {pts} after {self._last[0]}")
        frame = _frame(planes, self.plan)
        frame.pts, frame.time_base, frame.duration = self._count, 1 / self.plan.rate, 1
        step = pts - self._last[0] if self._count else 1
        self._times[self._count] = pts
        self._decode_times.append(pts - self._first_pts)
        self._last = (pts, duration, step)
        self._count += 1
        self._encode(frame)

    def finish(self) -> EncodedVideo:
        """Encode what is still buffered, close the file, and describe it."""
        if self._count == 0:
            raise ValueError("finish() before the first frame")
        self._encode(None)
        self._close()
        if self._times:
            raise OutputError(f"{self.plan.codec} returned {len(self._times)} frames too few.")
        _, duration, step = self._last
        if duration is None:
            duration = step if self._count > 1 else max(1, round(1 / (self.plan.rate * self.time_base)))
        return EncodedVideo(self.path, self.time_base, self._count, self._first_pts, duration)

    def _encode(self, frame: VideoFrame | None) -> None:
        assert self._container is not None
        try:
            for packet in self._encoder.encode(frame):
                packet.stream = self._stream
                self._time(packet)
                self._container.mux_one(packet if self._messages is None else self._messages.added_to(packet))
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"{self.path}: writing {self.plan.codec} video failed: {reason(error)}.") from error

    def _time(self, packet: Packet) -> None:
        """Replace frame numbers by ticks since the first frame."""
        if packet.pts is None or packet.pts not in self._times:
            raise OutputError(f"{self.plan.codec} returned a frame with a time it was not given.")
        packet.pts = self._times.pop(packet.pts) - self._first_pts
        # Decoding times run through the frames' times in order, a few packets late where frames are reordered.
        early = packet.dts is not None and packet.dts < 0
        packet.dts = packet.dts if early else self._decode_times.popleft()
        packet.duration = 0
        packet.time_base = _TICK

    def _close(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (av.FFmpegError, OSError) as error:
                raise OutputError(f"{self.path} could not be finished: {reason(error)}.") from error


def _frame(planes: Sequence[Tensor], plan: EncoderPlan) -> VideoFrame:
    frame = VideoFrame(plan.width, plan.height, plan.layout.name)
    shapes = plan.layout.plane_shapes(plan.height, plan.width)
    got = [tuple(plane.shape) for plane in planes]
    if got != shapes:
        raise ValueError(f"planes must be {shapes} for {plan.layout.name} {plan.width}x{plan.height}, got {got}")
    for target, source in zip(frame.planes, planes, strict=True):
        _fill(target, source, plan.layout)
    color = plan.color
    frame.colorspace, frame.color_range = color.matrix, 2 if color.full_range else 1
    frame.color_primaries, frame.color_trc = color.primaries, color.transfer
    return frame


def _fill(target: VideoPlane, source: Tensor, layout: PixelLayout) -> None:
    samples = source.numpy()
    rows, columns = samples.shape
    buffer: np.ndarray = np.frombuffer(target, layout.stored_dtype)  # type: ignore[call-overload]
    stride = target.line_size // samples.itemsize
    buffer[: rows * stride].reshape(rows, stride)[:, :columns] = samples
