"""Constant or variable frame rate, and the time of the last frame, by the times of packets; nothing is decoded."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import av

from edvr_cli.video.containers import main_video
from edvr_cli.video.pyav import time_base
from edvr_cli.video.reading.info import VideoInfo

__all__ = ["FrameIntervals", "last_frame_time", "measure_intervals"]

_MAX_PACKETS = 5000  # Three minutes of film: enough to know, and soon read.


@dataclass(frozen=True)
class FrameIntervals:
    """How ``frames`` frames from the beginning follow each other; ``all_frames`` where these are all.

    ``shortest`` and ``longest`` are seconds from one frame to the next.
    """

    frames: int
    all_frames: bool
    shortest: Fraction
    longest: Fraction

    @property
    def variable(self) -> bool:
        """Whether steps differ by more than rounding to milliseconds or ticks makes them."""
        return self.longest - self.shortest > Fraction(21, 10000)


def measure_intervals(info: VideoInfo) -> FrameIntervals | None:
    """Read the times of a file's first frames; None where there are fewer than two, and for pictures and pipes."""
    times: list[Fraction] = []
    ended = True
    with info.source.side_streams() as container:
        if container is None:
            return None
        stream = main_video(container, info.path)
        try:
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None and not packet.is_discard:
                    times.append(packet.pts * time_base(packet))
                if len(times) >= _MAX_PACKETS:
                    ended = False
                    break
        except av.FFmpegError:  # Cut short; what is there tells enough.
            ended = False
    if len(times) < 2:
        return None
    times.sort()
    # Those at the end may still wait for frames that are shown before them.
    steps = [after - before for before, after in zip(times, times[1:] if ended else times[1:-16], strict=False)]
    steps = [step for step in steps if step]
    return FrameIntervals(len(times), ended, min(steps), max(steps)) if steps else None


def last_frame_time(info: VideoInfo) -> Fraction | None:
    """When the last frame is shown, in seconds from the beginning; None for pictures, pipes, and where it is unknown.

    A file's duration is that of its longest stream.
    """
    clock = info.source.clock
    for seeks in (True, False) if not clock.jumps else (False,):
        with info.source.side_streams() as container:
            if container is None:
                return None
            stream = main_video(container, info.path)
            unit = time_base(stream)
            if seeks and info.duration is not None:
                with suppress(av.FFmpegError):  # No index: what follows reads all.
                    end = info.start_time + Fraction(info.duration)
                    container.seek(int(end / unit), stream=stream)
            last: int | None = None
            with suppress(av.FFmpegError):  # Where the file breaks off.
                for packet in clock.demux(container, [stream]):
                    if packet.size and packet.pts is not None and not packet.is_discard:
                        last = packet.pts if last is None else max(last, packet.pts)
            if last is not None:
                return last * unit - info.start_time
    return None
