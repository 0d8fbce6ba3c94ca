"""Whether the disk has room for the work: known roughly before it, and said before it."""

import shutil
from pathlib import Path

from edvr_cli.errors import OutputError
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["check_space", "output_bytes", "readable_size", "space_needed"]

# Bits a pixel of codecs at this program's defaults, for film-like pictures; what is not named is taken for lossless.
_BITS_A_PIXEL = {"h264": 0.10, "hevc": 0.07, "av1": 0.06, "vp9": 0.07, "mpeg4": 0.2, "prores": 2.5}
_LOSSLESS = 0.5  # of the samples' bits
_MOST_OTHERS = 250_000  # bytes a second of sound and the like
# Noise takes several times as much and drawings a fraction: below this part of the estimate it is certain not to fit.
_LEAST = 0.2


def space_needed(encoder: EncoderPlan, info: VideoInfo, frames: int) -> int:
    """Bytes, an estimate: ``frames`` in segments, and joined with the source's other streams."""
    return int(_video_size(encoder, frames)) + output_bytes(encoder, info, frames)


def output_bytes(encoder: EncoderPlan, info: VideoInfo, frames: int) -> int:
    """Bytes of the output, an estimate by the encoder's usual needs."""
    others = min(_size(info.path), _MOST_OTHERS * (info.duration or 0.0)) if info.streams else 0
    return int(_video_size(encoder, frames) + others)


def _video_size(encoder: EncoderPlan, frames: int) -> float:
    lossless = encoder.layout.depth * 1.5 * _LOSSLESS
    return encoder.width * encoder.height * frames * _BITS_A_PIXEL.get(encoder.codec_id, lossless) / 8


def _size(path: Path) -> float:
    """Of a file; what comes through a pipe has none."""
    return path.stat().st_size if path.is_file() else float("inf")


def check_space(needed: int, directory: Path) -> str | None:
    """None where ``needed`` bytes fit, a warning where they may not. Raises OutputError where they cannot."""
    free = shutil.disk_usage(directory).free
    if needed <= free:
        return None
    facts = f"about {readable_size(needed)} are needed in {directory} and {readable_size(free)} are free"
    if needed * _LEAST > free:
        raise OutputError(f"The disk is too full: {facts}; free some space, or write elsewhere.")
    return f"The disk may get full: {facts}. The work then stops, and goes on when there is room."


def readable_size(count: int) -> str:
    """Bytes in the unit that suits them."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
