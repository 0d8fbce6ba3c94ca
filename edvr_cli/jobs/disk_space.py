"""Free disk space, compared with an estimate of what the work needs."""

import shutil
from pathlib import Path

from edvr_cli.errors import OutputError
from edvr_cli.system.text import format_bytes
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["check_space", "output_bytes", "space_needed"]

# Bits per pixel of codecs with this program's defaults, for film-like pictures; others are assumed to be lossless.
_BITS_PER_PIXEL = {"h264": 0.10, "hevc": 0.07, "av1": 0.06, "vp9": 0.07, "mpeg4": 0.2, "prores": 2.5}
_LOSSLESS = 0.5  # of the samples' bits
_MAX_OTHERS = 250_000  # bytes per second of audio and other streams
# Noise needs several times the estimate, drawings a fraction: below this share of it nothing fits.
_MIN_SHARE = 0.2


def space_needed(encoder: EncoderPlan, info: VideoInfo, frames: int) -> int:
    """Estimated bytes for ``frames`` in segments, and again joined with the source's other streams."""
    return int(_video_size(encoder, frames)) + output_bytes(encoder, info, frames)


def output_bytes(encoder: EncoderPlan, info: VideoInfo, frames: int) -> int:
    """Estimated bytes of the output."""
    others = min(_size(info.path), _MAX_OTHERS * (info.duration or 0.0)) if info.streams else 0
    return int(_video_size(encoder, frames) + others)


def _video_size(encoder: EncoderPlan, frames: int) -> float:
    lossless = encoder.layout.depth * 1.5 * _LOSSLESS
    return encoder.width * encoder.height * frames * _BITS_PER_PIXEL.get(encoder.codec_id, lossless) / 8


def _size(path: Path) -> float:
    """Bytes of a file; unknown, and so unlimited, for a pipe."""
    return path.stat().st_size if path.is_file() else float("inf")


def check_space(needed: int, directory: Path) -> str | None:
    """A warning where ``needed`` bytes may not fit, else None. Raises OutputError where they cannot fit."""
    free = shutil.disk_usage(directory).free
    if needed <= free:
        return None
    facts = f"about {format_bytes(needed)} are needed in {directory} and {format_bytes(free)} are free"
    if needed * _MIN_SHARE > free:
        raise OutputError(f"The disk is too full: {facts}; free some space, or write elsewhere.")
    return f"The disk may get full: {facts}. If it does, the work stops and can be continued later."
