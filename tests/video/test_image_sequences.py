"""Numbered pictures in and out: every sample, every number, no file that was not asked for."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from edvr_cli.errors import EdvrError, InputError, OutputError
from edvr_cli.events import Notice
from edvr_cli.video.image_sequences import output_names
from edvr_cli.video.pixels.color import alpha_plane, planes_to_rgb
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import as_source, probe
from edvr_cli.video.writing.options import Encoding
from tests.jobs.test_pipeline import LEAST
from tests.support.clips import make_clip
from tests.support.errors import raises
from tests.support.networks import Identity
from tests.support.run import restore

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def pictures(folder: Path, pix_fmt: str = "rgb24", suffix: str = ".png", first: int = 7, count: int = 4) -> Path:
    """A folder of noise that FFmpeg's command wrote."""
    folder.mkdir()
    source = f"nullsrc=s=20x14:d=1:r=25,format={pix_fmt},geq=r='random(1)*255':g='random(2)*255':b='random(3)*255'"
    if pix_fmt in ("gbrpf32le", "gray", "rgb48be"):
        source = f"testsrc2=s=20x14:d=1:r=25,format={pix_fmt}"
    command = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", str(count), "-pix_fmt", pix_fmt]
    subprocess.run([*command, "-start_number", str(first), str(folder / f"shot_%04d{suffix}")], check=True)
    return folder


def samples(path: Path, pix_fmt: str) -> np.ndarray:
    """A picture or video as FFmpeg's command decodes it."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", pix_fmt, "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.uint8)


def enlarged(path: Path, pix_fmt: str, count: int, dtype: str) -> np.ndarray:
    """A 20×14 picture of ``count`` channels with each pixel repeated 4 × 4 times, as the identity network makes it."""
    grid = samples(path, pix_fmt).view(dtype).reshape(14, 20, count)
    return grid.repeat(4, 0).repeat(4, 1)


@pytest.mark.parametrize(
    ("pix_fmt", "suffix", "channels", "dtype"),
    [
        ("rgb24", ".png", 3, "u1"),
        ("rgb48be", ".png", 3, ">u2"),
        ("gray", ".png", 1, "u1"),
        ("rgb24", ".tiff", 3, "u1"),
    ],
)
def test_pictures_become_pictures_exactly(tmp_path: Path, pix_fmt: str, suffix: str, channels: int, dtype: str):
    """Of the same depth, with the same names, in a folder of their own."""
    source = pictures(tmp_path / "in", pix_fmt, suffix)
    finished = restore(source, tmp_path / "out", model=Identity(LEAST))
    names = [f"shot_{number:04}{suffix}" for number in range(7, 11)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert finished.frames == 4
    for name in names:
        found = samples(tmp_path / "out" / name, pix_fmt).view(dtype).reshape(56, 80, channels)
        assert np.array_equal(found, enlarged(source / name, pix_fmt, channels, dtype))


@pytest.mark.parametrize(("pix_fmt", "dtype"), [("rgba", "u1"), ("rgba64be", ">u2")])
def test_transparent_pictures_stay_transparent(tmp_path: Path, pix_fmt: str, dtype: str):
    """PNG in, PNG out, at the same depth: colors as the network makes them, the alpha ramp enlarged smoothly."""
    source = tmp_path / "in"
    source.mkdir()
    ramp = "geq=r='X*12':g='Y*17':b='40':a='X*12'"
    command = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", f"nullsrc=s=20x14:d=1:r=25,format=rgba,{ramp}"]
    subprocess.run([*command, "-frames:v", "1", "-pix_fmt", pix_fmt, str(source / "shot.png")], check=True)
    told: list[str] = []
    restore(
        source,
        tmp_path / "out",
        model=Identity(LEAST),
        on_event=lambda event: told.append(event.message) if isinstance(event, Notice) else None,
    )
    result = tmp_path / "out" / "shot.png"
    assert probe(result).pix_fmt == pix_fmt
    found = samples(result, pix_fmt).view(dtype).reshape(56, 80, 4).astype(int)
    assert np.array_equal(found[..., :3], enlarged(source / "shot.png", pix_fmt, 4, dtype)[..., :3])
    peak = np.iinfo(dtype).max
    middle = (np.arange(80) + 0.5) / 4 - 0.5  # where output pixels lie among the source's
    assert np.abs(found[28, 8:-8, 3] / peak * 255 - middle[8:-8] * 12).max() <= 1
    assert not any("Transparency" in message for message in told)


def test_a_picture_of_another_size_is_named(tmp_path: Path):
    """It is there by mistake: nothing is scaled."""
    source = pictures(tmp_path / "in", count=2)
    pictures(tmp_path / "other", count=1, first=9)
    wide = ["-i", str(tmp_path / "other" / "shot_0009.png"), "-vf", "scale=30:14", str(source / "shot_0009.png")]
    subprocess.run([FFMPEG, "-v", "error", *wide], check=True)
    with pytest.raises(InputError, match=r"shot_0009\.png is 30x14, the first picture 20x14"):
        restore(source, tmp_path / "out", model=Identity(LEAST))
    assert not (tmp_path / "out").exists()


def test_floating_pictures_keep_linear_light(tmp_path: Path):
    """EXR goes through the network after sRGB's curve, and comes back as light."""
    source = pictures(tmp_path / "in", "gbrpf32le", ".exr", count=1)
    restore(source, tmp_path / "out", model=Identity(LEAST))
    assert probe(source).color.transfer == 8
    before = samples(source / "shot_0007.exr", "gbrpf32le").view("<f4").reshape(3, 14, 20)
    after = samples(tmp_path / "out" / "shot_0007.exr", "gbrpf32le").view("<f4").reshape(3, 56, 80)
    assert np.allclose(after, before.repeat(4, 1).repeat(4, 2), atol=1e-5)


def test_numbers_of_a_pattern_are_kept(tmp_path: Path):
    """Also those of a part."""
    source = pictures(tmp_path / "in")
    pattern = tmp_path / "out" / "%03d.png"
    part = {"start": Fraction(1, 25), "max_frames": 2}
    restore(source / "shot_%04d.png", pattern, model=Identity(LEAST), **part)
    assert sorted(path.name for path in pattern.parent.iterdir()) == ["008.png", "009.png"]


def test_a_video_becomes_pictures_and_pictures_a_video(tmp_path: Path):
    """They count from 1 at the given frame rate, and a notice says what is lost."""
    clip = make_clip(tmp_path / "in.mkv", width=20, height=14, frames=3, audio=("flac",))
    told: list[str] = []
    restore(
        clip,
        tmp_path / "out" / "%02d.png",
        model=Identity(LEAST),
        on_event=lambda event: told.append(event.message) if isinstance(event, Notice) else None,
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["01.png", "02.png", "03.png"]
    assert any("flac" in message and "dropped" in message for message in told)
    restore(tmp_path / "out", tmp_path / "out.mp4", model=Identity(LEAST), input=InputOptions(rate=Fraction(24)))
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert (video.streams.video[0].frames, video.streams.video[0].average_rate) == (3, 24)


def test_the_assumed_frame_rate_is_said(tmp_path: Path):
    """Where it matters, once."""
    info = probe(pictures(tmp_path / "in"))
    assert (info.average_rate, info.frame_count, info.time_base) == (25, 4, Fraction(1, 25))
    assert "25 per second are assumed" in info.notes[0]


def test_missing_numbers_are_said_and_names_kept(tmp_path: Path):
    """No picture is made up."""
    source = pictures(tmp_path / "in")
    (source / "shot_0008.png").unlink()
    assert any("1 numbers" in note for note in probe(source).notes)
    restore(source, tmp_path / "out", model=Identity(LEAST))
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        f"shot_{number:04}.png" for number in (7, 9, 10)
    ]


def test_pictures_are_read_in_the_order_of_their_numbers(tmp_path: Path):
    """2 comes before 10, whatever the digits."""
    source = pictures(tmp_path / "in", first=1, count=2)
    (source / "shot_0001.png").rename(source / "b10.png")
    (source / "shot_0002.png").rename(source / "b2.png")
    assert [path.name for path in as_source(source).pictures] == ["b2.png", "b10.png"]


def test_existing_pictures_are_not_overwritten_unasked(tmp_path: Path):
    """Others in the folder stay in any case."""
    source = pictures(tmp_path / "in")
    out = tmp_path / "out"
    out.mkdir()
    (out / "0008.png").write_text("old")
    (out / "notes.txt").write_text("mine")
    with raises(OutputError, "exist", hint="overwrite"):
        restore(source, out / "%04d.png", model=Identity(LEAST))
    restore(source, out / "%04d.png", model=Identity(LEAST), overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == [*(f"{n:04}.png" for n in range(7, 11)), "notes.txt"]
    with pytest.raises(OutputError, match="input itself"):
        restore(source, source, model=Identity(LEAST), overwrite=True)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("in", "out.bmp", "not written"),
        ("in", "one.png", "one picture"),
        ("in/%06d.png", "out", "no pictures match"),
        ("empty", "out", "without pictures"),
        ("mixed", "out", "several kinds"),
        ("in", "nowhere/deep/%d.png", "does not exist"),
    ],
)
def test_what_cannot_be_done_is_known_before(tmp_path: Path, source: str, target: str, message: str):
    """In a sentence, with nothing written."""
    pictures(tmp_path / "in")
    (tmp_path / "empty").mkdir()
    pictures(tmp_path / "mixed")
    (tmp_path / "mixed" / "a.bmp").touch()
    with pytest.raises(EdvrError, match=message):
        restore(tmp_path / source, tmp_path / target, model=Identity(LEAST))
    assert not (tmp_path / "out").exists()


def test_a_broken_picture_is_named(tmp_path: Path):
    """The others before it were fine, the output is not there."""
    source = pictures(tmp_path / "in")
    (source / "shot_0009.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(InputError, match=r"shot_0009\.png"):
        restore(source, tmp_path / "out", model=Identity(LEAST))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_single_picture_is_a_video_of_one_frame(tmp_path: Path):
    """In and out, under its own name."""
    source = pictures(tmp_path / "in", count=1) / "shot_0007.png"
    restore(source, tmp_path / "large.png", model=Identity(LEAST))
    assert np.array_equal(samples(tmp_path / "large.png", "rgb24"), enlarged(source, "rgb24", 3, "u1").ravel())


@pytest.mark.parametrize("suffix", [".gif", ".apng"])
def test_animations_are_read_with_their_times(tmp_path: Path, suffix: str):
    """Every frame once."""
    path = tmp_path / f"in{suffix}"
    command = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=32x24:d=0.5:r=10", str(path)]
    subprocess.run(command, check=True)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [round(frame.pts * frame.time_base * 10) for frame in frames] == [0, 1, 2, 3, 4]
    rgb = planes_to_rgb(frames[0].planes, frames[0].layout, reader.info.color)
    assert rgb.shape == (3, 24, 32)
    assert float(torch.std(rgb)) > 0.1


def test_animated_webp_is_read_with_its_times(tmp_path: Path):
    """By Pillow: every frame once, as long as it is shown, transparent where it is."""
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "in.webp"
    colors = [(200, 30, 40, 255), (20, 180, 60, 128), (30, 40, 220, 255)]
    drawn = [image.new("RGBA", (32, 24), color) for color in colors]
    drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=[100, 40, 200], lossless=True, exact=True)
    result = tmp_path / "out.mkv"
    restore(path, result, model=Identity(LEAST), encoding=Encoding(codec="ffv1"))
    with VideoReader(result) as reader:
        frames = list(reader)
    assert [frame.pts * frame.time_base for frame in frames] == [0, Fraction(1, 10), Fraction(14, 100)]
    assert reader.info.duration == pytest.approx(0.34)
    for frame, color in zip(frames, colors, strict=True):
        rgb = planes_to_rgb(frame.planes, frame.layout, reader.info.color)
        alpha = alpha_plane(frame.planes, frame.layout)
        assert alpha is not None
        assert [*rgb.mean(dim=(1, 2)) * 255, alpha.mean() * 255] == pytest.approx(color, abs=2)


def test_animated_webp_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pillow, where it is missing; a broken file is named."""
    path = tmp_path / "in.webp"
    path.write_bytes(b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(20))
    with pytest.raises(InputError, match=r"in\.webp is not a readable animation"):
        probe(path)
    monkeypatch.setattr("edvr_cli.video.reading.webp.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs Pillow: pip install 'edvr-cli\[webp\]'"):
        probe(path)


def test_names_of_outputs():
    """What a target stands for, without a file in sight."""
    assert output_names(Path("a/b.mp4")) is None
    names = output_names(Path("a/f%05d.tif"))
    assert names is not None
    assert (names.folder, names.name(0), names.name(9)) == (Path("a"), "f00001.tif", "f00010.tif")
