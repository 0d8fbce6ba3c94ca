"""``edvr train`` from a folder of footage to a model that ``edvr upscale`` takes."""

import re
from pathlib import Path

import pytest
import torch

from edvr_cli.cli import main
from edvr_cli.models.checkpoint import load_model, save_model
from edvr_cli.train.checkpoint import STATE_FILE, read_checkpoint
from tests.quality.test_benchmark_sets import run
from tests.support.clips import make_clip
from tests.support.networks import random_network
from tests.train.test_teacher import random_teacher, teacher_file

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
    assert "stopped at step 1; continue with --resume" in printed.err
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


def test_a_teacher_is_remembered_by_its_run(tmp_path, footage, capsys, monkeypatch):
    """Its weights begin the network, its motion and features are learned, and --resume finds it again."""
    teacher_file(tmp_path / "teacher.pth", random_teacher(features=8, blocks=1))
    target = tmp_path / "model.safetensors"
    monkeypatch.chdir(tmp_path)
    taught = ("--teacher", "teacher.pth", "--teacher-features", 0.01, "--skeleton", 1, "--align", 1, "--steps", 4)
    assert run("train", footage, target, *SMALL, *taught, "--minutes", 1e-6) == 0
    assert "parameters come from the teacher" in capsys.readouterr().err
    recipe = read_checkpoint(tmp_path / "model.run" / STATE_FILE).recipe
    assert (recipe.teacher, recipe.skeleton) == (str((tmp_path / "teacher.pth").resolve()), 1)
    monkeypatch.chdir(tmp_path.parent)
    assert run("train", footage, target, "--resume", "--device", "cpu") == 0
    assert "samples/s on average" in capsys.readouterr().err


@pytest.mark.usefixtures("gpu_by_default")
def test_a_small_model_is_widened(tmp_path, footage, capsys):
    """Its function is kept, and its alignment is not begun again."""
    small = random_network(features=8, groups=8, tail=8)
    save_model(small, tmp_path / "small.safetensors", dtype=torch.float32)
    target = tmp_path / "model.safetensors"
    wide = (*SMALL, "--features", 16, "--start", tmp_path / "small.safetensors", "--learning-rate", 0, "--steps", 1)
    assert run("train", footage, target, *wide) == 0
    assert "widened to 16 features" in capsys.readouterr().err
    assert read_checkpoint(tmp_path / "model.run" / STATE_FILE).recipe.align == 0
    window = torch.rand(1, 5, 3, 16, 16)
    assert torch.allclose(load_model(target, "cpu").network(window), small(window), atol=2e-3)  # stored as fp16


def test_mistakes_about_teachers_are_one_sentence(tmp_path, footage, capsys):
    """A teacher of the wrong kind, one that is not there, and an assembly without parts."""
    save_model(random_network(), tmp_path / "edvr.safetensors")
    target = tmp_path / "model.safetensors"
    for options, code, sentence in (
        (("--teacher", tmp_path / "edvr.safetensors"), 1, "has no optical flow"),
        (("--teacher", tmp_path / "nothing.pth"), 2, "nothing.pth"),
        (("--teacher-frame", 1), 1, "which is not given"),
        (("--init", "assemble"), 1, "no model to start from"),
        (("--skeleton", 2, "--attention", 1), 2, "attention below 1"),
    ):
        assert run("train", footage, target, *SMALL, *options) == code
        printed = capsys.readouterr().err
        assert sentence in printed
        assert "Traceback" not in printed
    assert not target.exists()


def test_the_command_keeps_freed_memory(tmp_path, capsys, monkeypatch):
    """Before anything else, once."""
    called = []
    monkeypatch.setattr("edvr_cli.cli.train.keep_memory", lambda: called.append(True))
    assert run("train", tmp_path, tmp_path / "model.safetensors") == 1
    assert "holds neither videos nor folders of images" in capsys.readouterr().err
    assert called == [True]


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_a_start_that_is_not_here_says_how_to_fetch_it(command, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """The offer states size, license and source before any footage is read; nothing is fetched without consent."""
    (tmp_path / "footage").mkdir()
    with pytest.raises(SystemExit) as ended:
        main([command, str(tmp_path / "footage"), str(tmp_path / "mine.safetensors"), "--start", "edvr-m-x4-reds"])
    assert ended.value.code == 1
    assert re.search(r"'edvr-m-x4-reds' is not on this machine: about 13 MB, .* --pull", capfd.readouterr().err)
