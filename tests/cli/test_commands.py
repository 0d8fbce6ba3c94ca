"""What every command has: help, suggestions, completion, and a say in how much is said."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edvr_cli.cli import edvr, main
from tests.support.clips import make_clip

NAMES = edvr.list_commands(click.Context(edvr))


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(name, capsys):
    """What it does, and each option in words."""
    assert run(name, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: edvr {name}")
    command = edvr.get_command(click.Context(edvr), name)
    assert command is not None
    assert command.help
    assert "--log-file" in text or isinstance(command, click.Group)


def test_the_list_of_commands_does_not_wait_for_torch():
    """Nor does a shell's Tab."""
    program = (
        "import sys; sys.modules['torch'] = None; from edvr_cli.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: sys.exit(end.code)"
    )
    listed = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True)
    assert all(name in listed.stdout for name in NAMES)
    shell = {"COMP_WORDS": "edvr com", "COMP_CWORD": "1", "_EDVR_COMPLETE": "bash_complete"}
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ | shell
    )
    assert found.stdout.split() == ["plain,compare", "plain,completion"]


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["upscal"], "upscale"),
        (["models", "pul"], "pull"),
        (["upscale", "--modle", "x"], "--model"),
        (["models", "info", "edvr-s-x"], "edvr-s-x4"),
    ],
)
def test_what_is_misspelled_is_answered_with_the_nearest(arguments, nearest, capsys):
    """Commands, their own commands, options and models."""
    assert run(*arguments) in (1, 2)
    assert f"'{nearest}'" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell, capsys):
    """It calls the command with the variable that the command answers to."""
    assert run("completion", shell) == 0
    assert "_EDVR_COMPLETE" in capsys.readouterr().out


def test_models_are_completed(monkeypatch, capsys):
    """By name, also as an option's value."""
    for words in ("edvr models pull edvr-m", "edvr upscale --model edvr-m"):
        monkeypatch.setenv("_EDVR_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", "3")
        assert run() == 0
        assert capsys.readouterr().out.split() == [
            "plain,edvr-m-x4",
            "plain,edvr-m-x4-real",
            "plain,edvr-m-deblur",
            "plain,edvr-m-x4-reds",
            "plain,edvr-m-wotsa-x4-reds",
        ]


@pytest.fixture
def clips(tmp_path) -> list[Path]:
    """Two of the same."""
    return [make_clip(tmp_path / name, width=32, height=24, frames=2) for name in ("a.mkv", "b.mkv")]


def test_the_log_file_keeps_what_is_said(clips, tmp_path, capsys):
    """With times, runs one below the other, errors included; markup left out."""
    log = tmp_path / "edvr.log"
    assert run("--log-file", log, "models", "verify", "edvr-s-x4") == 0
    assert run("models", "verify", "edvr-s-y4", "--log-file", log) == 1
    lines = log.read_text().splitlines()
    assert lines[0].endswith("info: good edvr-s-x4")
    assert lines[-1].split(" ", 2)[2].startswith("error: 1 of the models")
    capsys.readouterr()
    assert run("models", "verify", "edvr-s-x4", "--log-file", tmp_path / "none" / "x.log") == 2
    assert "cannot be written" in capsys.readouterr().err
    assert len(log.read_text().splitlines()) == len(lines)


def test_the_log_level_decides_how_much_is_said(clips, monkeypatch, capsys):
    """Notes stay at warning; results are results at any level; debug shows where an error comes from."""
    monkeypatch.setattr("edvr_cli.video.vmaf.vmaf_available", lambda: False)
    for level, noted in (("info", True), ("warning", True), ("error", False)):
        assert run("compare", *clips, "--log-level", level) == 0
        printed = capsys.readouterr()
        assert ("cannot measure VMAF" in printed.err) is noted
        assert "PSNR RGB" in printed.out
    assert run("models", "verify", "--log-level", "warning") == 0
    assert capsys.readouterr().err == ""
    assert run("models", "info", "nothing", "--log-level", "debug") == 2
    assert "Traceback" in capsys.readouterr().err
    assert run("models", "info", "nothing") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_no_color_is_heeded(monkeypatch, capsys):
    """Even where color is forced."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("models", "list") == 0
    assert "\x1b[3" not in capsys.readouterr().out
