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
