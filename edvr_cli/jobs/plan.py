"""What of a job's settings decides its frames, and how many of these there will be."""

from fractions import Fraction
from typing import Any

from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["encoder_settings", "seconds", "total_frames"]


def encoder_settings(encoder: EncoderPlan) -> dict[str, Any]:
    """The encoder's values by their names in messages."""
    return {
        "output size": f"{encoder.width}×{encoder.height}",
        "codec": encoder.codec,
        "pixel format": encoder.layout.name,
        "frame rate": str(encoder.rate),
        "color": str(encoder.color),
        **{f"encoder option {name}": value for name, value in encoder.options.items()},
    }


def seconds(time: Fraction | None) -> str | None:
    """A time as a manifest keeps it."""
    return None if time is None else f"{time} s"


def total_frames(info: VideoInfo, start: Fraction | None, end: Fraction | None, max_frames: int | None) -> int | None:
    """How many frames will be restored, as far as the source tells."""
    total = info.frame_count
    if total is not None and (start is not None or end is not None):
        if info.average_rate is None or info.duration is None:
            return max_frames
        seconds = min(float(end), info.duration) if end is not None else info.duration
        total = max(0, round((seconds - float(start or 0)) * float(info.average_rate)))
    if max_frames is None:
        return total
    return max_frames if total is None else min(total, max_frames)
