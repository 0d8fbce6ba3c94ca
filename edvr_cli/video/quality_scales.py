"""Codecs that videos come compressed with, and the scales of their quality; torch is not loaded."""

from typing import Literal, get_args

__all__ = ["CODECS", "WORST_QUALITY", "Codec"]

Codec = Literal["h264", "hevc", "vp9", "mpeg4"]
CODECS: tuple[Codec, ...] = get_args(Codec)
WORST_QUALITY: dict[Codec, int] = {"h264": 51, "hevc": 51, "vp9": 63, "mpeg4": 31}
"""The end of each codec's own scale."""
