"""The example scripts run as their texts say, and the bundled clip is what they need."""

import runpy
import sys
from pathlib import Path

import av
import pytest

from tests.support.clips import make_clip

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(script: str, *arguments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run an example in this process."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a video's or an image's first frame."""
    with av.open(path) as file:
        frame = next(file.decode(video=0))
    return frame.width, frame.height


def test_the_bundled_clip_is_small_real_and_has_sound():
    """48 frames of 320×180."""
    with av.open(EXAMPLES / "bbb.mp4") as clip:
        assert clip.streams.audio
        frames = sum(1 for _ in clip.decode(video=0))
    assert (frames, picture_size(EXAMPLES / "bbb.mp4")) == (48, (320, 180))


def test_restore_video_and_before_after_make_a_video_and_a_picture(tmp_path, monkeypatch, capsys):
    """As `make demo` does it, on a smaller clip."""
    source, restored, picture = make_clip(tmp_path / "in.mp4", frames=6), tmp_path / "out.mp4", tmp_path / "both.png"
    width, height = picture_size(source)
    run("restore_video.py", source, restored, monkeypatch=monkeypatch)
    assert "edvr-s-x4 on cpu" in capsys.readouterr().out
    assert picture_size(restored) == (4 * width, 4 * height)
    run("before_after.py", source, restored, picture, monkeypatch=monkeypatch)
    label = 2 * (7 + 2 * 3)  # dots of two pixels
    assert picture_size(picture) == (2 * 2 * width + 8, label + 2 * 2 * height)  # half the frame above half of it


def test_restore_frames_restores_frames_of_one_s_own(tmp_path, monkeypatch, capsys):
    """Five arrays in, five out, the last saved."""
    source, picture = make_clip(tmp_path / "in.mp4", frames=6), tmp_path / "frame.png"
    width, height = picture_size(source)
    run("restore_frames.py", source, picture, monkeypatch=monkeypatch)
    assert capsys.readouterr().out.count(f"{4 * width}x{4 * height}") == 5
    assert picture_size(picture) == (4 * width, 4 * height)
