"""One picture as the bytes of a PNG or JPEG file."""

import av
import torch
from av.video.codeccontext import VideoCodecContext
from torch import Tensor

__all__ = ["jpeg", "png"]


def png(rgb: Tensor) -> bytes:
    """(3, H, W) uint8 as a PNG file."""
    return _encode(rgb, "png", "rgb24", {})


def jpeg(rgb: Tensor, quality: int = 1) -> bytes:
    """(3, H, W) uint8 as a JPEG file without chroma subsampling; ``quality`` 1 (best) to 31."""
    return _encode(rgb, "mjpeg", "yuvj444p", {"qmin": str(quality), "qmax": str(quality)})


def _encode(rgb: Tensor, codec: str, pix_fmt: str, options: dict[str, str]) -> bytes:
    if rgb.dim() != 3 or rgb.shape[0] != 3 or rgb.dtype != torch.uint8 or 0 in rgb.shape:
        raise ValueError(f"expected uint8 RGB (3, H, W), got {rgb.dtype} {tuple(rgb.shape)}")
    frame = av.VideoFrame.from_ndarray(rgb.permute(1, 2, 0).contiguous().cpu().numpy(), format="rgb24")
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)  # both are video codecs
    encoder.width, encoder.height, encoder.pix_fmt, encoder.options = frame.width, frame.height, pix_fmt, options
    encoder.time_base, encoder.thread_count = 1, 1  # type: ignore[assignment]  # any; a picture has no time
    if pix_fmt != "rgb24":
        frame = frame.reformat(format=pix_fmt, dst_color_range="JPEG")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
