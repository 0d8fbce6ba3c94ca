"""Frames through pipes, as they compose with FFmpeg's command: real processes, real pipes."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import click
import imageio_ffmpeg
import numpy as np
import pytest

import edvr_cli
from edvr_cli.cli import edvr
from edvr_cli.errors import InputError, OutputError
from edvr_cli.events import Notice
from edvr_cli.models.checkpoint import save_model
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.options import InputOptions, RawFormat
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import as_source, probe
from edvr_cli.video.writing.encoders import plan_encoder
from edvr_cli.video.writing.options import Encoding
from edvr_cli.video.writing.y4m import PipeWriter, y4m_header
from tests.jobs.test_pipeline import LEAST
from tests.support.clips import make_clip, pictures
from tests.support.networks import Identity, random_network
from tests.support.run import restore

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
TINY = {"features": 8, "groups": 2, "tail": 4, "tsa": False, "levels": 1, "cascade": False}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few lossless frames, with sound."""
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", width=32, height=24, frames=5, audio=("flac",))


@pytest.fixture
def piped(tmp_path: Path) -> Callable[[list[str]], Path]:
    """A named pipe that FFmpeg's command writes the result of some arguments into."""
    started = []

    def start(arguments: list[str]) -> Path:
        path = tmp_path / f"pipe{len(started)}"
        os.mkfifo(path)
        started.append(subprocess.Popen([FFMPEG, "-v", "error", "-y", *arguments, str(path)]))
        return path

    yield start
    for process in started:
        process.terminate()
        process.wait()


def test_ffmpeg_to_edvr_to_ffmpeg(tmp_path: Path, clip: Path):
    """All three at once, through shell pipes: every frame arrives, and nothing but frames is on standard output."""
    model = tmp_path / "sr.safetensors"
    save_model(random_network(**TINY), model)
    upscale = f'"{sys.executable}" -m edvr_cli upscale --model "{model}" --scale 2 - -'
    line = f'"{FFMPEG}" -v error -i "{clip}" -f yuv4mpegpipe - | {upscale} | "{FFMPEG}" -v error -i - -c:v ffv1 out.mkv'
    environment = {**os.environ, "PYTHONPATH": str(Path(edvr_cli.__file__).parents[1])}
    shell = ["bash", "-o", "pipefail", "-c", line]
    run = subprocess.run(shell, check=False, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    with av.open(str(tmp_path / "out.mkv")) as video:
        frames = list(video.decode(video=0))
        assert (len(frames), frames[0].width, frames[0].height) == (5, 64, 48)
        assert video.streams.video[0].average_rate == 25


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p10le", "gray"])
def test_y4m_is_read_exactly(clip: Path, piped: Callable[[list[str]], Path], pix_fmt: str):
    """The first frame, which the description took, too."""
    path = piped(["-i", str(clip), "-pix_fmt", pix_fmt, "-strict", "-1", "-f", "yuv4mpegpipe"])
    with VideoReader(path) as reader:
        frames = list(reader)
    assert (reader.info.pix_fmt, reader.info.average_rate) == (pix_fmt, 25)
    assert [frame.pts for frame in frames] == [0, 1, 2, 3, 4]
    if pix_fmt == "yuv420p":
        for frame, planes in zip(frames, pictures(clip), strict=True):
            assert all(np.array_equal(a.numpy(), b) for a, b in zip(frame.planes, planes, strict=True))


def test_raw_samples_are_read_as_they_are_said_to_be(clip: Path, piped: Callable[[list[str]], Path]):
    """Size, format and rate come from the user."""
    path = piped(["-i", str(clip), "-f", "rawvideo", "-pix_fmt", "rgb24"])
    source = as_source(path, InputOptions(rate=Fraction(10), raw=RawFormat(32, 24, "rgb24")))
    with VideoReader(source) as reader:
        frames = list(reader)
    assert (len(frames), reader.info.average_rate, reader.info.pix_fmt) == (5, 10, "rgb24")


def test_what_a_pipe_s_other_streams_become_is_said(tmp_path: Path, clip: Path, piped: Callable[[list[str]], Path]):
    """They went by: dropped, with the way out."""
    told: list[str] = []
    source = piped(["-i", str(clip), "-c", "copy", "-f", "matroska"])
    finished = restore(
        source,
        tmp_path / "out.mkv",
        model=Identity(LEAST),
        encoding=Encoding(preset="ultrafast"),
        on_event=lambda event: told.append(event.message) if isinstance(event, Notice) else None,
    )
    assert finished.frames == 5
    assert any("flac" in message and "save the input" in message for message in told)


def test_a_pipe_is_read_once(clip: Path, piped: Callable[[list[str]], Path]):
    """The second time is an error, not an empty video."""
    reader = VideoReader(piped(["-i", str(clip), "-f", "yuv4mpegpipe"]))
    assert len(list(reader)) == 5
    with pytest.raises(InputError, match="only once"):
        list(reader)


def test_an_empty_pipe_is_an_error(tmp_path: Path):
    """For instance when the program before it failed."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = subprocess.Popen(["sh", "-c", f'> "{path}"'])
    with pytest.raises(InputError):
        probe(path)
    writer.wait()


@pytest.mark.parametrize(
    ("pix_fmt", "tags", "expected"),
    [
        ("yuv420p", {}, "C420mpeg2 XCOLORRANGE=LIMITED"),
        ("yuv422p", {"color_range": 2}, "C422 XCOLORRANGE=FULL"),
        ("yuv444p10le", {}, "C444p10 XYSCSS=444P10 XCOLORRANGE=LIMITED"),
        ("gray", {}, "Cmono XCOLORRANGE=LIMITED"),
    ],
)
def test_the_header_says_what_ffmpeg_reads(tmp_path: Path, pix_fmt: str, tags: dict, expected: str):
    """Chroma, depth, siting, range; read back from the stream."""
    info = probe(make_clip(tmp_path / "in.mkv", codec="ffv1", options={}, pix_fmt=pix_fmt, frames=1, tags=tags))
    plan = plan_encoder(Encoding(codec="rawvideo"), info, width=64, height=48)
    assert y4m_header(plan) == f"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 {expected}"
    stream = io.BytesIO()
    with (
        VideoReader(info.path, info=info) as reader,
        PipeWriter(plan, info.time_base, header=True, stream=stream) as pipe,
    ):
        for frame in reader:
            pipe.write(frame.index, frame.planes, frame.pts)
    stream.seek(0)
    with av.open(stream, format="yuv4mpegpipe") as written:
        again = next(written.decode(video=0))
    assert again.format.name == pix_fmt
    assert again.color_range == (2 if "FULL" in expected else 1)


def test_uneven_times_are_said(tmp_path: Path):
    """A pipe has one rate; its frames are still the source's, one for one."""
    info = probe(make_clip(tmp_path / "in.mkv", frames=3, pts=(0, 1, 20)))
    plan = plan_encoder(Encoding(codec="rawvideo"), info, width=64, height=48)
    with (
        VideoReader(info.path, info=info) as reader,
        PipeWriter(plan, info.time_base, header=True, stream=io.BytesIO()) as pipe,
    ):
        for frame in reader:
            pipe.write(frame.index, frame.planes, frame.pts)
    assert pipe.count == 3
    assert "vary" in pipe.notes[0]


def test_a_reader_that_goes_is_an_error(clip: Path):
    """As when a player is closed."""
    info: VideoInfo = probe(clip)
    plan = plan_encoder(Encoding(codec="rawvideo"), replace(info), width=32, height=24)
    receiver, sender = os.pipe()
    os.close(receiver)
    frame = next(iter(VideoReader(clip)))
    with pytest.raises(OutputError, match="closed"), os.fdopen(sender, "wb", buffering=0) as stream:
        pipe = PipeWriter(plan, info.time_base, header=True, stream=stream)
        pipe.write(0, frame.planes, 0)


def test_json_and_video_do_not_share_standard_output(clip: Path):
    """Neither would be of use."""
    with pytest.raises(click.UsageError, match="standard output"):
        edvr.main(["upscale", str(clip), "-", "--json"], standalone_mode=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": Encoding(codec="libx265")}, "Standard output is not written by libx265"),
        ({"encoding": Encoding(pix_fmt="rgb24")}, "y4m does not hold rgb24"),
        ({"encoding": Encoding(pix_fmt="nonsense"), "pipe_format": "raw"}, "does not take pixel format"),
    ],
)
def test_what_a_pipe_cannot_take_is_known_before(clip: Path, options: dict, message: str):
    """Nothing is written to it."""
    with pytest.raises(OutputError, match=message):
        restore(clip, "-", model=Identity(LEAST), **options)
