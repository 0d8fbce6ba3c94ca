"""Encoders and decoders of this FFmpeg; hardware encoders are tried."""

from dataclasses import dataclass
from fractions import Fraction

import av
import imageio_ffmpeg
from av.codec.hwaccel import hwdevices_available
from av.video.codeccontext import VideoCodecContext

from edvr_cli.video.containers import reason
from edvr_cli.video.libav_log import log_level

__all__ = ["FFmpegCapabilities", "encoder_opens", "find_capabilities"]

_SOFTWARE = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks")
_HARDWARE = (
    "h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "av1_qsv", "h264_amf", "hevc_amf",
    "h264_videotoolbox", "hevc_videotoolbox", "h264_vaapi", "hevc_vaapi",
)  # fmt: skip


_HARDWARE_KINDS = ("_nvenc", "_qsv", "_amf", "_videotoolbox", "_vaapi")


@dataclass(frozen=True)
class FFmpegCapabilities:
    """``encoders`` that are built in; ``hardware_encoders`` that are, too: "" for one that opens, else why it does not.

    ``hardware_decoders`` are the interfaces that FFmpeg was built with, whether or not there is a device.
    """

    libraries: dict[str, str]
    encoders: list[str]
    hardware_encoders: dict[str, str]
    hardware_decoders: list[str]
    ffmpeg: str
    vmaf: bool


def find_capabilities() -> FFmpegCapabilities:
    """Find them; opens every hardware encoder once."""
    from edvr_cli.video.vmaf import vmaf_available  # noqa: PLC0415 (it loads torch, which the rest does without)

    return FFmpegCapabilities(
        libraries={name: ".".join(map(str, number)) for name, number in av.library_versions.items()},
        encoders=[name for name in _SOFTWARE if name in av.codecs_available],
        hardware_encoders={name: _try(name) for name in _HARDWARE if name in av.codecs_available},
        hardware_decoders=list(hwdevices_available()),
        ffmpeg=imageio_ffmpeg.get_ffmpeg_version(),
        vmaf=vmaf_available(),
    )


def _try(name: str) -> str:
    try:
        with log_level(av.logging.PANIC):  # the reason is reported below; libav would print it, too
            context = av.CodecContext.create(name, "w")
            assert isinstance(context, VideoCodecContext)  # all of these are
            context.width, context.height, context.pix_fmt = 256, 256, "nv12"
            context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
            context.open()
    except (av.FFmpegError, ValueError) as error:
        return reason(error) or type(error).__name__
    return ""


def encoder_opens(name: str) -> bool:
    """Whether this machine has what the encoder needs; only those of graphics cards need something."""
    return not name.endswith(_HARDWARE_KINDS) or not _try(name)
