"""The settings file and its profiles: what a command takes from them, and a sentence for what it cannot take."""

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from edvr_cli.cli import edvr, main
from edvr_cli.cli.config import EXAMPLE
from edvr_cli.cli.settings import check_all, settings_for
from edvr_cli.cli.settings_file import SettingsFile, read_settings, usual_path
from edvr_cli.errors import EdvrError
from tests.support.clips import make_clip

SETTINGS = """
device = "cpu"
workers = 2
[upscale]
crf = 16
preset = "slow"
scale = "2x"
overwrite = true
[train]
steps = 7
[profiles.vhs]
deinterlace = "frame"
precision = "bf16"
[profiles.vhs.upscale]
crf = 20.5
height = 480
no-audio = true
encoder_option = ["tune=film", "refs=4"]
[profiles.again.upscale]
fresh = true
fp32 = true
start = 00:01:30
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file, where the system has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDVR_CONFIG", str(tmp_path / "edvr.toml"))
    (tmp_path / "edvr.toml").write_text(SETTINGS)
    return tmp_path / "edvr.toml"


def found(line: str) -> dict[str, Any]:
    """The options that a command gets from the file when it is called so."""
    name, *arguments = line.split()
    context = click.Context(edvr, **edvr.context_settings)
    command = edvr.get_command(context, name)
    assert command is not None
    return settings_for(context, command, arguments, edvr.with_settings(context))


def parsed(line: str) -> dict[str, Any]:
    """All values that a command is called with."""
    context = click.Context(edvr, **edvr.context_settings)
    name, command, arguments = edvr.resolve_command(context, line.split())
    assert command is not None
    return command.make_context(name, arguments, parent=context).params


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def test_a_command_takes_its_own_options_and_those_for_all(config: Path):
    """And no other command's."""
    assert found("upscale in.mp4") == {
        "device": "cpu", "crf": "16", "preset": "slow", "scale": "2x", "overwrite": True,
    }  # fmt: skip
    assert found("train footage m.safetensors") == {"device": "cpu", "workers": "2", "steps": "7"}
    assert found("compare a b") == {}


def test_a_profile_wins_over_the_rest_of_the_file(config: Path):
    """A size of the profile replaces another kind of size; names may have dashes or underscores."""
    assert found("upscale in.mp4 --profile vhs") == {
        "device": "cpu", "preset": "slow", "overwrite": True, "deinterlace": "frame", "precision": "bf16",
        "crf": "20.5", "height": "480", "audio": False, "encoder_options": ("tune=film", "refs=4"),
    }  # fmt: skip
    assert {**found("upscale in.mp4 --profile again")} == {
        "device": "cpu", "crf": "16", "preset": "slow", "scale": "2x", "overwrite": True,
        "resume": "never", "precision": "fp32", "start": "00:01:30",
    }  # fmt: skip


def test_the_command_line_wins_over_the_file(config: Path):
    """Also where it says the same by another option."""
    values = parsed("upscale in.mp4 --crf 30 --height 100 --profile vhs --fp32")
    assert (values["crf"], values["height"], values["scale"], values["precision"]) == (30, 100, None, "fp32")
    assert values["encoder_options"] == (("tune", "film"), ("refs", "4"))
    assert parsed("upscale in.mp4 --size 9x9")["scale"] is None
    assert parsed("upscale in.mp4 --no-audio")["audio"] is False
    assert parsed("upscale in.mp4 --profile again")["resume"] == "never"
    assert parsed("upscale in.mp4 --profile again --resume")["resume"] == "require"


def test_what_shows_the_work_beforehand_has_its_options(config: Path):
    """Those that decide what comes out: not that something is replaced."""
    assert found("info in.mp4 --profile vhs").keys() == {
        "device", "preset", "deinterlace", "precision", "crf", "height", "encoder_options",
    }  # fmt: skip
    assert found("preview in.mp4") == {"device": "cpu"}


def test_the_settings_in_use_are_said(config: Path, capsys):
    """On standard error, those that the command line replaces left out; nothing where there are none."""
    make_clip(Path("in.mp4"), frames=2)
    assert run("upscale", "missing.mp4", "--profile", "vhs", "--crf", "3") == 2
    printed = capsys.readouterr()
    said = f'Settings of {config}, profile vhs: device = "cpu", preset = "slow", overwrite = true'
    assert printed.err.startswith(said)
    assert "crf" not in printed.err
    assert run("upscale", "missing.mp4", "--log-level", "warning") == 2
    assert "Settings" not in capsys.readouterr().err
    assert run("compare", "missing.mp4", "in.mp4") == 2
    assert "Settings" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[upscael]\ncrf = 1", "[upscael] is no command; did you mean 'upscale'?"),
        ("[upscale]\ncrff = 1", "[upscale] crff is no option; did you mean 'crf'?"),
        ("[upscale]\nsteps = 1", "[upscale] steps is no option; "),
        ("[upscale]\nhelp = true", "[upscale] help is no option; "),
        ("devise = 1", "devise is no option; did you mean 'device'?"),
        ("[upscale]\ncrf = 'low'", "[upscale] crf: 'low' is not a valid number."),
        ("[upscale]\nstrength = 2", "[upscale] strength: 2.0 is not in the range 0 to 1."),
        ("[upscale]\nprecision = 'fp8'", "[upscale] precision: 'fp8' is not one of"),
        ("[upscale]\naudio = 'no'", '[upscale] audio: expected true or false, got "no".'),
        ("[upscale]\ncrf = [1]", "[upscale] crf: expected text or a number, got [1]."),
        ("[upscale]\ncrf = true", "[upscale] crf: expected text or a number, got true."),
        ("[upscale.crf]\nx = 1", "[upscale] crf: expected text or a number"),
        ("crf =", "it is not TOML: "),
        ("profiles = 1", "profiles must be tables, as [profiles.vhs]."),
        ("[profiles]\nvhs = 1", "profiles must be tables, as [profiles.vhs]."),
    ],
)
def test_what_cannot_be_taken_is_one_sentence_with_the_file_and_the_key(
    content: str, sentence: str, config: Path, capsys
):
    """For the command that takes it, and for the one that shows it."""
    config.write_text(content)
    for arguments in (("upscale", "in.mp4"), ("config",)):
        assert run(*arguments) == 2
        printed = capsys.readouterr().err
        assert printed.startswith(f"edvr: {config}: {sentence}")
        assert printed.count("\n") == 1


def test_help_does_not_depend_on_the_file(config: Path, capsys):
    """It says what the program's defaults are, and comes even where the file is broken."""
    assert run("upscale", "-h") == 0
    shown = capsys.readouterr().out
    assert "17 for libx264" in shown
    config.write_text("[upscale")
    assert run("upscale", "-h") == 0
    assert capsys.readouterr().out == shown


def test_a_mistake_elsewhere_in_the_file_hinders_nobody_else(config: Path):
    """Only those that would take it, and edvr config."""
    config.write_text("[train]\nstep = 1\n[profiles.x.upscale]\ncrff = 1\n[upscale]\ncrf = 3")
    assert found("upscale in.mp4") == {"crf": "3"}
    with pytest.raises(EdvrError, match="step is no option"):
        found("train footage model.safetensors")
    with pytest.raises(EdvrError, match=re.escape("[profiles.x.upscale] crff")):
        found("upscale in.mp4 --profile x")


def test_another_file_and_a_missing_one(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that is named must be there; the usual one need not."""
    (tmp_path / "other.toml").write_text("[upscale]\ncrf = 1")
    assert found("upscale in.mp4 --config other.toml") == {"crf": "1"}
    with pytest.raises(EdvrError, match=r"none\.toml: no such file"):
        found("upscale in.mp4 --config none.toml")
    with pytest.raises(EdvrError, match="no profile is called 'vsh'; did you mean 'vhs'"):
        found("upscale in.mp4 --profile vsh")
    monkeypatch.delenv("EDVR_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("edvr_cli.cli.settings_file.config_folder", lambda: tmp_path / "config")
    assert usual_path() == tmp_path / "config" / "edvr.toml"
    assert found("upscale in.mp4") == {}
    with pytest.raises(EdvrError, match="no profile is called 'vhs'; there are: none"):
        found("upscale in.mp4 --profile vhs")


def test_the_file_is_shown(config: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """With what each table sets."""
    monkeypatch.setenv("COLUMNS", "300")
    assert run("config") == 0
    lines = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert str(config) in lines["file"]
    assert 'device = "cpu", workers = 2' in lines["all commands"]
    assert 'deinterlace = "frame", precision = "bf16"' in lines["[profiles.vhs]"]
    assert "vhs, again" in lines["profiles"]


def test_the_example_is_valid_in_whole_and_without_its_comment_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """It is written once, and never over another file."""
    monkeypatch.setenv("EDVR_CONFIG", str(tmp_path / "new" / "edvr.toml"))
    assert run("config", "--init") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "new" / "edvr.toml")
    assert read_settings(None).content == tomllib.loads(EXAMPLE)
    assert run("config", "--init") == 2
    used = re.sub(r"^#(?! )", "", EXAMPLE, flags=re.MULTILINE)
    content = tomllib.loads(used)
    assert content["upscale"]["crf"] == 16
    check_all(SettingsFile(tmp_path, content), edvr.with_settings(click.Context(edvr, **edvr.context_settings)))
