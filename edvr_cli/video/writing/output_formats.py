"""Pixel formats that are written: which an encoder may take for a source, the most faithful first."""

import av

from edvr_cli.errors import OutputError
from edvr_cli.video.image_sequences import ENCODERS
from edvr_cli.video.pixels.layout import PixelLayout, native_layout
from edvr_cli.video.reading.info import VideoInfo

__all__ = ["PICTURES", "candidate_layouts", "in_y4m"]

# Encoders of pictures, each packet a file; but for JPEG they hold RGB or gray and take transparency as they take color.
PICTURES = frozenset(ENCODERS.values())
_RGB_PICTURES = PICTURES - {"mjpeg"}
# Encoders that keep transparency where the source has it, unless another pixel format is asked for.
_WITH_ALPHA = PICTURES | {"prores_ks", "ffv1", "libvpx-vp9", "rawvideo"}
# Encoders that keep gray gray: the others' gray is a rarity that players stumble over.
_WITH_GRAY = PICTURES | {"ffv1", "rawvideo"}
# What is written to pipes: first what y4m holds, then the other layouts of raw samples.
_DEPTHS = ("", "9le", "10le", "12le", "14le", "16le")
_Y4M = (*(f"{name}{depth}" for name in ("yuv420p", "yuv422p", "yuv444p", "gray") for depth in _DEPTHS), "yuva444p")
_RAW = (
    *_Y4M, "rgb24", "bgr24", "rgba", "bgra", "rgb48le", "rgba64le", "gbrp", "gbrp10le", "gbrp12le", "gbrp16le",
    "gbrpf32le", "nv12", "p010le",
)  # fmt: skip


def candidate_layouts(
    codec: av.Codec, pix_fmt: str | None, info: VideoInfo, width: int, height: int
) -> list[PixelLayout]:
    """The layouts to try, the most faithful first; only the one that is asked for, if one is."""
    # An encoder that lists no formats takes any: offer the two usual ones.
    names = [fmt.name for fmt in codec.video_formats or []] or ["yuv420p", "yuv420p10le"]
    if codec.name == "rawvideo":
        names = list(_RAW)
    layouts = {name: layout for name in names if (layout := native_layout(name)) is not None}
    if pix_fmt is not None:
        if pix_fmt not in layouts:
            raise OutputError(f"{codec.name} does not take pixel format {pix_fmt!r}; it takes {', '.join(layouts)}.")
        return [layouts[pix_fmt]]
    source = info.layout
    doubled = width >= 2 * info.width and height >= 2 * info.height
    want_x, want_y = (1, 1) if doubled or source.family == "gray" else (source.shift_x, source.shift_y)
    depth = min(source.depth, 16)
    alpha = source.alpha and codec.name in _WITH_ALPHA
    gray = source.family == "gray" and codec.name in _WITH_GRAY

    def loss(layout: PixelLayout) -> tuple[int, ...]:
        lacking = max(0, depth - layout.depth)
        chroma = 0 if gray else max(0, layout.shift_x - want_x) + max(0, layout.shift_y - want_y)
        excess = layout.depth - depth + lacking
        surplus = max(0, want_x - layout.shift_x) + max(0, want_y - layout.shift_y)
        unlike = (layout.alpha != alpha, (layout.family == "gray") != gray)
        return (*unlike, lacking, chroma, excess, surplus, layout.family == "rgb", layout.semi_planar)

    usable = [item for item in layouts.values() if "yuvj" not in item.name]
    if codec.name in _RGB_PICTURES:
        usable = [item for item in usable if item.family != "yuv"]
    if codec.name == "rawvideo":
        usable = [item for item in usable if item.name in _Y4M]
    # WebP takes RGB with transparency alone, and drops one that is nowhere.
    clear = alpha or codec.name == "libwebp"
    usable = [item for item in usable if (gray or item.family != "gray") and (clear or not item.alpha)]
    if not usable:
        raise OutputError(f"{codec.name} takes no pixel format that this program writes ({', '.join(names)}).")
    return sorted(usable, key=loss)


def in_y4m(layout: PixelLayout) -> bool:
    """Whether a y4m stream can hold a layout."""
    return layout.name in _Y4M
