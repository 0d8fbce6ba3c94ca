"""Planes to RGB and back: the stream's own color, both ways, and nothing lost between."""

import subprocess
from dataclasses import replace
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from edvr_cli.errors import InputError
from edvr_cli.video.pixels.chroma import downsample, upsample
from edvr_cli.video.pixels.color import ColorSpec, alpha_plane, planes_to_rgb, resolve, rgb_to_planes
from edvr_cli.video.pixels.layout import PixelLayout, native_layout, nearest_layout
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import probe
from tests.support.clips import HARD, SHARED, Clip, shared, waves

YUV = [f"yuv{chroma}p{depth}" for chroma in ("420", "422", "444") for depth in ("", "10le", "12le")]
FORMATS = [*YUV, "yuvj420p", "yuv440p", "nv12", "nv21", "nv16", "p010le", "gray", "gray10le", "gbrp", "gbrp10le"]
MATRICES = {"bt709": 1, "fcc": 4, "bt470bg": 5, "bt601": 6, "240m": 7, "ycgco": 8, "bt2020": 9}


def layout_of(name: str) -> PixelLayout:
    """A native layout that must exist."""
    layout = native_layout(name)
    assert layout is not None
    return layout


def random_planes(layout: PixelLayout, height: int, width: int) -> list[torch.Tensor]:
    """Any sample values at all, colors that no RGB can show included."""
    peak = (1 << layout.depth) - 1
    return [
        torch.randint(0, peak + 1, shape, dtype=torch.int32).mul(1 << layout.shift).to(layout.sample_dtype)
        for shape in layout.plane_shapes(height, width)
    ]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("name", FORMATS)
def test_noise_returns_exactly(name: str, matrix: int, full: bool):
    """An identity network changes no sample: every layout, matrix, range and siting, at an odd size."""
    layout = layout_of(name)
    torch.manual_seed(0)
    planes = random_planes(layout, 33, 45)
    for location in ("left", "center", "topleft", "top"):
        spec = ColorSpec(0 if layout.family == "rgb" else matrix, full, location)
        rgb = planes_to_rgb(planes, layout, spec)
        assert rgb.shape == (3, 33, 45) and rgb.dtype == torch.float32
        back = rgb_to_planes(rgb, layout, spec)
        assert [plane.dtype for plane in back] == [layout.sample_dtype] * len(planes)
        for plane, original in zip(back, planes, strict=True):
            assert torch.equal(plane.to(torch.int32), original.to(torch.int32))


@pytest.mark.parametrize("name", ["rgb24", "bgr24", "rgba", "bgra", "rgb48le", "yuva420p", "gbrap10le"])
def test_packed_and_alpha_layouts_return_exactly(name: str):
    """Color comes back as it was; alpha is read apart and written opaque."""
    layout = layout_of(name)
    torch.manual_seed(0)
    planes = random_planes(layout, 6, 10)
    spec = ColorSpec(0 if layout.family == "rgb" else 1, full_range=layout.family == "rgb")
    rgb = planes_to_rgb(planes, layout, spec)
    back = rgb_to_planes(rgb, layout, spec)
    assert torch.equal(planes_to_rgb(back, layout, spec), rgb)
    alpha = alpha_plane(back, layout)
    assert (alpha is not None) == layout.alpha
    assert alpha is None or bool((alpha == 1).all())


@pytest.mark.parametrize("step", [1, 4])
def test_reference_colors_have_their_published_codes(step: int):
    """75 % and full color bars in BT.709 and BT.601, 8 and 10 bit, from the standards' tables."""
    bars = {
        1: {
            (1, 1, 1): (235, 128, 128),
            (0, 0, 0): (16, 128, 128),
            (1, 0, 0): (63, 102, 240),
            (0, 0, 1): (32, 240, 118),
        },
        6: {(1, 1, 1): (235, 128, 128), (1, 0, 0): (81, 90, 240), (0, 1, 0): (145, 54, 34), (0, 0, 1): (41, 240, 110)},
    }
    layout = layout_of("yuv444p" if step == 1 else "yuv444p10le")
    for matrix, table in bars.items():
        for color, code in table.items():
            planes = rgb_to_planes(torch.tensor(color).view(3, 1, 1).float(), layout, ColorSpec(matrix, False))
            for plane, expected in zip(planes, code, strict=True):
                assert abs(int(plane) - expected * step) <= step / 2


def test_samples_are_rounded_and_not_cut():
    """Values halfway between codes go both ways: no darkening by half a level."""
    layout = layout_of("gray")
    values = torch.linspace(16.0, 235.0, 4000)
    rgb = ((values - 16) / 219).view(1, 1, -1).expand(3, 1, -1)
    (plane,) = rgb_to_planes(rgb, layout, ColorSpec(1, False))
    error = plane[0].float() - values
    assert abs(float(error.mean())) < 0.01 and float(error.abs().max()) <= 0.501


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("axis", [-1, -2])
def test_chroma_stays_where_it_lies(axis: int, centered: bool):
    """A ramp sampled at the siting's own places comes up as the same ramp at the luma samples' places."""
    places = torch.arange(16.0) * 2 + (0.5 if centered else 0)
    ramp = places.view(1, 1, -1) if axis == -1 else places.view(1, -1, 1)
    up = upsample(ramp, axis=axis, size=32, centered=centered).flatten()
    assert torch.allclose(up[2:-2], torch.arange(32.0)[2:-2], atol=1e-4)
    full = torch.arange(32.0).view((1, 1, 32) if axis == -1 else (1, 32, 1))
    down = downsample(full, axis=axis, centered=centered)
    assert torch.allclose(down.flatten()[1:-1], places[1:-1], atol=1e-4)


def zscale(planes: list[np.ndarray], pix_fmt: str, size: tuple[int, int], options: str, out: str) -> np.ndarray:
    """Raw samples converted by the zimg library in the imageio-ffmpeg binary."""
    width, height = size
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", pix_fmt,
        "-s", f"{width}x{height}", "-i", "-", "-vf", f"zscale={options}:filter=bilinear,format={out}",
        "-f", "rawvideo", "-",
    ]  # fmt: skip
    raw = b"".join(plane.tobytes() for plane in planes)
    result = subprocess.run(command, input=raw, capture_output=True, check=True).stdout
    return np.frombuffer(result, np.uint16 if "le" in out else np.uint8).reshape(3, height, width)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("matrix", "name"), [(1, "709"), (6, "170m"), (9, "2020_ncl"), (7, "smpte240m"), (4, "fcc")])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
def test_an_independent_converter_agrees_within_a_code(pix_fmt: str, matrix: int, name: str, full: bool):
    """Smooth waves through zscale and through us, to RGB."""
    clip = Clip(frames=1, width=192, height=160, pix_fmt=pix_fmt)
    planes = waves(clip)[0]
    layout = layout_of(pix_fmt)
    out = "gbrp10le" if layout.depth == 10 else "gbrp"
    options = f"matrixin={name}:rangein={'full' if full else 'limited'}:chromalin=left:matrix=gbr:range=full"
    theirs = zscale(planes, pix_fmt, (192, 160), options, out)[[2, 0, 1]].astype(np.float32)
    spec = ColorSpec(matrix, full)
    ours = planes_to_rgb([torch.from_numpy(plane) for plane in planes], layout, spec)
    peak = (1 << layout.depth) - 1
    codes = ours.mul(peak).round().clamp(0, peak).numpy()
    assert np.abs(codes - theirs)[:, 4:-4, 4:-4].max() <= 1  # Borders are extended differently.


@pytest.mark.parametrize(
    ("path", "matrix", "full"),
    [
        (HARD / "mp4_bt601.mov", 6, False),
        (SHARED / "clips" / "01_dog.mp4", 1, False),
        (SHARED / "clips" / "karma.mp4", 1, True),
        (HARD / "vp9_bear-vp9-odd-dimensions.webm", 6, False),
        (HARD / "mp4_hdr10-av1.mp4", 9, False),
    ],
)
def test_real_footage_returns_exactly(path: Path, matrix: int, full: bool):
    """BT.601 SD, BT.709 HD, full range, an odd size, HDR10."""
    info = probe(shared(path))
    assert (info.color.matrix, info.color.full_range) == (matrix, full)
    with VideoReader(path, max_frames=2) as frames:
        for frame in frames:
            back = rgb_to_planes(planes_to_rgb(frame.planes, frame.layout, info.color), frame.layout, info.color)
            assert all(torch.equal(*pair) for pair in zip(back, frame.planes, strict=True))


def test_half_precision_output_is_computed_in_full():
    """The dtype is that of the result, not of the arithmetic."""
    layout, spec = layout_of("yuv420p"), ColorSpec(1, False)
    planes = random_planes(layout, 16, 16)
    half = planes_to_rgb(planes, layout, spec, dtype=torch.float16)
    assert half.dtype == torch.float16
    assert torch.equal(half, planes_to_rgb(planes, layout, spec).half())


@pytest.mark.parametrize(
    ("size", "matrix", "primaries", "transfer"),
    [
        ((720, 480), 6, 6, 6),
        ((720, 576), 5, 5, 6),
        ((1280, 720), 1, 1, 1),
        ((540, 960), 1, 1, 1),
        ((320, 180), 6, 6, 6),
    ],
)
def test_untagged_video_is_what_players_assume(size: tuple[int, int], matrix: int, primaries: int, transfer: int):
    """SD is BT.601 and HD BT.709, written out because the restored size would suggest something else."""
    spec = resolve(layout_of("yuv420p"), *size)
    assert (spec.matrix, spec.primaries, spec.transfer) == (matrix, primaries, transfer)
    assert spec.assumed and not spec.full_range and "assumed" in spec.describe()


def test_tags_are_believed():
    """A tagged SD file in BT.709 stays that, and only what is tagged is written."""
    spec = resolve(layout_of("yuv420p"), 640, 480, matrix=1, color_range=2, chroma_location="topleft")
    assert spec == ColorSpec(1, True, "topleft")


def test_the_name_of_a_format_can_say_its_range():
    """The old yuvj formats and RGB are full range unless tagged."""
    assert resolve(layout_of("yuvj420p"), 640, 480).full_range
    assert resolve(layout_of("rgb24"), 640, 480) == ColorSpec(0, True)
    assert not resolve(layout_of("gray"), 640, 480).full_range


def test_rgb_that_becomes_yuv_gets_a_matrix():
    """BT.709 limited; YCbCr that becomes RGB loses its matrix."""
    rgb, yuv = ColorSpec(0, True), ColorSpec(6, False)
    assert (rgb.for_layout(layout_of("yuv420p")).matrix, rgb.for_layout(layout_of("yuv420p")).full_range) == (1, False)
    assert yuv.for_layout(layout_of("gbrp")) == replace(yuv, matrix=0, full_range=True)
    assert yuv.for_layout(layout_of("yuv444p10le")) is yuv


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("yuv420p", "yuv420p"), ("uyvy422", "yuv422p"), ("yuv411p", "yuv444p"), ("y210le", "yuv422p10le"),
        ("pal8", "gbrap"), ("bgr0", "gbrp"), ("rgb565le", "gbrp"), ("x2rgb10le", "gbrp10le"), ("monow", "gray"),
        ("ya8", "ya8"), ("yaf16le", "gbrapf32le"), ("yuv420p10be", "yuv420p10le"), ("gbrpf32le", "gbrpf32le"),
        ("rgb48be", "rgb48be"), ("xyz12le", "gbrp12le"),
    ],
)  # fmt: skip
def test_each_format_has_a_native_one_that_loses_nothing(name: str, nearest: str):
    """Same depth or deeper, same chroma or finer."""
    assert nearest_layout(name).name == nearest


def test_every_format_of_this_ffmpeg_is_known_or_refused():
    """No format makes the parser fail in another way than by its error."""
    for codec in sorted(av.codecs_available):
        try:
            formats = av.Codec(codec, "r").video_formats or []
        except ValueError:
            continue
        for fmt in formats:
            try:
                layout = nearest_layout(fmt.name)
            except InputError:
                continue
            depth = max(part.bits for part in fmt.components)
            assert layout.depth >= min(depth, 16)
