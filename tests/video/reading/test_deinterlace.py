"""Interlaced pictures noticed and, on request, made progressive."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import pytest

from edvr_cli.errors import InputError
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import as_source, probe
from tests.support.clips import HARD, make_clip, shared

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same moving picture at 50 fields a second: flagged as such in MPEG-2, and without a flag in H.264."""
    folder = tmp_path_factory.mktemp("fields")
    base = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x120:d=0.4:r=50"]
    mpeg2 = [
        "-vf",
        "tinterlace=interleave_top,setfield=tff",
        "-c:v",
        "mpeg2video",
        "-flags",
        "+ilme+ildct",
        "-q:v",
        "2",
    ]
    plain = ["-vf", "tinterlace=interleave_top,setfield=prog", "-c:v", "libx264", "-qp", "0"]
    paths = {"flagged": folder / "flagged.ts", "unflagged": folder / "unflagged.mkv"}
    subprocess.run([*base, *mpeg2, str(paths["flagged"])], check=True)
    subprocess.run([*base, *plain, str(paths["unflagged"])], check=True)
    return paths


@pytest.mark.parametrize("name", ["flagged", "unflagged"])
def test_interlacing_is_noticed(fields: dict[str, Path], name: str):
    """By its flag, or by its combs; with the way out."""
    info = probe(fields[name])
    assert info.interlaced
    assert any("unless it is deinterlaced" in note for note in info.notes)


@pytest.mark.parametrize("name", ["mp4_bt601.mov", "ts_bbb_2500ms.ts", "mp4_sample_shorter_audio.mp4"])
def test_progressive_video_is_not_taken_for_interlaced(name: str):
    """Footage, and drawings with sharp lines."""
    assert not probe(shared(HARD / name)).interlaced


@pytest.mark.parametrize("name", ["flagged", "unflagged"])
@pytest.mark.parametrize(("rate", "times"), [("frame", 1), ("field", 2)])
def test_deinterlaced_frames_follow_the_clock(fields: dict[str, Path], name: str, rate: str, times: int):
    """One frame a picture at its time, or two evenly; no combs are left."""
    with av.open(str(fields[name])) as source:
        expected = [frame.pts * frame.time_base for frame in source.decode(video=0)]
    if times == 2:
        expected = [time + part for time in expected for part in (0, Fraction(1, 50))]
    source = as_source(fields[name], InputOptions(deinterlace=rate))
    with VideoReader(source) as reader:
        frames = list(reader)
        info = reader.info
    found = [frame.pts * info.time_base for frame in frames]
    assert len(found) == len(expected)
    assert all(abs(a - b) <= Fraction(1, 1000) for a, b in zip(found, expected, strict=True))
    assert (info.interlaced, info.average_rate) == (False, 25 * times)
    assert frames[0].layout == info.layout


def test_progressive_video_without_a_request_is_left_alone(tmp_path: Path):
    """Sample for sample."""
    clip = make_clip(tmp_path / "in.mkv", frames=3)
    assert not probe(clip).notes


def test_a_device_that_is_not_there_is_said_and_done_without(fields: dict[str, Path]):
    """Same frames, one warning; a name that does not exist lists those that do."""
    told: list[str] = []
    source = as_source(fields["unflagged"], InputOptions(hwaccel="cuda"))
    with VideoReader(source, on_warning=told.append) as reader:
        frames = list(reader)
    assert len(frames) == 10
    if told:
        assert "the CPU decodes it" in told[0]
    with (
        pytest.raises(InputError, match="cuda"),
        VideoReader(as_source(fields["unflagged"], InputOptions(hwaccel="gpu"))) as reader,
    ):
        list(reader)


@pytest.mark.parametrize("dither", ["bayer", "sierra2_4a", "floyd_steinberg"])
def test_dithering_is_not_taken_for_interlacing(tmp_path: Path, dither: str):
    """Patterns of single pixels, which move with the picture; nor is an opaque animation taken for transparent."""
    palette = f"split[a][b];[a]palettegen=max_colors=16[p];[b][p]paletteuse=dither={dither}"
    source = tmp_path / "in.gif"
    shot = ["-f", "lavfi", "-i", "testsrc2=s=160x120:d=0.5:r=10", "-filter_complex", palette]
    subprocess.run([FFMPEG, "-v", "error", *shot, str(source)], check=True)
    info = probe(source)
    assert not info.interlaced
    assert info.notes == ()
    assert info.opaque


@pytest.mark.parametrize("picture", ["testsrc2", "sierpinski", "rgbtestsrc"])
def test_a_test_pattern_is_not_taken_for_interlaced(tmp_path: Path, picture: str):
    """In full HD, with lines of single pixels."""
    source = tmp_path / "in.mp4"
    shot = ["-f", "lavfi", "-i", f"{picture}=s=1920x1080:r=25", "-t", "0.2", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([FFMPEG, "-v", "error", *shot, "-pix_fmt", "yuv420p", str(source)], check=True)
    assert not probe(source).interlaced


@pytest.mark.parametrize("order", ["top", "bottom"])
@pytest.mark.parametrize("picture", ["testsrc2=s=640x480:r=50"])
def test_both_orders_of_fields_are_noticed(tmp_path: Path, picture: str, order: str):
    """Without a flag."""
    source = tmp_path / "in.mkv"
    shot = ["-f", "lavfi", "-i", picture, "-t", "0.4", "-vf", f"tinterlace=interleave_{order},setfield=prog"]
    subprocess.run([FFMPEG, "-v", "error", *shot, "-c:v", "libx264", "-qp", "2", str(source)], check=True)
    assert probe(source).interlaced
