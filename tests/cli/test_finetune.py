"""``edvr finetune``: from footage to a model, with the footage in the device's memory."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from edvr_cli.cli import edvr
from edvr_cli.models.checkpoint import load_model, save_model
from edvr_cli.network.edvr import EDVR, EDVRConfig
from tests.support.clips import make_clip


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "start.safetensors"
    save_model(EDVR(EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4)), path)
    return path


@pytest.mark.usefixtures("gpu_by_default")
def test_a_model_is_trained_on(tmp_path: Path, start: Path):
    footage = tmp_path / "footage"
    footage.mkdir()
    make_clip(footage / "a.mkv", frames=7, width=288, height=288, audio=())
    target = tmp_path / "mine.safetensors"
    arguments = ["finetune", footage, target, "--start", start, "--steps", 2, "--batch", 2, "--patch", 16]
    run = CliRunner().invoke(edvr, [*map(str, arguments), "--degraded", "0.5", "--device", "cpu"])
    assert run.exit_code == 0, run.output
    before, after = load_model(start, "cpu").network, load_model(target, "cpu").network
    assert any(not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    arguments[arguments.index("--patch") + 1] = 512
    run = CliRunner().invoke(edvr, [*map(str, arguments), "--device", "cpu"])
    assert run.exit_code == 2
    assert "patch must be a multiple of 8 and at most" in run.output


def test_stills_are_a_third_of_the_footage(tmp_path: Path, start: Path):
    """Moved as a camera would; a folder without pictures is one sentence."""
    footage, stills = tmp_path / "footage", tmp_path / "stills"
    footage.mkdir()
    stills.mkdir()
    make_clip(footage / "a.mkv", frames=40, width=288, height=288, audio=())
    Image.effect_noise((300, 240), 80).convert("RGB").save(stills / "a.png")
    target = tmp_path / "mine.safetensors"
    arguments = [
        "finetune",
        footage,
        target,
        "--start",
        start,
        "--steps",
        1,
        "--batch",
        2,
        "--patch",
        16,
        "--frames",
        60,
    ]
    run = CliRunner().invoke(edvr, [*map(str, arguments), "--stills", str(stills), "--device", "cpu"])
    assert run.exit_code == 0, run.output
    assert "3 tiles, 60 frames" in run.output
    run = CliRunner().invoke(edvr, [*map(str, arguments), "--stills", str(footage), "--device", "cpu"])
    assert run.exit_code != 0
    assert "holds no pictures" in str(run.exception)
    assert "decoding" not in run.output


def test_a_deblurring_model_is_trained_on_blur_of_the_footage(tmp_path: Path):
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    config = EDVRConfig(
        features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4, predeblur=True, hr_in=True
    )
    save_model(EDVR(config), start)
    footage = tmp_path / "footage"
    footage.mkdir()
    make_clip(footage / "a.mkv", frames=6, width=288, height=288, audio=())
    target = tmp_path / "mine.safetensors"
    arguments = ["finetune", footage, target, "--start", start, "--steps", 2, "--batch", 2, "--patch", 48]
    run = CliRunner().invoke(edvr, [*map(str, arguments), "--frames", "18", "--degraded", "0.5", "--device", "cpu"])
    assert run.exit_code == 0, run.output
    assert "2 tiles, 18 frames" in run.output
    assert load_model(target).config.scale == 1
    run = CliRunner().invoke(edvr, [*map(str, arguments), "--sharpen", "0.5", "--device", "cpu"])
    assert run.exit_code == 2
    assert "--sharpen" in run.output
    arguments[arguments.index("--patch") + 1] = 72
    run = CliRunner().invoke(edvr, [*map(str, arguments), "--frames", "9", "--device", "cpu"])
    assert run.exit_code == 2
    assert "--patch must be a multiple of 16 for" in run.output
