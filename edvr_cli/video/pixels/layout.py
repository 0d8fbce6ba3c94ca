"""Pixel formats in memory: planes, subsampling, bit depth."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import av
import numpy as np
import torch

from edvr_cli.errors import InputError

Family = Literal["yuv", "gray", "rgb"]

# Formats that interleave samples and that we take apart ourselves. Packed RGB lists its byte order;
# semi-planar formats have a luma plane and one plane of alternating Cb, Cr (Cr, Cb for nv21 and nv42).
_PACKED_RGB = {
    "rgb24": "rgb",
    "bgr24": "bgr",
    "rgba": "rgba",
    "bgra": "bgra",
    "rgb48le": "rgb",
    "rgba64le": "rgba",
    "rgb48be": "rgb",
    "rgba64be": "rgba",
}
# Image files keep the larger half of a 16-bit sample first.
_BIG_ENDIAN = {"rgb48be", "rgba64be", "gray16be", "ya16be"}
_PACKED_GRAY = ("ya8", "ya16le", "ya16be")
_FLOATING = {"gbrpf32le", "gbrapf32le", "grayf32le"}
_SEMI_PLANAR = {
    "nv12": (1, 1), "nv21": (1, 1), "nv16": (1, 0), "nv24": (0, 0), "nv42": (0, 0),
    "p010le": (1, 1), "p012le": (1, 1), "p016le": (1, 1),
    "p210le": (1, 0), "p212le": (1, 0), "p216le": (1, 0),
    "p410le": (0, 0), "p412le": (0, 0), "p416le": (0, 0),
}  # fmt: skip


@dataclass(frozen=True)
class PixelLayout:
    """One pixel format that the color conversion reads and writes without help.

    ``shift_x`` and ``shift_y`` are the base-2 logarithms of the chroma subsampling, ``shift`` the number of
    unused low bits of a sample (6 in p010le), ``packed`` the order of interleaved samples ("bgra", "ya"), or "".
    ``big_endian`` samples have their bytes in the other order in files, not in our tensors. ``floating``
    samples are float32 in [0, 1], linear light where the color says so; their ``depth`` is 32.
    """

    name: str
    family: Family
    depth: int
    shift_x: int = 0
    shift_y: int = 0
    shift: int = 0
    alpha: bool = False
    semi_planar: bool = False
    packed: str = ""
    big_endian: bool = False
    floating: bool = False

    @property
    def sample_dtype(self) -> torch.dtype:
        """The type of one sample: uint8 up to 8 bits, else uint16; or float32."""
        if self.floating:
            return torch.float32
        return torch.uint8 if self.depth <= 8 else torch.uint16

    @property
    def stored_dtype(self) -> np.dtype:
        """The type of one sample as libav keeps it in memory."""
        if self.floating:
            return np.dtype("<f4")
        return np.dtype("u1" if self.depth <= 8 else ">u2" if self.big_endian else "<u2")

    @property
    def peak(self) -> int:
        """The largest sample: all bits set, or 1.0."""
        return 1 if self.floating else (1 << self.depth) - 1

    @property
    def full_range_by_name(self) -> bool:
        """Whether the name alone says full range: RGB, and the old yuvj formats."""
        return self.family == "rgb" or self.name.startswith("yuvj")

    def plane_shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """(rows, samples a row) of each plane of a frame, interleaved samples counted one by one."""
        if self.packed:
            return [(height, width * len(self.packed))]
        chroma_height, chroma_width = -(-height >> self.shift_y), -(-width >> self.shift_x)
        if self.family == "gray":
            color: list[tuple[int, int]] = []
        elif self.semi_planar:
            color = [(chroma_height, 2 * chroma_width)]
        else:
            color = [(chroma_height, chroma_width)] * 2
        return [(height, width), *color, *([(height, width)] if self.alpha else [])]


@lru_cache
def native_layout(name: str) -> PixelLayout | None:
    """The layout of a pixel format that needs no conversion; None for the others, palettes for instance."""
    try:
        fmt = av.VideoFormat(name)
    except ValueError:
        return None
    parts = fmt.components
    depth, alpha = (parts[0].bits, any(part.is_alpha for part in parts)) if parts else (0, False)
    layout = _special_layout(name, depth, alpha=alpha)
    if layout is not None:
        return layout
    if not _is_plainly_planar(fmt):
        return None
    family: Family = "rgb" if fmt.is_rgb else "gray" if len(parts) - alpha == 1 else "yuv"
    # Measured on an even, large frame, where no rounding can hide the subsampling.
    across, down = 4096 // fmt.chroma_width(4096), 4096 // fmt.chroma_height(4096)
    if across > 2 or down > 2:
        return None
    return PixelLayout(name, family, depth, across // 2, down // 2, alpha=alpha)


def _special_layout(name: str, depth: int, *, alpha: bool) -> PixelLayout | None:
    """Formats that are not planes of little-endian integers."""
    swapped = name in _BIG_ENDIAN
    if name in _PACKED_RGB:
        return PixelLayout(name, "rgb", depth, alpha=alpha, packed=_PACKED_RGB[name], big_endian=swapped)
    if name in _PACKED_GRAY:
        return PixelLayout(name, "gray", depth, alpha=True, packed="ya", big_endian=swapped)
    if name in _FLOATING:
        return PixelLayout(name, "gray" if name.startswith("gray") else "rgb", depth, alpha=alpha, floating=True)
    if name in _SEMI_PLANAR:
        shift_x, shift_y = _SEMI_PLANAR[name]
        shift = 16 - depth if name.startswith("p") else 0
        return PixelLayout(name, "yuv", depth, shift_x, shift_y, shift, semi_planar=True)
    return PixelLayout(name, "gray", depth, big_endian=True) if swapped else None


@lru_cache
def nearest_layout(name: str) -> PixelLayout:
    """The native layout that holds a pixel format with nothing lost: itself where it is native.

    Raises InputError for formats that are not pictures in system memory.
    """
    layout = native_layout(name)
    if layout is not None:
        return layout
    try:
        fmt = av.VideoFormat(name)
    except ValueError as error:
        raise InputError(f"Unknown pixel format {name!r}.") from error
    parts = fmt.components
    if not parts:
        raise InputError(f"Pixel format {name!r} stays on a graphics card; decode in software.")
    alpha = any(part.is_alpha for part in parts)
    depth = max(part.bits for part in parts)
    suffix = "f32le" if depth > 16 or "f16" in name else _depth_suffix(max(8, depth))
    if fmt.has_palette:
        target = "gbrap"
    elif fmt.is_rgb or fmt.is_bayer or name.startswith("xyz"):
        target = ("gbrap" if alpha else "gbrp") + suffix
    elif len(parts) - alpha == 1:
        # Gray with transparency comes as bytes, 16 bits or floats; planes of their own have only the last.
        target = f"gbrap{suffix}" if alpha else f"gray{suffix}"
    else:
        sub_x, sub_y = 4096 // fmt.chroma_width(4096), 4096 // fmt.chroma_height(4096)
        chroma = {(2, 2): "420", (2, 1): "422", (1, 2): "440"}.get((sub_x, sub_y), "444")
        target = ("yuva" if alpha else "yuv") + chroma + "p" + suffix
    layout = native_layout(target)
    if layout is None:
        raise InputError(f"Pixel format {name!r} is not supported.")
    return layout


def _depth_suffix(depth: int) -> str:
    if depth <= 8:
        return ""
    return f"{next(step for step in (10, 12, 16) if depth <= step)}le"


def _is_plainly_planar(fmt: av.VideoFormat) -> bool:
    """Whether each component has its plane, of little-endian integers in their low bits."""
    parts = fmt.components
    if not parts or fmt.has_palette or fmt.is_bit_stream or fmt.is_big_endian or fmt.is_bayer:
        return False
    if fmt.name.startswith(("xyz", "gbrpf", "gbrapf", "grayf")) or fmt.name.endswith(("msble", "f16le", "f32le")):
        return False
    return len({part.plane for part in parts}) == len(parts) and parts[0].bits <= 16
