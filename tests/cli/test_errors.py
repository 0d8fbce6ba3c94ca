"""Whatever goes wrong ends in one sentence on standard error, and what is said never ends the work."""

import io
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edvr_cli.cli import main, output
from edvr_cli.cli.messages import Messages
from edvr_cli.errors import EdvrError, OutputError, reason_of, sentence_of, unforeseen
from edvr_cli.models.checkpoint import save_model
from tests.support.clips import make_clip
from tests.support.networks import random_network

TINY = {"features": 8, "groups": 2, "tail": 4, "tsa": False, "levels": 1, "cascade": False}


@pytest.fixture
def edvr(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable:
    """The command in a folder with ``in.mp4`` and ``tiny.safetensors``: (exit code, output, messages)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDVR_MODEL_DIR", str(tmp_path / "models"))
    make_clip(tmp_path / "in.mp4", width=32, height=24, frames=3)
    save_model(random_network(**TINY), tmp_path / "tiny.safetensors")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return left.value.code, captured.out, captured.err

    return run


UPSCALE = ("upscale", "in.mp4", "out.mp4", "-n", "tiny.safetensors", "-d", "cpu", "--precision", "fp32")


# --- The last line of defence


def buggy(*arguments: object, **options: object) -> None:
    """A fault of the program's own."""
    raise KeyError("nobody foresaw this")


def test_a_fault_of_the_program_s_own_is_a_sentence_with_where_to_report_it(edvr, monkeypatch: pytest.MonkeyPatch):
    """Its traceback stands in the log file."""
    monkeypatch.setattr("edvr_cli.jobs.restore_video.restore_video", buggy)
    code, _, said = edvr("--log-file", "log.txt", *UPSCALE)
    assert code == 1 and "Traceback" not in said and len(said.splitlines()) == 1
    assert re.match(r"edvr: This is a fault of edvr: KeyError: 'nobody foresaw this' \(test_errors", said)
    assert "report it where edvr came from" in said and "doctor --json" in said
    assert "Traceback" in (log := Path("log.txt").read_text()) and "in buggy" in log


def test_its_traceback_is_shown_on_request(edvr, monkeypatch: pytest.MonkeyPatch):
    """At the level of debugging."""
    monkeypatch.setattr("edvr_cli.jobs.restore_video.restore_video", buggy)
    code, _, said = edvr("--log-level", "debug", *UPSCALE)
    assert code == 1 and "Traceback" in said and said.splitlines()[-1].startswith("edvr: This is a fault")


def test_a_fault_in_one_file_costs_a_folder_that_file_alone(edvr, monkeypatch: pytest.MonkeyPatch):
    """The exit code says that there was one."""
    from edvr_cli.jobs.restore_video import restore_video

    def sometimes(source: Path, *arguments: object, **options: object) -> object:
        return buggy() if source.name == "a.mp4" else restore_video(source, *arguments, **options)

    monkeypatch.setattr("edvr_cli.jobs.restore_video.restore_video", sometimes)
    Path("clips").mkdir()
    for name in ("a.mp4", "b.mp4"):
        Path(f"clips/{name}").hardlink_to("in.mp4")
    code, out, said = edvr("--log-file", "log.txt", "upscale", "clips", "out", *UPSCALE[3:])
    assert (code, out) == (1, "out/b.mp4\n") and "1 of 2 files failed" in said and "Traceback" not in said
    assert "in buggy" in Path("log.txt").read_text()


# --- The system's errors


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "a/b.mp4"), "a/b.mp4: Permission denied."),
        (OSError(28, "No space left on device"), "No space left on device; free some space, or write elsewhere."),
        (
            OSError(36, "File name too long", b"a\xff"),
            "a\udcff: File name too long; choose a name of 255 bytes at most.",
        ),
        (FileNotFoundError(2, "No such file or directory", "a", None, "b"), "a → b: No such file or directory."),
        (OSError("without a number"), "without a number."),
        (OSError(), "OSError."),
        (OutputError("Its own words."), "Its own words."),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_every_error_of_the_system_has_a_sentence(error: Exception, sentence: str):
    """With the file, and with what helps."""
    assert sentence_of(error) == sentence
    assert not isinstance(error, OSError) or reason_of(error) in sentence


def test_an_error_without_words_has_its_name():
    """And one over many lines its first."""
    assert sentence_of(EdvrError()) == "EdvrError"
    assert "ZeroDivisionError. Please" in unforeseen(ZeroDivisionError())


LONG = "x" * 300
UNUSABLE = {
    "a source with a long name": ("info", LONG),
    "a source below a file": ("info", "in.mp4/x"),
    "a target with a long name": (*UPSCALE[:2], f"{LONG}.mp4", *UPSCALE[3:]),
    "a target below a file": (*UPSCALE[:2], "in.mp4/out.mp4", *UPSCALE[3:]),
    "a model with a long name": ("models", "info", LONG),
    "a model's file below a file": ("models", "info", "in.mp4/x.pth"),
    "a folder that cannot be made": ("preview", "in.mp4", "-n", "tiny.safetensors", "-o", "in.mp4"),
    "a model into a missing folder": ("models", "convert", "tiny.safetensors", "none/x.pth"),
    "safetensors into a missing folder": ("models", "convert", "tiny.safetensors", "none/x.safetensors"),
    "a page into a missing folder": ("report", "in.mp4", "in.mp4", "-o", "none/page.html", "--no-vmaf"),
    "one with a long name to compare": ("compare", "in.mp4", LONG),
    "a list with a long name": ("upscale", "--list", LONG),
    "a list that is a folder": ("upscale", "--list", "."),
    "a name of a model that is too long": ("models", "add", "tiny.safetensors", "--name", LONG),
}


@pytest.mark.parametrize("arguments", UNUSABLE.values(), ids=UNUSABLE)
def test_a_path_that_cannot_be_used_is_one_sentence(edvr, arguments: tuple[str, ...]):
    """In every command."""
    code, out, said = edvr(*arguments)
    assert code in (1, 2) and out == "" and "Traceback" not in said and "fault of edvr" not in said
    assert len(said.splitlines()[-1]) > 10


LOCKED = {
    "info": ("info", "locked/in.mp4"),
    "upscale": ("upscale", "locked/in.mp4", "out.mp4"),
    "upscale a folder": ("upscale", "locked", "out"),
    "upscale into": ("upscale", "in.mp4", "locked/out.mp4"),
    "upscale with": ("upscale", "in.mp4", "out.mp4", "-n", "locked/model.pth"),
    "compare": ("compare", "in.mp4", "locked/in.mp4"),
    "preview": ("preview", "in.mp4", "-n", "tiny.safetensors", "-o", "locked/preview"),
    "report": ("report", "in.mp4", "in.mp4", "-o", "locked/page.html", "--no-vmaf"),
    "models info": ("models", "info", "locked/model.pth"),
    "models add": ("models", "add", "locked/model.pth"),
    "models convert": ("models", "convert", "tiny.safetensors", "locked/x.pth"),
    "a list": ("upscale", "--list", "locked/list.txt"),
}


@pytest.mark.skipif(os.name != "posix", reason="modes are the POSIX ones")
@pytest.mark.parametrize("arguments", LOCKED.values(), ids=LOCKED)
def test_what_may_not_be_entered_is_one_sentence(edvr, tmp_path: Path, arguments: tuple[str, ...]):
    """Also where the program may only find that out by trying."""
    (tmp_path / "locked").mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        if parent.name.startswith("pytest"):
            parent.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    else:
        (tmp_path / "locked").chmod(0)
    try:
        code, out, said = edvr(*arguments)
    finally:
        if root:
            os.seteuid(0)
        (tmp_path / "locked").chmod(0o700)
    assert code in (1, 2) and out == "" and "Traceback" not in said and "fault of edvr" not in said
    assert re.search("ermission denied|not writable|does not exist|cannot be", said)


# --- What is said


def test_a_full_disk_under_the_log_file_is_a_note(edvr):
    """Standard error says so once."""
    code, out, said = edvr("--log-file", "/dev/full", *UPSCALE)
    assert (code, out) == (0, "out.mp4\n") and said.count("The log file cannot be written") == 1


class Deaf(io.StringIO):
    """A stream that takes nothing, as a full disk does, or a pipe whose reader has gone."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        """Never."""
        raise self.error

    def flush(self) -> None:
        """Never."""
        raise self.error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), BrokenPipeError(32, "Broken pipe"), None])
def test_nobody_need_listen_to_standard_error(edvr, monkeypatch: pytest.MonkeyPatch, error: OSError | None):
    """It may be full, a pipe that nobody reads, or closed."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", error and Deaf(error))
        assert edvr(*UPSCALE)[:2] == (0, "out.mp4\n")
        assert edvr("info", "none.mp4")[0] == 2


def test_events_that_nobody_reads_are_no_reason_to_stop(edvr, monkeypatch: pytest.MonkeyPatch):
    """The work continues; a note says that no more events are written."""
    monkeypatch.setattr(sys, "stdout", Deaf(BrokenPipeError(32, "Broken pipe")))
    code, _, said = edvr(*UPSCALE, "--json")
    assert (code, said) == (
        0, "note: Standard output was closed by its reader. No more events are written; the work continues.\n"
    )  # fmt: skip
    assert Path("out.mp4").exists()


def test_a_finished_output_is_one_whoever_hears_of_it(edvr, monkeypatch: pytest.MonkeyPatch):
    """Its path is said as well, but the file is what was asked for."""
    monkeypatch.setattr(sys, "stdout", Deaf(OSError(28, "No space left on device")))
    code, _, said = edvr(*UPSCALE)
    assert code == 0 and "note: Standard output cannot be written: No space left on device" in said
    assert Path("out.mp4").exists()


def test_results_that_cannot_be_written_are_an_error(edvr, monkeypatch: pytest.MonkeyPatch):
    """Here they are all there is."""
    for more in ((), ("--json",)):
        monkeypatch.setattr(sys, "stdout", Deaf(OSError(28, "No space left on device")))
        code, _, said = edvr("info", "in.mp4", "-d", "cpu", *more)
        assert code == 1
        assert said.startswith("edvr: Standard output cannot be written: No space left on device; free")


def test_a_real_closed_stream_is_one_as_well(tmp_path: Path):
    """The interpreter's own last words included."""
    command = f"{sys.executable} -m edvr_cli models --json"
    for end, code, words in (("2>&-", 0, ""), (">/dev/full", 1, "edvr: Standard output cannot be written: No space")):
        run = subprocess.run(["bash", "-c", f"{command} {end}"], check=False, capture_output=True, text=True)
        assert run.returncode == code and run.stderr.startswith(words) and run.stderr.count("\n") <= 1


# --- Texts of unknown origin

ATTACK = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b1m [bold]x[/] [/i] [of] :smile: \u202e"
SHOWN = "]0;owned[2J[31mred1m [bold]x[/] [/i] [of] :smile: "


def test_texts_are_shown_as_they_are_and_command_nothing(capfd: pytest.CaptureFixture[str]):
    """On both consoles, in tables, lines and JSON."""
    console = output.PlainConsole(width=200, force_terminal=True, color_system=None)
    console.print(ATTACK)
    output.echo(ATTACK)
    output.echo_json({ATTACK: [ATTACK]})
    Messages().print(output.markup("{}", ATTACK), soft_wrap=True)
    Messages().warn(ATTACK)
    captured = capfd.readouterr()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", captured.out + captured.err)
    assert captured.out.splitlines()[:2] == [SHOWN.rstrip(), SHOWN] or SHOWN in captured.out
    assert json.loads(captured.out.splitlines()[2]) == {SHOWN: [SHOWN]}
    assert captured.err.count(SHOWN.rstrip()) == 2


def test_json_has_no_infinity(capfd: pytest.CaptureFixture[str]):
    """Of equal frames the PSNR is infinite, which other programs' JSON does not know."""
    output.echo_json({"psnr": math.inf, "scores": [{"ssim": 1.0, "flicker": math.nan}]})
    assert capfd.readouterr().out == '{"psnr": null, "scores": [{"ssim": 1.0, "flicker": null}]}\n'


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_encoding_of_standard_output_will_do(edvr, monkeypatch: pytest.MonkeyPatch, encoding: str):
    """What it lacks is spelled out; JSON loses nothing."""
    name = "映画 \udcff → [of].mp4"
    make_clip(Path("titled.mp4"), width=32, height=24, frames=3, metadata={"title": "Фильм [/i]"}).rename(name)
    for more in ((), ("--json",)):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        code, _, said = edvr("info", name, "-d", "cpu", *more)
        assert (code, said) == (0, "")
        text = sys.stdout.buffer.getvalue().decode(encoding)
        if more:
            facts = json.loads(text)
            assert facts["path"] == name and facts["metadata"]["title"] == "Фильм [/i]"
        else:
            assert "[of].mp4" in text and "[/i]" in text and ("->" in text or "→" in text)


def test_one_module_makes_consoles_and_writes_to_standard_output():
    """So that no text reaches a terminal past it."""
    for path in sorted((Path(output.__file__).parent).glob("*.py")):
        if path.name not in ("output.py", "messages.py"):
            text = path.read_text()
            assert not re.search(r"(?<!Plain)\bConsole\(|click\.echo|from_markup|sys\.std(out|err)\.", text), path.name
