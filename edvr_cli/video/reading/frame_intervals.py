"""Constant or variable frame rate, by the times of packets; nothing is decoded."""

from dataclasses import dataclass
from fractions import Fraction

import av

from edvr_cli.video.containers import main_video
from edvr_cli.video.pyav import time_base
from edvr_cli.video.reading.info import VideoInfo

__all__ = ["FrameIntervals", "measure_intervals"]

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
