"""Options of the encoder."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CODEC_ALIASES", "DEFAULT_CODEC", "Encoding", "encoder_name", "usual_encoder"]

DEFAULT_CODEC = "libx264"

CODEC_ALIASES = {
    "h264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "avc": "libx264",
    "x264": "libx264",
    "x265": "libx265",
    "svtav1": "libsvtav1",
    "prores": "prores_ks",
}
"""Names of formats and libraries, and the encoder that each means."""


@dataclass(frozen=True)
class Encoding:
    """How the output is encoded; None: the default of the encoder, and the encoder that suits the target.

    Attributes:
        codec: FFmpeg's name of the encoder, or one of `CODEC_ALIASES`.
        crf: quality on the encoder's scale, lower is better; by default x264 17, x265 19, SVT-AV1 and VP9 24,
            NVENC 19, 21 and 26.
        preset: a preset of x264 for every encoder, or one of the encoder's.
        pix_fmt: FFmpeg's name of the pixel format; None: as deep as the source.
        options: further options by FFmpeg's names; ``qp`` or a bit rate ``b`` replaces the default crf.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def encoder_name(codec: str) -> str:
    """FFmpeg's name of the encoder that ``codec`` means: ``h264`` is ``libx264``, with its default quality."""
    return CODEC_ALIASES.get(codec.lower(), codec)


def usual_encoder(format_name: str) -> str:
    """The encoder for files of libav's format of that name, where none is chosen."""
    return "libvpx-vp9" if format_name == "webm" else DEFAULT_CODEC
