"""Decoded planes to RGB and back: the stream's own matrix, range and chroma siting, one rounding.

RGB here is the stream's non-linear R'G'B', or linear light after sRGB's curve, scaled so that reference black is 0
and reference white is 1. It is not clamped: footroom, headroom and colors that only YCbCr can hold come out a little
outside [0, 1] and survive the way back, so that an image that nothing changed returns as it was. `rgb_to_planes`
rounds once, at the end, and clamps to what the samples can hold.

Legend: H W pixels, h w chroma plane size, planes as `PixelLayout.plane_shapes` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from edvr_cli.system.gpu_copy import upload
from edvr_cli.video.pixels.chroma import downsample, upsample
from edvr_cli.video.pixels.layout import PixelLayout

# Code points of ITU-T H.273, which FFmpeg's numbers equal.
UNSPECIFIED = 2
LINEAR, SRGB = 8, 13
MATRIX_NAMES = {
    0: "gbr", 1: "bt709", 2: "unspecified", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m",
    8: "ycgco", 9: "bt2020nc", 10: "bt2020c",
}  # fmt: skip
PRIMARIES_NAMES = {
    1: "bt709", 2: "unspecified", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m",
    8: "film", 9: "bt2020", 10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
TRANSFER_NAMES = {
    1: "bt709", 2: "unspecified", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear",
    9: "log100", 10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10",
    15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip

# Luma weights (red, blue). Constant-luminance BT.2020 is taken as its non-constant sibling, both ways.
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087),
    9: (0.2627, 0.0593), 10: (0.2627, 0.0593),
}  # fmt: skip
_YCGCO = ((0.25, 0.5, 0.25), (-0.25, 0.5, -0.25), (0.5, 0.0, -0.5))


@dataclass(frozen=True)
class ColorSpec:
    """The color coding of a stream: H.273 code points, range, and chroma siting.

    ``matrix`` and the range are always decided; ``primaries`` and ``transfer`` may be `UNSPECIFIED`.
    ``assumed`` is True where the stream names no matrix and the picture's size decided.
    """

    matrix: int
    full_range: bool
    chroma_location: str = "left"
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    assumed: bool = False

    def for_layout(self, layout: PixelLayout) -> "ColorSpec":
        """The same color for samples of another layout: RGB has no matrix, YCbCr must have one.

        Floating samples are written as linear light, integer ones after sRGB's curve where the source is linear.
        """
        if layout.floating != (self.transfer == LINEAR):
            return replace(self, transfer=LINEAR if layout.floating else SRGB).for_layout(layout)
        if layout.family == "rgb":
            return replace(self, matrix=0, full_range=True)
        if self.matrix == 0:
            # RGB that becomes YCbCr: BT.709 in limited range, as every player of RGB-born video expects.
            return replace(self, matrix=1, full_range=layout.full_range_by_name)
        if layout.full_range_by_name and not self.full_range:
            return replace(self, full_range=True)
        return self

    def describe(self) -> str:
        """One phrase for people, such as "bt709, limited range, assumed from the size"."""
        name = MATRIX_NAMES.get(self.matrix, str(self.matrix))
        text = f"{name}, {'full' if self.full_range else 'limited'} range"
        if self.transfer not in (UNSPECIFIED, self.matrix):
            text += f", {TRANSFER_NAMES.get(self.transfer, self.transfer)} transfer"
        return f"{text}, assumed from the size" if self.assumed else text


def resolve(
    layout: PixelLayout,
    width: int,
    height: int,
    *,
    matrix: int = UNSPECIFIED,
    color_range: int = 0,
    primaries: int = UNSPECIFIED,
    transfer: int = UNSPECIFIED,
    chroma_location: str | None = None,
) -> ColorSpec:
    """The color of a stream from its tags, with the usual assumption where it has none.

    An untagged picture is BT.601 up to 1279x576 (625 lines at 576, else 525) and BT.709 beyond, as players
    assume. Its primaries and transfer are then decided too: the restored video is larger, and a player must
    not assume something else of it. ``color_range`` is FFmpeg's 0 unknown, 1 limited, 2 full; unknown is
    limited except for RGB. Unknown chroma siting is "left", MPEG-2's and everything after's.
    """
    full = layout.full_range_by_name if color_range == 0 else color_range == 2
    location = chroma_location or "left"
    if layout.family == "rgb":
        return ColorSpec(0, True if color_range == 0 else full, location, primaries, transfer)
    if matrix in _LUMA_WEIGHTS or (matrix == 8 and layout.family == "yuv"):
        return ColorSpec(matrix, full, location, primaries, transfer)
    if matrix == 0 and layout.family == "yuv" and layout.shift_x == layout.shift_y == 0:
        return ColorSpec(0, full, location, primaries, transfer)
    if primaries == 9:
        return ColorSpec(9, full, location, primaries, transfer, assumed=True)
    standard = 1 if width >= 1280 or height > 576 else 5 if height == 576 else 6
    if primaries == UNSPECIFIED:
        primaries = standard
    if transfer == UNSPECIFIED:
        transfer = 1 if standard == 1 else 6
    return ColorSpec(standard, full, location, primaries, transfer, assumed=True)


def planes_to_rgb(
    planes: Sequence[Tensor],
    layout: PixelLayout,
    spec: ColorSpec,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Planes of integer samples, on any device, to RGB (3, H, W) on ``device``; nominal range [0, 1].

    The result is not clamped. An alpha plane is left out; `alpha_plane` finds it. The arithmetic is float32
    whatever ``dtype`` is.
    """
    samples = [upload(plane, device) for plane in planes]
    rgb = _to_rgb(samples, layout, spec)
    return (_after_curve(rgb) if spec.transfer == LINEAR else rgb).to(dtype)


def _to_rgb(samples: Sequence[Tensor], layout: PixelLayout, spec: ColorSpec) -> Tensor:
    """Planes to float32 RGB (3, H, W), linear light where the color says so."""
    if layout.packed:
        return _unpack(samples[0], layout, spec)
    luma_scale, luma_offset, chroma_scale, chroma_offset = _scales(layout, spec)
    if layout.floating:
        green, *rest = (plane.to(torch.float32) for plane in samples[:3])
        return torch.stack([rest[1], green, rest[0]] if layout.family == "rgb" else [green] * 3)
    luma = samples[0].to(torch.float32)
    height, width = luma.shape
    if layout.family == "gray":
        return luma.sub_(luma_offset).mul_(luma_scale).expand(3, height, width)
    if layout.family == "rgb" or spec.matrix == 0:
        green, blue, red = (plane.to(torch.float32) for plane in samples[:3])
        return torch.stack([red, green, blue]).sub_(luma_offset).mul_(luma_scale)

    if layout.semi_planar:
        chroma = samples[1].view(samples[1].shape[0], -1, 2).permute(2, 0, 1).to(torch.float32).contiguous()
        if layout.name in ("nv21", "nv42"):
            chroma = chroma.flip(0)
    else:
        chroma = torch.stack([plane.to(torch.float32) for plane in samples[1:3]])
    if layout.shift_y:
        chroma = upsample(chroma, axis=-2, size=height, centered=_centered(spec, axis=-2))
    if layout.shift_x:
        chroma = upsample(chroma, axis=-1, size=width, centered=_centered(spec, axis=-1))
    luma.mul_(luma_scale)
    if spec.matrix == 8:
        green_part, orange_part = chroma.sub_(chroma_offset).mul_(chroma_scale)
        luma.sub_(luma_offset * luma_scale)
        base = luma - green_part
        return torch.stack([base + orange_part, luma + green_part, base - orange_part])

    red_weight, blue_weight = _LUMA_WEIGHTS[spec.matrix]
    green_weight = 1 - red_weight - blue_weight
    red_gain, blue_gain = 2 * (1 - red_weight) * chroma_scale, 2 * (1 - blue_weight) * chroma_scale
    green_from_red, green_from_blue = (
        -red_weight * red_gain / green_weight,
        -blue_weight * blue_gain / green_weight,
    )
    # Each channel is luma plus a share of the chroma planes; the offsets are folded into one constant.
    black = luma_offset * luma_scale
    rgb = torch.empty(3, height, width, device=luma.device)
    cb, cr = chroma[0], chroma[1]
    torch.add(luma, cr, alpha=red_gain, out=rgb[0]).sub_(black + chroma_offset * red_gain)
    torch.add(luma, cb, alpha=blue_gain, out=rgb[2]).sub_(black + chroma_offset * blue_gain)
    torch.add(luma, cr, alpha=green_from_red, out=rgb[1]).add_(cb, alpha=green_from_blue)
    rgb[1].sub_(black + chroma_offset * (green_from_red + green_from_blue))
    return rgb


def rgb_to_planes(
    rgb: Tensor, layout: PixelLayout, spec: ColorSpec, *, alpha: Tensor | None = None
) -> tuple[Tensor, ...]:
    """RGB (3, H, W), any float dtype, nominally [0, 1], to planes of ``layout``'s samples on the same device.

    ``spec`` must suit the layout (`ColorSpec.for_layout`). ``alpha`` (H, W) in [0, 1] goes into a layout that has
    it, on RGB's device; None is opaque.
    """
    channels, height, width = rgb.shape
    if channels != 3:
        raise ValueError(f"rgb must be (3, H, W), got {tuple(rgb.shape)}")
    rgb = rgb.to(torch.float32)
    if spec.transfer == LINEAR:
        rgb = _before_curve(rgb)
    if layout.packed:
        return (_pack(rgb, layout, spec, alpha),)
    if layout.floating:
        red, green, blue = rgb
        return _with_alpha([green, blue, red] if layout.family == "rgb" else [_luma(rgb, spec)], layout, alpha)
    luma_scale, luma_offset, chroma_scale, chroma_offset = _scales(layout, spec)
    if layout.family == "rgb" or (spec.matrix == 0 and layout.family == "yuv"):
        red, green, blue = (_round(plane / luma_scale, luma_offset, layout) for plane in rgb)
        return _with_alpha([green, blue, red], layout, alpha)

    red, green, blue = rgb
    if spec.matrix == 8 and layout.family == "yuv":
        luma, *chroma_list = (red * r + green * g + blue * b for r, g, b in _YCGCO)
        chroma = torch.stack(chroma_list)
    else:
        luma = _luma(rgb, spec)
        red_weight, blue_weight = _LUMA_WEIGHTS.get(spec.matrix, _LUMA_WEIGHTS[1])
        if layout.family == "gray":
            return _with_alpha([_round(luma.div_(luma_scale), luma_offset, layout)], layout, alpha)
        chroma = torch.empty(2, height, width, device=rgb.device)
        torch.sub(blue, luma, out=chroma[0]).mul_(0.5 / (1 - blue_weight))
        torch.sub(red, luma, out=chroma[1]).mul_(0.5 / (1 - red_weight))
    if layout.shift_y:
        chroma = downsample(chroma, axis=-2, centered=_centered(spec, axis=-2))
    if layout.shift_x:
        chroma = downsample(chroma, axis=-1, centered=_centered(spec, axis=-1))
    luma_plane = _round(luma.div_(luma_scale), luma_offset, layout)
    chroma = _round(chroma.div_(chroma_scale), chroma_offset, layout)
    if layout.semi_planar:
        if layout.name in ("nv21", "nv42"):
            chroma = chroma.flip(0)
        interleaved = chroma.permute(1, 2, 0).reshape(chroma.shape[1], -1)
        return (luma_plane, interleaved)
    return _with_alpha([luma_plane, chroma[0], chroma[1]], layout, alpha)


def alpha_plane(planes: Sequence[Tensor], layout: PixelLayout) -> Tensor | None:
    """The alpha of a frame as float32 (H, W) in [0, 1], or None where the layout has none."""
    if not layout.alpha:
        return None
    if layout.packed:
        count = len(layout.packed)
        samples = planes[0].view(planes[0].shape[0], -1, count)[..., layout.packed.index("a")]
    else:
        samples = planes[-1]
    return samples.to(torch.float32).div_(layout.peak)


@lru_cache
def _scales(layout: PixelLayout, spec: ColorSpec) -> tuple[float, float, float, float]:
    """(luma scale, luma offset, chroma scale, chroma offset): value = (sample - offset) * scale."""
    unit = float(1 << layout.shift)
    step = float(1 << (layout.depth - 8)) if layout.depth >= 8 else 2.0 ** (layout.depth - 8)
    middle = unit * (1 << (layout.depth - 1))
    if spec.full_range:
        peak = unit * ((1 << layout.depth) - 1)
        return 1 / peak, 0.0, 1 / peak, middle
    return 1 / (219 * step * unit), 16 * step * unit, 1 / (224 * step * unit), middle


def _centered(spec: ColorSpec, *, axis: int) -> bool:
    """Whether chroma lies midway between luma samples along an axis; bottom sitings count as center."""
    if axis == -1:
        return spec.chroma_location in ("center", "top", "bottom")
    return spec.chroma_location not in ("top", "topleft")


def _round(values: Tensor, offset: float, layout: PixelLayout) -> Tensor:
    """Scaled values to samples: the one rounding, half to even. May overwrite its input."""
    unit, peak = 1 << layout.shift, (1 << layout.depth) - 1
    if unit == 1:
        return values.add_(offset).round_().clamp_(0, peak).to(layout.sample_dtype)
    samples = values.add_(offset).div_(unit).round_().clamp_(0, peak)
    return samples.mul_(unit).to(layout.sample_dtype)


def _luma(rgb: Tensor, spec: ColorSpec) -> Tensor:
    """Luma of (3, H, W); a gray layout may come from RGB, whose luma is BT.709's."""
    red_weight, blue_weight = _LUMA_WEIGHTS.get(spec.matrix, _LUMA_WEIGHTS[1])
    luma = torch.mul(rgb[1], 1 - red_weight - blue_weight)
    return luma.add_(rgb[0], alpha=red_weight).add_(rgb[2], alpha=blue_weight)


def _with_alpha(planes: list[Tensor], layout: PixelLayout, alpha: Tensor | None) -> tuple[Tensor, ...]:
    if layout.alpha:
        planes.append(_alpha_samples(planes[0], layout, alpha))
    return tuple(planes)


def _alpha_samples(like: Tensor, layout: PixelLayout, alpha: Tensor | None) -> Tensor:
    if alpha is None:
        return torch.full(like.shape, layout.peak, dtype=torch.float32, device=like.device).to(layout.sample_dtype)
    scaled = alpha.to(torch.float32).clamp(0, 1) * layout.peak
    return scaled if layout.floating else scaled.round_().to(layout.sample_dtype)


def _after_curve(light: Tensor) -> Tensor:
    """Linear light to what displays and networks expect: sRGB's curve, mirrored below 0, continued above 1."""
    size = light.abs()
    return torch.where(size <= 0.0031308, size * 12.92, 1.055 * size.pow(1 / 2.4) - 0.055).mul_(light.sign())


def _before_curve(value: Tensor) -> Tensor:
    """The inverse of `_after_curve`."""
    size = value.abs()
    return torch.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055).pow(2.4)).mul_(value.sign())


def _unpack(samples: Tensor, layout: PixelLayout, spec: ColorSpec) -> Tensor:
    scale, offset, _, _ = _scales(layout, spec)
    pixels = samples.view(samples.shape[0], -1, len(layout.packed)).permute(2, 0, 1)
    channels = "rgb" if layout.family == "rgb" else "yyy"
    rgb = torch.stack([pixels[layout.packed.index(channel)].to(torch.float32) for channel in channels])
    return rgb.sub_(offset).mul_(scale)


def _pack(rgb: Tensor, layout: PixelLayout, spec: ColorSpec, alpha: Tensor | None) -> Tensor:
    scale, offset, _, _ = _scales(layout, spec)
    colors = rgb if layout.family == "rgb" else _luma(rgb, spec).unsqueeze(0)
    samples = _round(colors / scale, offset, layout)
    channels = dict(zip("rgb" if layout.family == "rgb" else "y", samples, strict=True))
    if layout.alpha:
        channels["a"] = _alpha_samples(samples[0], layout, alpha)
    pixels = samples.new_empty(*samples.shape[1:], len(layout.packed))
    for number, name in enumerate(layout.packed):
        pixels[..., number] = channels[name]
    return pixels.flatten(1)
