"""A short preview clip: 8-bit RGB pictures as H.264 in MP4."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import torch
from torch import Tensor

from edvr_cli.errors import OutputError
from edvr_cli.system.files import replacing_path
from edvr_cli.video.containers import reason
from edvr_cli.video.pixels.color import ColorSpec, rgb_to_planes
from edvr_cli.video.pixels.layout import native_layout

__all__ = ["write_clip"]

_TICK = Fraction(1, 90_000)


def write_clip(path: Path, pictures: Iterable[tuple[Tensor, float]], rate: Fraction) -> int:
    """Write pictures, (3, H, W) uint8 with rising times in seconds, the file whole or not at all; returns their count.

    An odd last row or column is left out: 4:2:0 has none. Raises OutputError where the file cannot be written.
    """
    layout, color = native_layout("yuv420p"), ColorSpec(1, False, primaries=1, transfer=1)
    assert layout is not None
    count, begin = 0, 0.0
    try:
        with (
            replacing_path(path) as partial,
            av.open(f"file:{partial}", "w", format="mp4", options={"movflags": "faststart"}) as output,
        ):
            stream = output.add_stream("libx264", rate, options={"crf": "16", "preset": "medium"})
            for picture, seconds in pictures:
                rgb = picture[:, : picture.shape[1] // 2 * 2, : picture.shape[2] // 2 * 2]
                if count == 0:
                    begin = seconds
                    stream.height, stream.width = rgb.shape[1:]
                    context = stream.codec_context
                    context.pix_fmt, context.time_base = "yuv420p", _TICK
                    context.colorspace = context.color_primaries = context.color_trc = 1
                    context.color_range = 1
                planes = rgb_to_planes(rgb.float() / 255, layout, color)
                samples = torch.cat([plane.flatten() for plane in planes]).view(-1, rgb.shape[2]).numpy()
                frame = av.VideoFrame.from_ndarray(samples, format="yuv420p")
                frame.pts, frame.time_base = round((seconds - begin) / _TICK), _TICK
                output.mux(stream.encode(frame))
                count += 1
            output.mux(stream.encode(None))
    except (av.FFmpegError, OSError) as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}.") from error
    return count
