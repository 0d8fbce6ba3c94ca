"""What of a job's settings decides its frames, and how many of these there will be."""

from fractions import Fraction
from typing import Any

from edvr_cli.jobs.source_range import Excerpt
from edvr_cli.video.reading.completeness import ends_early
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["encoder_settings", "promised_frames", "seconds", "total_frames"]


_ALMOST = 0.97  # of a file's bytes: what is missing may be its index alone
_FEW_FRAMES = 3  # as many as an estimate may be wrong


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


def promised_frames(source: Excerpt, count: int) -> int | None:
    """How many frames a source promises that breaks off after ``count`` of them; None where it does not."""
    if source.end is not None or source.max_frames is not None:
        return None
    info = source.info
    total = total_frames(info, source.start, None, None)
    if info.share < 1 and (total is None or count >= total):
        # Some headers give no count, or libav one of what is there.
        return max(count + 1, round(count / info.share)) if info.share < _ALMOST else None
    if total is None or count >= total:
        return None
    few = total - count > max(_FEW_FRAMES, float(info.average_rate or 0) / 2)
    return total if info.share < 1 or (few and ends_early(info)) else None
