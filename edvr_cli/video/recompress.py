"""Compression artifacts: encode a few frames and decode them again, in memory.

Shapes: T frames, H W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch
import torch.nn.functional as F
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext
from torch import Tensor

from edvr_cli.errors import EdvrError
from edvr_cli.image.convert import to_uint8
from edvr_cli.video.pixels.color import ColorSpec, planes_to_rgb, rgb_to_planes
from edvr_cli.video.pixels.layout import native_layout
from edvr_cli.video.quality_scales import CODECS, WORST_QUALITY, Codec

__all__ = ["recompress"]

_MULTIPLE, _MIN_SIDE = 16, 64  # whole blocks, and enough of them: x265 writes outside smaller pictures


@dataclass(frozen=True)
class _Encoder:
    name: str
    quality: str  # the option that takes it
    options: Mapping[str, str]


# x264's macroblock tree gives other results from one call to the next on pictures this small.
_ENCODERS: dict[Codec, _Encoder] = {
    "h264": _Encoder("libx264", "crf", {"preset": "veryfast", "x264-params": "mbtree=0"}),
    "hevc": _Encoder("libx265", "crf", {"preset": "ultrafast", "x265-params": "log-level=none:pools=none"}),
    "vp9": _Encoder("libvpx-vp9", "crf", {"b": "0", "deadline": "realtime", "cpu-used": "6"}),
    "mpeg4": _Encoder("mpeg4", "qmin", {}),
}


def recompress(frames: Tensor, codec: Codec, quality: int) -> Tensor:
    """The frames after compression as one group of pictures: 8-bit 4:2:0, BT.709, limited range.

    frames (T, 3, H, W) uint8 RGB. ``quality`` is on the codec's own scale, where more is worse: CRF 0 to 51 for
    h264 and hevc, 0 to 63 for vp9, the quantizer 1 to 31 for mpeg4. Returns uint8 of the same shape; the same
    input gives the same output. Raises ValueError on bad arguments, EdvrError where FFmpeg lacks the encoder.
    """
    if frames.dim() != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8 or 0 in frames.shape:
        raise ValueError(f"expected uint8 frames (T, 3, H, W), got {frames.dtype} {tuple(frames.shape)}")
    if codec not in CODECS or not 0 <= quality <= WORST_QUALITY[codec]:
        raise ValueError(f"expected a codec of {', '.join(CODECS)} and a quality on its scale, got {codec!r} {quality}")
    T, _, H, W = frames.shape
    layout, color = native_layout("yuv420p"), ColorSpec(matrix=1, full_range=False)
    assert layout is not None
    height, width = (max(_MIN_SIDE, -(-side // _MULTIPLE) * _MULTIPLE) for side in (H, W))
    padded = F.pad(frames.float() / 255, (0, width - W, 0, height - H), mode="replicate")
    encoder = _encoder(codec, quality, width, height, T)
    packets = []
    for n, frame in enumerate(padded):
        samples = torch.cat([plane.flatten() for plane in rgb_to_planes(frame, layout, color)])
        picture = av.VideoFrame.from_ndarray(samples.view(-1, width).numpy(), format="yuv420p")
        picture.pts = n
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    decoder = CodecContext.create(codec, "r")
    assert isinstance(decoder, VideoCodecContext)  # the codecs above are video codecs
    decoder.thread_count = 1
    decoded = [_planes(picture) for packet in [*packets, None] for picture in decoder.decode(packet)]
    if len(decoded) != T:
        raise EdvrError(f"{codec} gave {len(decoded)} frames for {T}; leave it out of the codecs to train with")
    rgb = torch.stack([planes_to_rgb(planes, layout, color) for planes in decoded])[..., :H, :W]
    return to_uint8(rgb)


def _encoder(codec: Codec, quality: int, width: int, height: int, frames: int) -> VideoCodecContext:
    recipe = _ENCODERS[codec]
    try:
        encoder = CodecContext.create(recipe.name, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise EdvrError(f"this build of FFmpeg has no {recipe.name}; leave {codec} out of the codecs") from error
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.gop_size = frames  # so that the artefacts carry from frame to frame
    encoder.thread_count = 1  # more threads than one make the result depend on their timing
    # A quantizer is held by giving it as the least and the largest at once.
    held = {"qmax": str(max(quality, 1))} if recipe.quality == "qmin" else {}
    encoder.options = {**recipe.options, recipe.quality: str(max(quality, 1) if held else quality), **held}
    return encoder


def _planes(picture: av.VideoFrame) -> tuple[Tensor, ...]:
    """The three planes of a decoded 4:2:0 picture."""
    width, height = picture.width, picture.height
    samples = torch.from_numpy(np.ascontiguousarray(picture.to_ndarray())).flatten()
    luma, blue, red = samples.split([height * width, height * width // 4, height * width // 4])
    half = height // 2, width // 2
    return luma.view(height, width), blue.view(half), red.view(half)
