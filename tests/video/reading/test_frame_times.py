"""The times of frames: the source's, and where these are unusable, ones that delay nothing else."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from edvr_cli.video.reading.frame_times import FrameTimes
from edvr_cli.video.reading.reader import VideoReader
from tests.video.test_cases import FFMPEG, ffmpeg  # noqa: F401 (a fixture)


@dataclass
class Frame:
    """What of a decoded frame its time depends on."""

    pts: int | None
    dts: int | None = None
    duration: int = 0


@dataclass
class Info:
    """A video of 25 frames per second, in milliseconds."""

    average_rate: Fraction = Fraction(25)
    time_base: Fraction = Fraction(1, 1000)


def given(pts: list[int | None], dts: list[int | None] | None = None) -> list[int]:
    """The times that frames with these get."""
    frames = [Frame(time, other) for time, other in zip(pts, dts or [None] * len(pts), strict=True)]
    return [time for _, time, _ in FrameTimes(Info(), lambda message: None).give(frames)]


@pytest.mark.parametrize(
    ("pts", "expected"),
    [
        ([0, 40, 80, 120], [0, 40, 80, 120]),
        ([0, 40, 40, 80, 120], [0, 40, 60, 80, 120]),
        ([0, 40, 40, 40, 40, 80], [0, 40, 50, 60, 70, 80]),
        ([0, 40, 80, 120, 80, 120, 160, 200], [0, 40, 80, 120, 133, 146, 160, 200]),
        ([0, 40, 40, None, 120], [0, 40, 66, 93, 120]),
        ([None, None, None], [0, 40, 80]),
        ([0, 40, 40], [0, 40, 80]),
        ([0, 40, 40, 41, 41, 80], [0, 40, 41, 54, 67, 80]),
    ],
    ids=["good", "repeated", "four-times", "overlap", "missing", "none", "at-the-end", "no-room"],
)
def test_a_repair_does_not_outlive_its_cause(pts: list[int | None], expected: list[int]):
    """Whatever is repeated or missing, the next usable time stands."""
    assert given(pts) == expected


def test_frames_that_stay_behind_for_long_are_in_time_again_at_the_end():
    """A second of video again: squeezed, but what comes after it is where the source says."""
    again = [*range(0, 2000, 40), *range(960, 3000, 40)]
    times = given(again)
    assert times[-20:] == again[-20:]
    assert all(after > before for before, after in pairwise(times))


def test_decoding_times_are_taken_where_presentation_times_are_wrong_more_often():
    """H.264 with B-frames in AVI, as libav reads it."""
    pts = [1, 4, 3, 5, 2, 8, 7, 9, 6, 12, 11, 13, 10, 46, 50]
    dts = [*range(2, 15), None, None]
    assert given([time * 40 for time in pts], [time and time * 40 for time in dts]) == [
        time * 40 for time in range(2, 17)
    ]


def test_presentation_times_are_trusted_where_few_repeat():
    """One repeated time does not make decoding times the better ones, which are late in such a file."""
    pts = [0, 40, 80, 120, 120, 160, 200, 240, 280]
    assert given(pts, [time + 20 for time in range(0, 360, 40)]) == [0, 40, 80, 120, 140, 160, 200, 240, 280]


@pytest.mark.parametrize(
    "kind", ["libx264 -bf 2", "libx264 -bf 3 -x264-params b-pyramid=normal", "libx265 -tag:v H265"]
)
@pytest.mark.parametrize("sound", [True, False])
def test_frames_in_avi_are_even(ffmpeg: Callable[..., Path], kind: str, sound: bool):  # noqa: F811
    """AVI has decoding times alone; the times are those of FFmpeg's command, at most as late as it reorders frames."""
    shot = ["-f", "lavfi", "-i", "testsrc2=s=64x48:d=1.2:r=25", *(["-f", "lavfi", "-i", "sine=d=1.2"] if sound else [])]
    codec = ["-c:v", *kind.split(), "-c:a", "mp3", *(["-x265-params", "log-level=error"] if "265" in kind else [])]
    source = ffmpeg(*shot, *codec, "in.avi")
    command = [
        FFMPEG,
        "-v",
        "error",
        "-i",
        str(source),
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = [int(line.split(",")[2]) for line in said.splitlines() if not line.startswith("#")]
    told: list[str] = []
    with VideoReader(source, on_warning=told.append) as reader:
        times = [frame.pts for frame in reader]
    assert times == expected
    assert {after - before for before, after in pairwise(times)} == {1}
    assert times[0] <= 3
    assert told == []
