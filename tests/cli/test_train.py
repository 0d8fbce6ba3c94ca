"""``edvr train`` from a folder of footage to a model that ``edvr upscale`` takes."""

import pytest

from edvr_cli.models.checkpoint import load_model
from tests.quality.test_benchmark_sets import run
from tests.support.clips import make_clip

SMALL = (
    "--features", 8, "--extraction-blocks", 1, "--reconstruction-blocks", 1, "--tail", 8, "--patch", 16, "--batch", 2,
    "--precision", "fp32", "--device", "cpu",
)  # fmt: skip


@pytest.fixture
def footage(tmp_path):
    """Four short videos."""
    folder = tmp_path / "footage"
    folder.mkdir()
    for n in range(4):
        make_clip(folder / f"{n}.mp4", width=288, height=272, frames=6)
    return folder


def test_footage_becomes_a_model_and_an_interrupted_run_goes_on(tmp_path, footage, capsys):
    """With the last source held out; --resume needs no settings."""
    target = tmp_path / "model.safetensors"
    assert run("train", footage, target, *SMALL, "--steps", 4, "--align", 1, "--minutes", 1e-6) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(target)
    assert "3 shots to train on, 1 to validate" in printed.err
    assert "stopped at step 1; go on with --resume" in printed.err
    assert run("train", footage, target, "--resume", "--device", "cpu") == 0
    assert "dB on held-out footage" in capsys.readouterr().err
    assert load_model(target).config.features == 8
    assert (tmp_path / "model.run" / "log.csv").is_file()
    assert (tmp_path / "model.run" / "chart.png").is_file()


def test_a_schedule_is_made_to_fit_the_minutes(tmp_path, footage, capsys):
    """Without --steps a run of few minutes is whole: all its stages, and the learning rate down to its end."""
    target = tmp_path / "model.safetensors"
    assert run("train", footage, target, *SMALL, "--minutes", 0.02) == 0
    printed = capsys.readouterr().err
    assert "0.02 minutes allow" in printed
    assert printed.splitlines()[-1] == "done"
    assert load_model(target).config.features == 8


def test_wrong_usage_is_told(tmp_path, footage, capsys):
    """The target's name, settings that cannot be, unknown held-out sources, a run that is not there."""
    assert run("train", footage, tmp_path / "model.pth") == 2
    assert ".safetensors" in capsys.readouterr().err
    target = tmp_path / "model.safetensors"
    assert run("train", footage, target, *SMALL, "--patch", 20) == 2
    assert "multiple of 16" in capsys.readouterr().err
    assert run("train", footage, target, *SMALL, "--held-out", "9.mp4") == 2
    assert "the sources are 0.mp4" in capsys.readouterr().err
    assert run("train", footage, target, "--resume") == 1
    assert "no run to resume" in capsys.readouterr().err
