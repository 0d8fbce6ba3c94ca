"""What people really have, through the network and back: ten kinds of files, read back by FFmpeg's own command."""

import re
import subprocess
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from edvr_cli.errors import OutputError
from edvr_cli.events import Notice
from edvr_cli.video.muxing.tags import advanced_timecode
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.reading.sources import probe
from edvr_cli.video.writing.options import Encoding
from tests.jobs.test_pipeline import LEAST
from tests.support.clips import frame_times, make_clip, packets
from tests.support.errors import raises
from tests.support.networks import Identity
from tests.support.run import restore as run

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
PICTURE = "testsrc2=s=32x24:d=0.24:r=25"


# What pictures carry, as units of H.264 or HEVC: one pair of closed captions, HDR10+ for one window in which all is
# zero, and a Dolby Vision unit that says nothing.
_T35 = b"\x04\x0e", b"\x04\x16"  # a message by a country's rules, and its length
CAPTIONS = b"\x06" + _T35[0] + b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x80\x80\xff\x80"
HDR10_PLUS = b"\x4e\x01" + _T35[1] + b"\xb5\x00\x3c\x00\x01\x04\x01\x40" + bytes(14) + b"\x80"
DOLBY_VISION = b"\x7c\x01\x19" + bytes(range(1, 40))


def with_units(stream: bytes, codec: str, before: bytes = b"", after: bytes = b"") -> bytes:
    """A raw stream with a unit before or after each picture."""
    written = b""
    for unit in re.split(rb"\x00{2,3}\x01", stream)[1:]:
        kind = unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63
        picture = kind in (1, 5) if codec == "h264" else kind < 32
        for part in (before, unit, after) if picture else (unit,):
            # Inside a unit two zeros are followed by a 3, lest they look like the beginning of the next.
            escaped = part if part is unit else re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", part)
            written += b"\x00\x00\x00\x01" + escaped if part else b""
    return written


@pytest.fixture
def ffmpeg(tmp_path: Path) -> Callable[..., Path]:
    """FFmpeg's command in the test's folder; returns its last argument as a path."""

    def run(*arguments: str) -> Path:
        subprocess.run([FFMPEG, "-v", "error", "-y", *arguments], check=True, cwd=tmp_path)
        return tmp_path / arguments[-1]

    return run


def described(path: Path) -> str:
    """What FFmpeg's command says of a file."""
    return subprocess.run([FFMPEG, "-hide_banner", "-i", str(path)], capture_output=True, text=True, check=False).stderr


def samples(path: Path, pix_fmt: str, *decoder: str) -> np.ndarray:
    """The first frame as FFmpeg's command decodes it."""
    command = [
        FFMPEG,
        "-v",
        "error",
        *decoder,
        "-i",
        str(path),
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-pix_fmt",
        pix_fmt,
        "-",
    ]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)


def restore(source: Path, target: str, **options: object) -> tuple[Path, list[str]]:
    """The result, the source, and the notices."""
    told: list[str] = []
    path = source.with_name(target)
    given = {"encoding": Encoding(preset="ultrafast"), **options}
    run(
        source,
        path,
        model=Identity(LEAST),
        on_event=lambda event: told.append(event.message) if isinstance(event, Notice) else None,
        **given,
    )
    return path, told


def test_prores_422_in_ten_bits(ffmpeg: Callable[..., Path]):
    """Stays ProRes HQ in 4:2:2 at 10 bits where asked for, with its PCM sound; H.264 keeps the depth, too."""
    sound = ["-f", "lavfi", "-i", "sine=d=0.24:r=48000"]
    codecs = ["-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s24le"]
    source = ffmpeg("-f", "lavfi", "-i", PICTURE, *sound, *codecs, "in.mov")
    same, told = restore(source, "same.mov", encoding=Encoding(codec="prores_ks"))
    assert "prores (HQ) (apch" in described(same)
    assert "yuv422p10le" in described(same)
    assert packets(same) == packets(source)
    assert told == []
    plain, _ = restore(source, "plain.mov")
    assert "yuv420p10le" in described(plain)


def test_hdr10_with_mastering_data(ffmpeg: Callable[..., Path]):
    """PQ, BT.2020, 10 bits, mastering display and light levels come out as they went in."""
    master = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    shot = "testsrc2=s=64x64:d=0.12:r=25,setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
    x265 = f"log-level=error:master-display={master}:max-cll=1000,400:hdr10=1"
    source = ffmpeg(
        "-f", "lavfi", "-i", shot, "-c:v", "libx265", "-pix_fmt", "yuv420p10le",
        "-x265-params", x265, "in.mp4",
    )  # fmt: skip
    result, _ = restore(source, "out.mp4", encoding=Encoding(codec="libx265", preset="ultrafast"))
    before, after = probe(source), probe(result)
    assert (after.hdr, after.depth) == (before.hdr, 10)
    assert after.hdr.content_light == (1000, 400)
    assert (after.color.matrix, after.color.primaries, after.color.transfer) == (9, 9, 16)


def test_interlaced_mpeg2_is_announced_or_removed(ffmpeg: Callable[..., Path]):
    """A broadcast: kept and said, or 50 progressive frames a second."""
    fields = "testsrc2=s=64x48:d=0.4:r=50,tinterlace=interleave_top,setfield=tff"
    source = ffmpeg("-f", "lavfi", "-i", fields, "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-q:v", "2", "in.ts")
    kept, told = restore(source, "kept.mkv")
    assert any("interlaced" in message for message in told)
    assert len(frame_times(kept)) == 10
    smooth, told = restore(source, "smooth.mp4", input=InputOptions(deinterlace="field"))
    times = frame_times(smooth)
    assert len(times) == 20
    assert {after - before for before, after in pairwise(times)} == {Fraction(1, 50)}
    assert not any("interlaced" in message for message in told)


def test_two_frame_rates_in_one_file(tmp_path: Path):
    """A screen recording that goes from 25 to 50 frames a second: every time is kept, to the tick."""
    pts = [*range(0, 12 * 600, 600), *range(12 * 600, 12 * 600 + 12 * 300, 300)]
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=24, pts=pts, time_base=Fraction(1, 15000))
    result, _ = restore(source, "out.mp4")
    assert frame_times(result) == frame_times(source)


def test_matroska_with_fonts_languages_and_styled_subtitles(ffmpeg: Callable[..., Path], tmp_path: Path):
    """Two fonts byte for byte, three sound tracks with their languages, ASS with its styles."""
    for name in ("a.ttf", "b.otf"):
        (tmp_path / name).write_bytes(name.encode() * 50)
    style = "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Fancy\n\n"
    lines = "[Events]\nFormat: Layer, Start, End, Style, Text\nDialogue: 0,0:00:00.05,0:00:00.20,Default,{\\b1}Hello\n"
    (tmp_path / "in.ass").write_text(style + lines)
    sounds = [part for tone in (300, 400, 500) for part in ("-f", "lavfi", "-i", f"sine=f={tone}:d=0.24")]
    maps = [part for number in (0, 1, 2, 3, 4) for part in ("-map", str(number))]
    languages = [
        part
        for number, language in enumerate(("eng", "deu", "jpn"))
        for part in (f"-metadata:s:a:{number}", f"language={language}")
    ]
    fonts = ["-attach", "a.ttf", "-metadata:s:t:0", "mimetype=font/ttf"]
    fonts += ["-attach", "b.otf", "-metadata:s:t:1", "mimetype=font/otf"]
    source = ffmpeg(
        "-f", "lavfi", "-i", PICTURE, *sounds, "-i", "in.ass", *maps, *languages, *fonts, "-c:a", "flac", "-c:s", "ass",
        "in.mkv",
    )  # fmt: skip
    result, told = restore(source, "out.mkv")
    with av.open(str(source)) as before, av.open(str(result)) as after:
        assert [stream.language for stream in after.streams.audio] == ["eng", "deu", "jpn"]
        fonts_before = [(item.name, item.mimetype, item.data) for item in before.streams.attachments]
        assert [(item.name, item.mimetype, item.data) for item in after.streams.attachments] == fonts_before
        styles = after.streams.subtitles[0].codec_context.extradata
        assert b"Fancy" in styles
    assert packets(result) == packets(source)
    assert packets(result, "subtitle") == packets(source, "subtitle")
    assert told == []


@pytest.mark.parametrize(("target", "skipped"), [("out.mov", 0), ("out.mp4", 0), ("cut.mov", 3)])
def test_timecode_goes_with_its_frames(ffmpeg: Callable[..., Path], target: str, skipped: int):
    """A camera's timecode track is there again, and a cut begins with its own frame's."""
    source = ffmpeg("-f", "lavfi", "-i", PICTURE, "-c:v", "libx264", "-timecode", "10:00:00:20", "in.mov")
    part = {"start": Fraction(skipped, 25)} if skipped else {}
    result, told = restore(source, target, **part)
    found = re.findall(r"timecode\s*: (\S+)", described(result))
    assert set(found) == {advanced_timecode("10:00:00:20", skipped, Fraction(25))}
    assert "tmcd" in described(result)
    assert told == []


@pytest.mark.parametrize(
    ("timecode", "frames", "rate", "expected"),
    [
        ("10:00:00:20", 6, Fraction(25), "10:00:01:01"),
        ("00:00:59;29", 1, Fraction(30000, 1001), "00:01:00;02"),
        ("00:09:59;29", 1, Fraction(30000, 1001), "00:10:00;00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("none", 1, Fraction(25), "none"),
    ],
)
def test_timecodes_advance_as_cameras_count(timecode: str, frames: int, rate: Fraction, expected: str):
    """Drop-frame ones leave out two numbers a minute, except every tenth."""
    assert advanced_timecode(timecode, frames, rate) == expected


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "gbrp"])
def test_a_screen_recording_keeps_all_its_chroma(ffmpeg: Callable[..., Path], pix_fmt: str):
    """4:4:4 and RGB at the source's size stay that; enlarged they have chroma enough in 4:2:0."""
    codec = "libx264rgb" if pix_fmt == "gbrp" else "libx264"
    encoder = ["-c:v", codec, "-qp", "0", "-pix_fmt", "rgb24" if pix_fmt == "gbrp" else pix_fmt]
    source = ffmpeg("-f", "lavfi", "-i", PICTURE, *encoder, "in.mkv")
    result, _ = restore(source, "same.mkv", scale=1)
    assert "yuv444p" in described(result)
    large, _ = restore(source, "large.mkv")
    assert "yuv420p" in described(large)


@pytest.mark.parametrize(
    ("target", "codec", "decoder"),
    [
        ("out.mov", "prores_ks", ()),
        ("out.mkv", "ffv1", ()),
        ("out.webm", "libvpx-vp9", ("-c:v", "libvpx-vp9")),
    ],
)
def test_transparency_is_enlarged_with_the_picture(
    ffmpeg: Callable[..., Path], target: str, codec: str, decoder: tuple[str, ...]
):
    """A ramp from clear to opaque, in codecs that hold it."""
    ramp = "geq=lum='p(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='X*32'"
    shot = f"{PICTURE},format=yuva444p10le,{ramp}"
    source = ffmpeg("-f", "lavfi", "-i", shot, "-frames:v", "2", "-c:v", "prores_ks", "-profile:v", "4444", "in.mov")
    result, told = restore(
        source, target, encoding=Encoding(codec=codec, preset=None if codec != "libvpx-vp9" else "ultrafast")
    )
    alpha = samples(result, "rgba", *decoder).reshape(96, 128, 4)[..., 3].astype(int)
    assert np.abs(alpha[48] - np.arange(128) * 2).max() <= 6
    assert not any("Transparency" in message for message in told)
    if codec == "prores_ks":
        assert "ap4h" in described(result)


@pytest.mark.parametrize("encoder", ["libvpx-vp9", "libvpx"])
@pytest.mark.parametrize("target", ["out.webm", "out.mkv"])
def test_transparency_beside_vp8_and_vp9_pictures_is_read(ffmpeg: Callable[..., Path], encoder: str, target: str):
    """As libvpx's own decoders see it; the color of VP8 stays BT.601. What drops it no longer says that it is there."""
    ramp = "geq=lum='p(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='X*8'"
    codec = ["-c:v", encoder, "-auto-alt-ref", "0", "-qmin", "0", "-qmax", "4", "-b:v", "1M", "-pix_fmt", "yuva420p"]
    source = ffmpeg("-f", "lavfi", "-i", f"{PICTURE},format=yuva420p,{ramp}", *codec, "in.webm")
    info = probe(source)
    assert (info.pix_fmt, info.unkept) == ("yuva420p", ())
    assert info.color.matrix == (5 if encoder == "libvpx" else 6)
    if target == "out.mkv":
        result, told = restore(source, target)
        assert any("Transparency is dropped: libx264" in message for message in told)
        assert "alpha_mode" not in described(result).lower()
        return
    result, told = restore(source, target, encoding=Encoding(preset="ultrafast"))
    assert not any("Transparency" in message for message in told)
    alpha = samples(result, "rgba", "-c:v", "libvpx-vp9").reshape(96, 128, 4)[..., 3].astype(int)
    assert np.abs(alpha[48] - np.arange(128) * 2).max() <= 8
    assert len(frame_times(result)) == 6


@pytest.mark.parametrize(
    ("codec", "units", "sentence"),
    [
        ("h264", {"before": CAPTIONS}, "Closed captions (CEA-608/708) inside the pictures are dropped"),
        ("hevc", {"before": HDR10_PLUS}, "HDR10+ metadata is dropped"),
        ("hevc", {"after": DOLBY_VISION}, "Dolby Vision metadata is dropped"),
    ],
    ids=["captions", "hdr10plus", "dolby-vision"],
)
def test_what_no_encoder_here_writes_is_said(
    ffmpeg: Callable[..., Path], tmp_path: Path, codec: str, units: dict[str, bytes], sentence: str
):
    """Before the work, once; --strict-streams refuses."""
    encoder = ["-c:v", "libx264" if codec == "h264" else "libx265", "-preset", "ultrafast", "-bf", "0"]
    shot = ["-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.12:r=25", *encoder, "-x265-params", "log-level=error"]
    plain = ffmpeg(*shot, "-f", codec, f"plain.{codec}")
    (tmp_path / f"in.{codec}").write_bytes(with_units(plain.read_bytes(), codec, **units))
    source = ffmpeg("-r", "25", "-i", f"in.{codec}", "-c", "copy", "in.mp4")
    result, told = restore(source, "out.mp4")
    assert [message for message in told if message.startswith(sentence)] == told
    assert len(told) == 1
    assert len(frame_times(result)) == 3
    assert probe(result).unkept == ()
    with raises(OutputError, "unchanged", hint="strict"):
        restore(source, "strict.mp4", strict_streams=True)


def test_transparency_that_is_lost_is_said(ffmpeg: Callable[..., Path]):
    """With the encoders that would keep it; --strict-streams refuses."""
    source = ffmpeg("-f", "lavfi", "-i", f"{PICTURE}:alpha=100,format=rgba", "-c:v", "png", "in.mov")
    _, told = restore(source, "out.mp4")
    assert any("Transparency is dropped" in message and "ffv1" in message for message in told)
    with raises(OutputError, "unchanged", hint="strict"):
        restore(source, "strict.mp4", strict_streams=True)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_any_metadata_is_kept_or_said(ffmpeg: Callable[..., Path], suffix: str):
    """A phone's own tags as well as the usual ones."""
    tags = {"title": "Trip", "com.android.version": "14", "firmware": "HD5"}
    given = [part for key, value in tags.items() for part in ("-metadata", f"{key}={value}")]
    options = ["-movflags", "use_metadata_tags"]
    source = ffmpeg("-f", "lavfi", "-i", PICTURE, "-c:v", "libx264", *given, *options, "in.mp4")
    result, told = restore(source, f"out{suffix}")
    with av.open(str(result)) as written:
        found = {key.lower(): value for key, value in written.metadata.items()}
    assert {key: found.get(key) for key in tags} == tags
    assert not any("Metadata" in message for message in told)
