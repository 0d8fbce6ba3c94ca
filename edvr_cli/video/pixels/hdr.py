"""Static HDR metadata: the mastering display, and the light level of the content."""

import struct
from dataclasses import dataclass
from fractions import Fraction

from av.video.frame import VideoFrame

from edvr_cli.video.pixels.side_data import side_data

# What is lost, by which side data of a frame it shows, and by which word in libav's description of the stream.
_UNKEPT = (
    ("Dolby Vision metadata", ("DOVI_METADATA", "DOVI_RPU_BUFFER"), "DOVI configuration record"),
    ("HDR10+ metadata", ("DYNAMIC_HDR_PLUS",), ""),
    ("HDR Vivid metadata", ("DYNAMIC_HDR_VIVID",), ""),
    ("Closed captions (CEA-608/708) inside the pictures", ("A53_CC",), ""),
    ("The 360° projection", ("SPHERICAL",), "spherical:"),
    ("The stereoscopic layout", ("STEREO3D",), "stereo3d:"),
)


@dataclass(frozen=True)
class HdrMetadata:
    """SMPTE ST 2086 mastering display and CTA-861.3 content light, each None where absent.

    ``mastering`` holds ten numbers: red, green, blue and white x, y, then the least and the greatest
    luminance in cd/m². ``content_light`` is (MaxCLL, MaxFALL) in cd/m².
    """

    mastering: tuple[Fraction, ...] | None = None
    content_light: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return self.mastering is not None or self.content_light is not None

    @property
    def mastering_text(self) -> str | None:
        """As x265 and x264 take it: chromaticities in 1/50000, luminance in 1/10000 cd/m²."""
        if self.mastering is None:
            return None
        red, green, blue, white = (
            f"({round(x * 50000)},{round(y * 50000)})" for x, y in zip(*[iter(self.mastering[:8])] * 2, strict=True)
        )
        low, high = (round(value * 10000) for value in self.mastering[8:])
        return f"G{green}B{blue}R{red}WP{white}L({high},{low})"


def hdr_metadata(frame: VideoFrame) -> HdrMetadata:
    """The static HDR metadata of a decoded frame."""
    mastering = light = None
    data = side_data(frame, "MASTERING_DISPLAY_METADATA")
    if data is not None:
        # AVMasteringDisplayMetadata: ten AVRational (the last two minimum and maximum luminance), two flags.
        *numbers, has_primaries, has_luminance = struct.unpack_from("22i", data)
        if has_primaries and has_luminance and all(numbers[1::2]):
            mastering = tuple(Fraction(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    data = side_data(frame, "CONTENT_LIGHT_LEVEL")
    if data is not None:
        max_cll, max_fall = struct.unpack_from("2I", data)
        light = (max_cll, max_fall)
    return HdrMetadata(mastering, light)


def unkept_metadata(frame: VideoFrame, description: str) -> tuple[str, ...]:
    """What a decoded frame, or libav's description of its stream, carries and no encoder here can write."""
    return tuple(
        name
        for name, kinds, word in _UNKEPT
        if any(side_data(frame, kind) is not None for kind in kinds) or (word and word in description)
    )
