"""A cut's sound is the source's between the same instants, as FFmpeg's own command hears both."""

import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from edvr_cli.video.writing.options import Encoding
from tests.support.clips import packets
from tests.video.muxing.test_mux import FAST, restore

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
RATE = 48000
START, END = Fraction(7, 25), Fraction(18, 25)
# Rising tones: like themselves at no other instant.
TONES = "aevalsrc=0.4*sin(2*PI*(300*t+900*t*t))+0.2*sin(2*PI*(2000*t+700*t*t)):d=1:s=48000"


def film(path: Path, codec: str) -> Path:
    """A second of picture and sound."""
    inputs = ["-f", "lavfi", "-i", "testsrc2=s=32x24:d=1:r=25", "-f", "lavfi", "-i", TONES]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", codec]
    subprocess.run([FFMPEG, "-v", "error", *inputs, *codecs, str(path)], check=True)
    return path


def heard(path: Path) -> np.ndarray:
    """The sound's samples from time 0 on, placed by the file's own times."""
    sound = ["-map", "0:a", "-af", f"aresample={RATE}:async=1:first_pts=0", "-ac", "1", "-f", "f32le", "-"]
    run = subprocess.run([FFMPEG, "-v", "error", "-copyts", "-i", str(path), *sound], capture_output=True, check=True)
    return np.frombuffer(run.stdout, np.float32)


def lag(wanted: np.ndarray, found: np.ndarray) -> int:
    """By how many samples the second is late, by cross-correlation."""
    size = 1 << (len(wanted) + len(found)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(wanted, size)), size)
    best = int(np.argmax(likeness))
    return best if best < size // 2 else best - size


@pytest.mark.parametrize(
    ("codec", "source", "target"),
    [
        ("pcm_s16le", ".mov", ".mov"),
        ("pcm_s16le", ".mov", ".mkv"),
        ("pcm_s24le", ".mkv", ".mp4"),
        ("pcm_s24le", ".mkv", ".mkv"),
        ("aac", ".mp4", ".mp4"),
        ("alac", ".mov", ".mov"),
    ],
)
def test_sound_is_cut_to_the_sample(tmp_path: Path, codec: str, source: str, target: str):
    """PCM anywhere, the rest by mp4's and mov's edit lists: the same samples, none missing at the beginning."""
    original = film(tmp_path / f"in{source}", codec)
    cut = restore(original, tmp_path / f"out{target}", start=START, end=END).path
    wanted, found = heard(original)[int(START * RATE) : int(END * RATE)], heard(cut)
    # FFmpeg does not heed the last duration of ALAC, which the file holds; players by Apple do.
    assert len(found) == len(wanted) or (codec == "alac" and len(found) > len(wanted))
    assert np.abs(found[: len(wanted)] - wanted).max() < 1e-4


@pytest.mark.parametrize(
    ("codec", "source", "target", "late"),
    [
        ("aac", ".mp4", ".mkv", 1024),
        ("aac", ".mkv", ".mp4", 0),
        ("libmp3lame", ".mkv", ".mkv", 5 * 1152),
        ("libopus", ".mkv", ".webm", 960),
        ("libvorbis", ".mkv", ".mp4", 2048),
        ("flac", ".mkv", ".mkv", 4608),
    ],
)
def test_sound_that_is_cut_at_packets_stays_aligned(tmp_path: Path, codec: str, source: str, target: str, late: int):
    """To Matroska's millisecond: sound begins ``late`` samples after the picture at most, and ends with it."""
    original = film(tmp_path / f"in{source}", codec)
    encoding = Encoding("libvpx-vp9", preset="ultrafast") if target == ".webm" else FAST
    cut = restore(original, tmp_path / f"out{target}", encoding, start=START, end=END).path
    wanted, found = heard(original)[int(START * RATE) : int(END * RATE)], heard(cut)
    assert abs(lag(wanted, found)) <= RATE // 1000
    assert np.abs(found[late : late + 100]).max() > 0.01
    assert abs(len(found) - len(wanted)) <= (RATE // 1000 if codec != "libvorbis" else 2048)


def test_packets_inside_a_cut_are_the_sources(tmp_path: Path):
    """None is encoded again: what differs is where the first is heard from, and the last to."""
    original = film(tmp_path / "in.mp4", "aac")
    cut = restore(original, tmp_path / "out.mp4", start=START, end=END).path
    (before,), (after,) = packets(original), packets(cut)
    first = [digest for digest, _ in before].index(after[0][0])
    assert [digest for digest, _ in before[first : first + len(after)]] == [digest for digest, _ in after]
    moved = [time - then for (_, time), (_, then) in zip(after, before[first:], strict=False)]
    assert set(moved) == {-START}
