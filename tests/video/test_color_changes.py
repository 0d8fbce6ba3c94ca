"""Color that changes midway, and floats that are no light."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.test_cases import ffmpeg, restore  # noqa: F401 (a fixture)

# Matrix and range as encoders and the scaler call them.
TAGS = {
    "601": ("smpte170m", "bt601", "tv"),
    "709": ("bt709", "bt709", "tv"),
    "2020": ("bt2020nc", "bt2020", "tv"),
    "full": ("bt709", "bt709", "pc"),
}


def shot(make: Callable[..., Path], name: str, codec: str, suffix: str) -> bytes:
    """Four frames of one color in one matrix and range, as a raw stream."""
    matrix, scaler, levels = TAGS[name]
    to = f"scale=out_color_matrix={scaler}:out_range={levels}"
    picture = f"color=0x30C060:s=48x32:r=25:d=0.16,format=rgb24,{to},format=yuv444p"
    tags = ["-colorspace", matrix, "-color_range", levels, "-color_primaries", "bt709", "-color_trc", "bt709"]
    options = ["-x265-params", "log-level=error:lossless=1"] if codec == "libx265" else ["-qp", "0"]
    return make(
        "-f", "lavfi", "-i", picture, "-c:v", codec, "-bf", "0", *options, *tags, f"{name}.{suffix}"
    ).read_bytes()


def colors(path: Path) -> np.ndarray:
    """The mean red, green and blue of each frame."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.array([frame.reshape(-1, 3).mean(0) for frame in frames])


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", "h264"), ("libx265", "hevc")])
@pytest.mark.parametrize("kinds", [("601", "709"), ("709", "601", "709"), ("709", "full"), ("full", "2020")])
def test_a_change_of_matrix_or_range_is_followed(
    ffmpeg: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    codec: str,
    suffix: str,
    kinds: tuple[str, ...],
):
    """One color, written in one way and then in another, comes out as one color."""
    source = tmp_path / f"joined.{suffix}"
    source.write_bytes(b"".join(shot(ffmpeg, kind, codec, suffix) for kind in kinds))
    result, _ = restore(source, "out.mkv", scale=1)
    found = colors(result)
    assert len(found) == 4 * len(kinds)
    assert np.abs(found - (0x30, 0xC0, 0x60)).max() <= 3


def test_a_change_of_the_chroma_s_size_is_followed(ffmpeg: Callable[..., Path], tmp_path: Path):  # noqa: F811
    """4:2:0 in 8 bits, then 4:4:4 in 10: no frame is brought to the first one's format."""
    parts = []
    for name, pix_fmt in (("a", "yuv420p"), ("b", "yuv444p10le")):
        picture = f"color=0x30C060:s=48x32:r=25:d=0.16,format={pix_fmt}"
        parts.append(ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-bf", "0", f"{name}.h264").read_bytes())
    source = tmp_path / "in.h264"
    source.write_bytes(b"".join(parts))
    result, _ = restore(source, "out.mkv", scale=1)
    found = colors(result)
    assert len(found) == 8
    assert np.abs(found - found[0]).max() <= 2


def test_untagged_floating_video_is_not_linear_light(ffmpeg: Callable[..., Path]):  # noqa: F811
    """Only EXR and its kind are."""
    picture = "color=0x606060:s=48x32:r=25:d=0.08,format=gbrpf32le"
    source = ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "rawvideo", "in.nut")
    result, _ = restore(source, "out.mkv", scale=1)
    assert np.abs(colors(result) - 0x60).max() <= 3


def test_primaries_that_change_are_said(ffmpeg: Callable[..., Path], tmp_path: Path):  # noqa: F811
    """They are not converted: a file has but one word for them."""
    parts = []
    for name, primaries, transfer in (("a", "bt709", "bt709"), ("b", "bt2020", "arib-std-b67")):
        tags = f"setparams=color_primaries={primaries}:color_trc={transfer}:colorspace=bt709"
        picture = f"color=red:s=48x32:r=25:d=0.08,{tags}"
        parts.append(ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", f"{name}.h264").read_bytes())
    source = tmp_path / "in.h264"
    source.write_bytes(b"".join(parts))
    _, told = restore(source, "out.mkv")
    assert any("color changes" in message for message in told)
