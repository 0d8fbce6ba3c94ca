"""Mistakes that people make are answered with what they meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edvr_cli.cli import main
from edvr_cli.video import capabilities
from tests.support.clips import make_clip


@pytest.fixture
def edvr(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable:
    """The command in a folder with small.mp4 and large.mp4: (exit code, messages in one line)."""
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "small.mp4", width=32, height=24, frames=2)
    make_clip(tmp_path / "large.mp4", width=64, height=48, frames=2)

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        return left.value.code, " ".join(capfd.readouterr().err.split())

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("small.mp4",), "small.mp4 is not a command. Type `edvr upscale small.mp4` to enlarge it"),
        (("small.mp4", "o t.mp4"), "Type `edvr upscale small.mp4 'o t.mp4'` to enlarge it"),
        (("https://x.org/a.mp4",), "https://x.org/a.mp4 is not a command. Type `edvr upscale https://x.org/a.mp4`"),
        (
            ("upscale", "https://x.org/a.mp4", "out.mp4"),
            "https://x.org/a.mp4 is a URL; URLs are opened only on request; pass --allow-network",
        ),
        (("info", "https://x.org/a.mp4"), "is a URL; URLs are opened only on request; pass --allow-network"),
        (("report", "large.mp4", "small.mp4"), "the source comes first. Try edvr report small.mp4 large.mp4"),
        (
            ("upscale", "small.mp4", "o.avi"),
            "AVI keeps no frame times and no HDR; for one all the same: edvr upscale IN",
        ),
        (
            ("upscale", "small.mp4", "o.gif"),
            "A GIF has 256 colors and no audio; for one all the same: edvr upscale IN",
        ),
        (("models", "info", "edvr-m"), "unknown model 'edvr-m': did you mean 'edvr-m-"),
        (("upscale", "small.mp4", "o.mp4", "--crf", "99"), "libx264 takes a crf from 0 to 51, not 99; lower is better"),
        (("upscale", "small.mp4", "o.mkv", "-c", "av1", "--crf", "64"), "libsvtav1 takes a crf from 0 to 63, not 64"),
    ],
)
def test_it_says_what_to_type(edvr, arguments: tuple[str, ...], said: str):
    """As wrong usage."""
    code, message = edvr(*arguments)
    assert said in message and code == 2


def test_a_height_is_not_taken_for_weights(edvr):
    """Where a command has no --height."""
    code, message = edvr("preview", "small.mp4", "--height", "100")
    assert code == 2 and "No such option '--height'" in message and "--weights" not in message


def test_two_videos_in_the_wrong_order_are_noted(edvr):
    """They are compared all the same."""
    code, message = edvr("compare", "large.mp4", "small.mp4", "--no-vmaf")
    assert code == 0 and "large.mp4 is larger than small.mp4; if small.mp4 is the source, name it first." in message


def test_an_encoder_without_its_device_is_not_usual():
    """NVENC needs a card; the others need nothing."""
    assert capabilities.encoder_opens("libx264")
    assert not capabilities.encoder_opens("h264_nvenc") or Path("/dev/nvidia0").exists()
