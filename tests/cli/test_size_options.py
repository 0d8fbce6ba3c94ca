"""Sizes as a user types them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edvr_cli.cli import main
from edvr_cli.models.checkpoint import save_model
from edvr_cli.video.reading.sources import probe
from tests.support.clips import make_clip
from tests.support.networks import random_network

TINY = {"features": 8, "groups": 2, "tail": 4, "tsa": False, "levels": 1, "cascade": False}


@pytest.fixture
def upscale(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable:
    """``edvr upscale in.mp4 out.mp4`` of a clip of 32×24 pixels: (exit code, messages)."""
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", width=32, height=24, frames=2)
    save_model(random_network(**TINY), tmp_path / "tiny.safetensors")

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(["upscale", "in.mp4", "out.mp4", "-n", "tiny.safetensors", "--preset", "ultrafast", *arguments])
        return left.value.code, capfd.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (("--height", "72"), (96, 72)),
        (("--width", "50"), (50, 38)),
        (("--size", "100x50"), (66, 50)),
        (("--height", "90", "--width", "80"), (80, 60)),
        (("--scale", "2x"), (64, 48)),
        ((), (128, 96)),
    ],
)
def test_a_size_is_reached(upscale, arguments: tuple[str, ...], size: tuple[int, int]):
    """Each way of saying it."""
    code, said = upscale(*arguments)
    assert code == 0, said
    info = probe("out.mp4")
    assert (info.width, info.height) == size


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--scale", "6"), 2, "models enlarge 4 times. Run twice: enlarge 1.5 times first"),
        (("--scale", "0.5"), 2, "0.5 would shrink the picture: enlarge 1 to 4 times"),
        (("--scale", "huge"), 2, "invalid scale 'huge': expected 2x, 1.5 or one of 720p, 1080p"),
        (("--scale", "2", "--height", "72"), 2, "--scale and --height or --width both say how large"),
        (("--size", "1080"), 2, "invalid size '1080': expected 1920x1080"),
        (("--height", "1080"), 2, "1080 pixels high is 45 times that, and the model enlarges 4 times."),
        (("--height", "20"), 2, "20 pixels high would shrink it; choose a larger --scale, --height, --width or --size"),
    ],
)
def test_a_size_that_cannot_be_is_one_sentence(upscale, arguments: tuple[str, ...], code: int, message: str):
    """Nothing is written."""
    left, said = upscale(*arguments)
    assert left == code and message in said.replace("\n", " ")
    assert not Path("out.mp4").exists()
