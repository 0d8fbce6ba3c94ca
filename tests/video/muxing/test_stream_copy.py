"""Sound that FFmpeg's ``-c copy`` keeps is kept, packet for packet."""

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support.clips import packets
from tests.video.test_cases import FFMPEG, ffmpeg, restore  # noqa: F401 (a fixture)

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=176x144:d=0.2:r=25")
# What people have: Windows Media, old AVI, surveillance cameras, feature phones.
OF_NO_NAME = {
    "wmav1": ("asf", "wmv2", 44100, 2),
    "wmav2": ("wmv", "wmv2", 44100, 2),
    "adpcm_ms": ("avi", "mpeg4", 44100, 2),
    "adpcm_ima_wav": ("avi", "mpeg4", 44100, 2),
    "adpcm_yamaha": ("avi", "mpeg4", 44100, 2),
    "adpcm_swf": ("flv", "flv", 44100, 2),
    "pcm_alaw": ("avi", "mpeg4", 8000, 1),
    "pcm_mulaw": ("mkv", "mpeg4", 8000, 2),
    "g722": ("avi", "mpeg4", 16000, 1),
    "g726": ("avi", "mpeg4", 8000, 1),
    "libopencore_amrnb": ("3gp", "h263", 8000, 1),
}


def tone(rate: int, channels: int) -> list[str]:
    """A short tone for FFmpeg's command."""
    return ["-f", "lavfi", "-i", f"sine=d=0.2:r={rate}", "-ac", str(channels), "-ar", str(rate)]


def decoded(path: Path, number: int = 0) -> str:
    """The digest of a sound stream as FFmpeg's command decodes it."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-map", f"0:a:{number}", "-f", "md5", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("codec", sorted(OF_NO_NAME))
def test_matroska_holds_sound_that_it_has_no_name_for(ffmpeg: Callable[..., Path], codec: str):  # noqa: F811
    """As ``A_MS/ACM``, with a WAV file's header; FFmpeg's command decodes the same samples."""
    suffix, video, rate, channels = OF_NO_NAME[codec]
    source = ffmpeg(*PICTURE, *tone(rate, channels), "-c:v", video, "-c:a", codec, f"in.{suffix}")
    copy = ffmpeg("-i", source.name, "-map", "0:a", "-c", "copy", "copy.mkv")
    result, told = restore(source, "out.mkv")
    assert not [message for message in told if "Audio" in message]
    assert [digest for digest, _ in packets(result)[0]] == [digest for digest, _ in packets(copy)[0]]
    if suffix != "3gp":  # There an edit list leaves out 6 ms at the beginning, which come before time 0 here.
        assert decoded(result) == decoded(copy)


def test_each_track_gets_its_own_name(ffmpeg: Callable[..., Path]):  # noqa: F811
    """Windows Media, MP3 and A-law in one file; a cut of it, too."""
    maps = ["-map", "0:v", "-map", "1:a", "-map", "1:a", "-map", "1:a", "-map", "1:a"]
    codecs = ["-c:a:0", "mp3", "-c:a:1", "wmav2", "-c:a:2", "pcm_alaw", "-c:a:3", "wmav2", "-b:a:3", "32k"]
    source = ffmpeg(*PICTURE, *tone(44100, 2), *maps, *codecs, "in.mkv")
    for target, options in (("out.mkv", {}), ("cut.mkv", {"start": Fraction(1, 25)})):
        result, _ = restore(source, target, **options)
        with av.open(str(result)) as written:
            assert [stream.codec_context.name for stream in written.streams.audio] == [
                "mp3float", "wmav2", "pcm_alaw", "wmav2",
            ]  # fmt: skip
        if not options:
            assert packets(result) == packets(source)


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mxf"])
@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_mp4_holds_pcm_of_any_number_of_channels(ffmpeg: Callable[..., Path], suffix: str, channels: int):  # noqa: F811
    """Also where the source does not say which channels these are."""
    video = "mpeg2video" if suffix == "mxf" else "mpeg4"
    source = ffmpeg(*PICTURE, *tone(48000, channels), "-c:v", video, "-c:a", "pcm_s16le", f"in.{suffix}")
    result, told = restore(source, "out.mp4")
    assert not [message for message in told if "Audio" in message]
    assert decoded(result) == decoded(source)


def test_a_refusal_is_the_muxers_own(ffmpeg: Callable[..., Path]):  # noqa: F811
    """And what would keep a stream has been tried."""
    source = ffmpeg(*PICTURE, *tone(44100, 2), "-c:v", "mpeg4", "-c:a", "flac", "in.mkv")
    _, told = restore(source, "out.mov")
    assert "flac only supported in MP4); .mkv would keep it" in told[0]
    source = ffmpeg(*PICTURE, *tone(22050, 1), "-c:v", "flv", "-c:a", "nellymoser", "in.flv")
    _, told = restore(source, "other.mkv")
    assert any(message.endswith("is dropped: matroska does not hold it.") for message in told)
    _, told = restore(source, "out.mp4")
    assert any("nellymoser" in message and ".mkv" not in message for message in told)
