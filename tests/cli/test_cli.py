"""The command as a user meets it: exit codes, messages, and what goes to which stream."""

import json
import multiprocessing
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import pytest
import torch

from edvr_cli.cli import main, progress
from edvr_cli.events import Event, FrameRestored, Started
from edvr_cli.models.checkpoint import save_model
from edvr_cli.video.reading.sources import probe
from tests.support.clips import HARD, frame_times, make_clip, packets, pictures, shared
from tests.support.networks import random_network

TINY = {"features": 8, "groups": 2, "tail": 4, "tsa": False, "levels": 1, "cascade": False}


class Run(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny network for each task."""
    folder = tmp_path_factory.mktemp("models")
    save_model(random_network(**TINY), folder / "sr.safetensors")
    save_model(random_network(**TINY, predeblur=True, hr_in=True), folder / "deblur.safetensors")
    return folder


@pytest.fixture
def edvr(
    tmp_path: Path, models: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """The command in a directory with the clip ``in.mp4``, and with the tiny models at hand by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDVR_MODEL_DIR", str(models))
    make_clip(tmp_path / "in.mp4", width=32, height=24, frames=6, audio=("aac",))

    def run(*arguments: object) -> Run:
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as caught:
                main([str(argument) for argument in arguments])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        assert isinstance(caught.value.code, int)
        return Run(caught.value.code, *capfd.readouterr())

    return run


def names() -> list[str]:
    """What is in the current directory."""
    return sorted(path.name for path in Path().iterdir())


UPSCALE = ("upscale", "--model", "sr", "--preset", "ultrafast")


# --- Results


def test_upscale_writes_the_video_and_says_where(edvr):
    """The path alone on standard output, all else on standard error."""
    run = edvr(*UPSCALE, "in.mp4", "out.mp4", "--scale", "4")
    assert (run.code, run.out) == (0, "out.mp4\n")
    assert names() == ["in.mp4", "out.mp4"]
    info = probe("out.mp4")
    assert (info.width, info.height, info.codec, info.pix_fmt) == (128, 96, "h264", "yuv420p")
    assert frame_times(Path("out.mp4")) == frame_times(Path("in.mp4"))
    assert packets(Path("out.mp4")) == packets(Path("in.mp4"))


def test_deblur_keeps_the_size(edvr):
    """With a model for it."""
    run = edvr("deblur", "in.mp4", "out.mp4", "--weights", "deblur", "--preset", "ultrafast")
    assert (run.code, run.out) == (0, "out.mp4\n")
    assert (probe("out.mp4").width, probe("out.mp4").height) == (32, 24)


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (("in.mp4",), "in_upscaled.mp4"),
        (("-i", "in.mp4"), "in_upscaled.mp4"),
        (("-i", "in.mp4", "-o", "a.mkv"), "a.mkv"),
        (("in.mp4", "-o", "a.mov"), "a.mov"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_input_and_output_may_be_options_and_the_output_left_out(edvr, arguments: tuple[str, ...], target: str):
    """The output is then next to the input."""
    run = edvr(*UPSCALE, *arguments, "--frames", "1")
    assert (run.code, run.out) == (0, f"{target}\n")
    assert names() == sorted(["in.mp4", target])


@pytest.mark.parametrize("suffix", [".avi", ".webm", ".ts"])
def test_the_default_output_is_one_that_can_be_written(edvr, suffix: str):
    """Whatever the input's container is."""
    codec = {"codec": "libvpx-vp9", "options": {}} if suffix == ".webm" else {"codec": "mpeg4", "options": {}}
    make_clip(Path(f"other{suffix}"), **codec)
    assert edvr(*UPSCALE, f"other{suffix}").out == "other_upscaled.mkv\n"


@pytest.mark.parametrize(
    ("arguments", "frames"),
    [
        (("--frames", "2"), 2),
        (("--start", "0.08"), 4),
        (("--end", "80ms"), 2),
        (("--start", "00:00:00.04", "--end", "0:00.16"), 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_part_can_be_restored(edvr, arguments: tuple[str, ...], frames: int):
    """By FFmpeg's time syntax or by count."""
    assert edvr(*UPSCALE, "in.mp4", "out.mp4", *arguments).code == 0
    times = frame_times(Path("out.mp4"))
    assert times == [Fraction(n, 25) for n in range(frames)]


def test_encoder_options_reach_the_encoder(edvr):
    """Codec, quality, preset, pixel format under both spellings, and its own options."""
    arguments = ("--codec", "libx265", "--crf", "30", "--pix_fmt", "yuv444p10le", "-e", "x265-params=keyint=2")
    assert edvr(*UPSCALE, "in.mp4", "out.mkv", *arguments).code == 0
    info = probe("out.mkv")
    assert (info.codec, info.pix_fmt) == ("hevc", "yuv444p10le")
    with av.open("out.mkv") as container:
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size].count(True) == 3


def test_streams_can_be_left_out(edvr):
    """The sound, on request."""
    assert edvr(*UPSCALE, "in.mp4", "out.mp4", "--no-audio", "--no-subs", "--no-shots", "--frames", "1").code == 0
    assert packets(Path("out.mp4")) == []


def test_another_scale_is_made_by_shrinking_and_said(edvr):
    """Plainly."""
    run = edvr(*UPSCALE, "in.mp4", "out.mp4", "-s", "1.5")
    assert (probe("out.mp4").width, probe("out.mp4").height) == (48, 36)
    assert "The model enlarges by 4; its output is resized to this size (Lanczos)." in run.err
    assert "Lanczos" not in edvr(*UPSCALE, "in.mp4", "out2.mp4").err


@pytest.mark.parametrize(
    ("arguments", "precision"),
    [
        ((), "(bf16|fp32)"),
        (("--fp32",), "fp32"),
        (("--precision", "bf16"), "bf16"),
        (("--precision", "bf16", "--fp32"), "fp32"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_precision_has_two_spellings(edvr, arguments: tuple[str, ...], precision: str):
    """And a default."""
    run = edvr(*UPSCALE, "in.mp4", "out.mp4", "--frames", "1", "-d", "cpu", *arguments)
    assert re.search(rf"^sr on cpu, {precision}, whole frames$", run.err, re.MULTILINE)


def test_a_strength_is_applied_and_said(edvr):
    """In the line that says what runs; nothing is said where it is the whole."""
    run = edvr(*UPSCALE, "in.mp4", "half.mp4", "--strength", "0.5")
    assert re.search(r", whole frames, strength 0\.5$", run.err, re.MULTILINE)
    assert "strength" not in edvr(*UPSCALE, "in.mp4", "all.mp4").err
    assert Path("half.mp4").read_bytes() != Path("all.mp4").read_bytes()
    assert re.search(
        r"frames, sharpen 0\.3$", edvr(*UPSCALE, "in.mp4", "crisp.mp4", "--sharpen", "0.3").err, re.MULTILINE
    )
    assert Path("crisp.mp4").read_bytes() != Path("all.mp4").read_bytes()
    run = edvr(*UPSCALE, "in.mp4", "more.mp4", "--strength", "1.5")
    assert (run.code, "0 to 1" in run.err) == (2, True)


def test_turned_copies_are_averaged_and_said(edvr):
    """In the line that says what runs; other numbers are refused."""
    run = edvr(*UPSCALE, "in.mp4", "mean.mp4", "--tta", "2")
    assert re.search(r", whole frames, tta 2$", run.err, re.MULTILINE)
    assert "tta" not in edvr(*UPSCALE, "in.mp4", "plain.mp4").err
    assert Path("mean.mp4").read_bytes() != Path("plain.mp4").read_bytes()
    assert "tta 2" in edvr("info", "in.mp4", *UPSCALE[1:], "--tta", "2").out
    run = edvr(*UPSCALE, "in.mp4", "more.mp4", "--tta", "3")
    assert (run.code, "'3' is not one of '1', '2', '4', '8'" in run.err) == (2, True)


def test_tiles_are_said(edvr):
    """Their size is the user's."""
    make_clip(Path("wide.mp4"), width=96, height=24, frames=1)
    run = edvr(*UPSCALE, "wide.mp4", "out.mp4", "--tile", "48", "--tile-pad", "8")
    assert "tiles of 48" in run.err


def test_overwrite_replaces_what_is_there(edvr):
    """With -y, and only then."""
    Path("out.mp4").write_bytes(b"old")
    refused = edvr(*UPSCALE, "in.mp4", "out.mp4")
    assert (refused.code, refused.out) == (2, "")
    assert "out.mp4 exists; pass --overwrite (-y) to replace it" in refused.err
    assert Path("out.mp4").read_bytes() == b"old"
    assert edvr(*UPSCALE, "in.mp4", "out.mp4", "-y").code == 0
    assert len(pictures(Path("out.mp4"))) == 6


def test_any_file_name_will_do(edvr):
    """Brackets that look like markup, and bytes that are no text."""
    name = os.fsdecode(b"[red]\xff%d:{x}.mp4")
    Path("in.mp4").rename(name)
    run = edvr(*UPSCALE, name, "[bold]out.mp4", "--frames", "1")
    assert (run.code, run.out) == (0, "[bold]out.mp4\n")
    assert "[red]" in run.err and "[bold]out.mp4" in run.err


# --- Many files


def test_an_output_in_a_folder_has_the_input_s_name(edvr):
    """If the folder is there."""
    Path("out").mkdir()
    assert edvr(*UPSCALE, "in.mp4", "out", "--frames", "1").out == "out/in.mp4\n"


def test_a_folder_is_restored_file_by_file(edvr):
    """Results on standard output, a table on standard error, and an exit code that tells of failures."""
    Path("clips/sub").mkdir(parents=True)
    Path("in.mp4").rename("clips/sub/a.mp4")
    Path("clips/bad.mp4").write_text("junk")
    run = edvr(*UPSCALE, "clips", "-r", "--frames", "2", "--no-progress")
    assert (run.code, run.out) == (1, "clips_upscaled/sub/a.mp4\n")
    assert re.search(r"^clips/bad\.mp4 +failed: is not", run.err, re.MULTILINE)
    assert "failed: bad.mp4 is not a video" in run.err
    assert re.search(r"^clips/sub/a\.mp4 +2 +[\d.]+ +[\d.]+ kB +done", run.err, re.MULTILINE)
    assert run.err.splitlines()[-1] == "edvr: 1 of 2 files failed."
    again = edvr(*UPSCALE, "clips", "-r", "--frames", "2", "--skip-existing", "--exclude", "bad*")
    assert (again.code, again.out) == (0, "")
    assert re.search(r"^clips/sub/a\.mp4 +skipped: the output exists", again.err, re.MULTILINE)


def test_inputs_may_stand_in_a_list(edvr):
    """One per line, added to those on the command line."""
    Path("b.mp4").write_bytes(Path("in.mp4").read_bytes())
    Path("list.txt").write_text("# clips\n\nb.mp4\n")
    run = edvr(*UPSCALE, "in.mp4", "--list", "list.txt", "-o", "out", "--frames", "1")
    assert (run.code, run.out) == (0, "out/in.mp4\nout/b.mp4\n")


def test_a_batch_has_two_bars(edvr, monkeypatch: pytest.MonkeyPatch):
    """Of its files, and of the frames of one."""
    Path("b.mp4").write_bytes(Path("in.mp4").read_bytes())
    with terminal(monkeypatch) as shown:
        assert edvr(*UPSCALE, "in.mp4", "b.mp4", "out/").code == 0
    text = shown.decode()
    assert "files" in text and "2/2" in text and "6/6" in text and "status" in text


def test_events_can_be_read_by_scripts(edvr):
    """One object a line on standard output, and nothing else there."""
    run = edvr(*UPSCALE, "in.mp4", "out.mp4", "--json")
    events = [json.loads(line) for line in run.out.splitlines()]
    assert [event["event"] for event in events] == ["started", *["frame_restored"] * 6, "joining", "finished"]
    assert (events[0]["source"], events[0]["output_size"], events[0]["total"]) == ("in.mp4", [128, 96], 6)
    assert (events[1]["done"], events[-1]["target"], run.err) == (1, "out.mp4", "")
    failed = edvr(*UPSCALE, "in.mp4", "out.mp4", "--json")
    assert json.loads(failed.out)["message"].startswith("out.mp4 exists") and failed.code == 2


def test_a_cluster_needs_its_extra(edvr, monkeypatch: pytest.MonkeyPatch):
    """And says which."""
    monkeypatch.setattr("edvr_cli.cli.restore.find_spec", lambda name: None)
    run = edvr(*UPSCALE, "in.mp4", "out.mp4", "--cluster", "auto")
    assert run.code == 2
    assert run.err.splitlines()[-1] == "edvr: --cluster needs Ray: pip install 'edvr-cli[cluster]'."


def test_several_devices_work_on_one_file(edvr):
    """A worker process each, which are gone afterwards."""
    run = edvr(*UPSCALE, "in.mp4", "out.mp4", "--device", "cpu,cpu", "--segment", "0.08")
    assert run.code == 0 and " on 2 × cpu, " in run.err and "6 frames" in run.err
    assert not multiprocessing.active_children()


def test_standard_output_is_written_by_one_device(edvr, models: Path):
    """And so said."""
    run = subprocess.run(
        [sys.executable, "-m", "edvr_cli", "upscale", "-n", "sr", "in.mp4", "-", "--device", "cpu,cpu"],
        env={**os.environ, "EDVR_MODEL_DIR": str(models)}, capture_output=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0 and run.stdout.startswith(b"YUV4MPEG2 W128 H96 ")
    assert b"Standard output takes frames one after the other: one device is used, cpu." in run.stderr


def test_a_preview_is_made_on_one_device(edvr):
    """There is nothing to share."""
    run = edvr("preview", "in.mp4", "--device", "cpu,cpu")
    assert run.code == 2 and "this command works on one device" in " ".join(run.err.split())


def test_limits_can_be_set(edvr, monkeypatch: pytest.MonkeyPatch):
    """Of threads and memory; less memory means tiles."""
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    make_clip(Path("wide.mp4"), width=256, height=192, frames=1)
    run = edvr(*UPSCALE, "wide.mp4", "out.mp4", "--threads", "1", "--max-memory", "8M")
    assert run.code == 0 and re.search(r"tiles of \d+", run.err)


# --- Refusals: (arguments, what the one line says)

FAILURES = {
    "missing file": (("no.mp4",), "no.mp4: no such file."),
    "empty folder": (("folder",), "folder: no videos found; try --include PATTERN for other suffixes, or --recursive."),
    "empty pattern": (("*.mov", "folder"), "*.mov: no file matches."),
    "empty": (("empty.mp4", "out.mp4"), "empty.mp4 is empty."),
    "not a video": (("text.txt", "out.mp4"), "text.txt is not a video that can be read"),
    "sound alone": (("sound.wav", "out.mp4"), "sound.wav has no video stream (audio)"),
    "input is output": (("in.mp4", "in.mp4", "-y"), "in.mp4 is the input itself; give the output another name."),
    "no folder": (("in.mp4", "no/out.mp4"), "no does not exist; create the directory first."),
    "container": (("in.mp4", "out.gif"), "no container is known for the suffix '.gif'; use one of .mp4"),
    "codec and container": (
        ("in.mp4", "out.webm", "-c", "libx264"),
        "webm does not hold h264 video, but that of libsvtav1 or libvpx-vp9; choose another --codec",
    ),
    "codec": (("in.mp4", "out.mp4", "-c", "h266"), "Unknown video encoder 'h266'; usual ones here:"),
    "audio codec": (("in.mp4", "out.mp4", "-c", "aac"), "'aac' is an encoder for audio"),
    "preset": (("in.mp4", "out.mp4", "--preset", "quick"), "libx264 has no preset 'quick'; it has ultrafast"),
    "pixel format": (("in.mp4", "out.mp4", "--pix-fmt", "pink"), "libx264 does not take pixel format 'pink'"),
    "option": (("in.mp4", "out.mp4", "-e", "tuna=film"), "libx264 has no option 'tuna'; did you mean tune"),
    "crf without meaning": (
        ("in.mp4", "o.mkv", "-c", "ffv1", "--crf", "9"),
        "ffv1 has no constant quality (crf); leave out --crf",
    ),
    "unknown model": (("in.mp4", "out.mp4", "-n", "edvr-s-x5"), "unknown model 'edvr-s-x5': did you mean 'edvr-s-x4'?"),
    "no model file": (("in.mp4", "out.mp4", "-n", "a/b.pth"), "model file a/b.pth does not exist"),
    "no model": (("in.mp4", "out.mp4", "-n", "text.txt"), "text.txt is not a readable checkpoint"),
    "deblurring model": (
        ("in.mp4", "out.mp4", "-n", "deblur"),
        "deblur is a model for edvr deblur; choose another with --model",
    ),
    "past the end": (("in.mp4", "out.mp4", "--start", "9"), "no frame decodes in the chosen range"),
    "no device": (("in.mp4", "out.mp4", "-d", "cuda:99"), "device 'cuda:99' cannot be used here"),
    "half on a CPU": (
        ("in.mp4", "out.mp4", "-d", "cpu", "--precision", "fp16"),
        "pass --precision auto, bf16 or fp32",
    ),
}


WHILE_WORKING = {"empty", "not a video", "sound alone", "no model", "past the end", "no device", "half on a CPU"}


@pytest.mark.parametrize("name", FAILURES)
def test_what_cannot_be_done_is_one_sentence(edvr, name: str):
    """On standard error, with the exit code of its kind, and nothing is written."""
    arguments, message = FAILURES[name]
    Path("folder").mkdir()
    Path("empty.mp4").touch()
    Path("text.txt").write_text("hello\n" * 100)
    with wave.open("sound.wav", "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    before = names()
    run = edvr(*UPSCALE, *arguments)
    last = run.err.splitlines()[-1]
    assert (run.code, run.out) == (1 if name in WHILE_WORKING else 2, "")
    assert last.startswith("edvr: ") and message in last
    assert "Traceback" not in run.err
    assert names() == before


def test_an_encrypted_file_is_said_to_be(edvr):
    """With what is needed."""
    run = edvr(*UPSCALE, shared(HARD / "drm_sample_fragmented_clearkey.mp4"), "out.mp4")
    assert run.code == 1
    assert "is encrypted (DRM); a decrypted copy is needed." in run.err


def test_deblurring_without_a_model_says_what_to_pass(edvr, monkeypatch: pytest.MonkeyPatch):
    """As long as none ships."""
    monkeypatch.setattr("edvr_cli.models.registry.MODELS", {})
    run = edvr("deblur", "in.mp4")
    assert (run.code, run.out) == (1, "")
    assert run.err.count("\n") == 1
    assert "no deblur model ships" in run.err and "--model" in run.err and "--weights" in run.err


def test_an_upscaling_model_does_not_deblur(edvr):
    """And the message says what it is for."""
    run = edvr("deblur", "in.mp4", "out.mp4", "--model", "sr")
    assert run.code == 2
    assert "sr is a model for edvr upscale; choose another with --model" in run.err


MISUSES = {
    "no input": (("-o", "out.mp4"), "Missing argument 'IN'"),
    "two inputs": (("in.mp4", "out.mp4", "-i", "in.mp4"), "IN is given twice"),
    "two outputs": (("in.mp4", "out.mp4", "-o", "a.mp4"), "OUT is given twice: out.mp4 and a.mp4; several inputs"),
    "three files": (("in.mp4", "out.mp4", "b.mp4"), "b.mp4 does not exist; several inputs need a folder for OUT."),
    "a file as folder": (("*.mp4", "in.mp4"), "in.mp4 is a file; several inputs need a folder for OUT."),
    "watching a file": (("in.mp4", "--watch"), "--watch needs a folder for IN."),
    "no list": (("--list", "no.txt"), "no.txt cannot be read: No such file or directory."),
    "memory": (("in.mp4", "--max-memory", "much"), "invalid size 'much': expected 800M, 6G or 1.5G"),
    "segment": (("in.mp4", "--segment", "0"), "0.0 is not in the range 0.04 to 60"),
    "scale": (("in.mp4", "-s", "5"), "models enlarge 4 times. Run twice: enlarge 1.5 times first"),
    "scale in words": (("in.mp4", "-s", "big"), "invalid scale 'big': expected 2x, 1.5 or one of 720p"),
    "frames": (("in.mp4", "--frames", "0"), "0 is not in the range 1 or more"),
    "tile": (("in.mp4", "-t", "7"), "invalid tile size '7': expected auto, 0 (whole frames), or at least 16"),
    "tile pad": (("in.mp4", "--tile-pad", "-1"), "-1 is not in the range 0 or more"),
    "time": (("in.mp4", "--start", "soon"), "invalid time 'soon': expected 90, 1:30, 00:01:30.5 or 90500ms"),
    "times": (("in.mp4", "--start", "2", "--end", "1"), "--end must come after --start"),
    "device": (("in.mp4", "-d", "gpu"), "invalid device 'gpu': expected auto, cpu, cuda, cuda:1 or mps"),
    "precision": (("in.mp4", "--precision", "fp8"), "'fp8' is not one of 'auto', 'fp32', 'fp16', 'bf16'"),
    "option": (("in.mp4", "-e", "tune"), "invalid option 'tune': expected key=value"),
    "unknown option": (("in.mp4", "--tiles", "64"), "No such option"),
}


@pytest.mark.parametrize(("arguments", "message"), MISUSES.values(), ids=MISUSES)
def test_wrong_usage_is_told_from_failure(edvr, arguments: tuple[str, ...], message: str):
    """Exit code 2, the message with the usage on standard error."""
    run = edvr("upscale", *arguments)
    assert (run.code, run.out) == (2, "")
    assert message in run.err
    assert names() == ["in.mp4"]


@pytest.mark.parametrize("command", [(), ("upscale",), ("deblur",)], ids=str)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_everywhere(edvr, command: tuple[str, ...], option: str):
    """Asked for, it is the result."""
    run = edvr(*command, option)
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith("Usage: edvr") and "-h, --help" in run.out


@pytest.mark.parametrize("command", [(), ("upscale",)], ids=str)
def test_nothing_at_all_shows_the_help_as_wrong_usage(edvr, command: tuple[str, ...]):
    """Not asked for, it is a message."""
    run = edvr(*command)
    assert (run.code, run.out) == (2, "")
    assert "Usage: edvr" in run.err


def test_the_version_is_told(edvr):
    """And nothing else."""
    assert re.fullmatch(r"edvr, version \d+\.\d+\.\d+\n", edvr("--version").out)


# --- Progress


def test_without_a_terminal_progress_is_plain_lines(edvr, monkeypatch: pytest.MonkeyPatch):
    """Free of control characters, now and then."""
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0)
    run = edvr(*UPSCALE, "in.mp4", "out.mp4")
    lines = run.err.splitlines()
    assert lines[0] == "in.mp4 → out.mp4  32×24 → 128×96"
    assert re.fullmatch(r"sr on \w+, \w+, whole frames", lines[1])
    for done, line in enumerate(lines[2:-2], start=1):
        left = ", about 5 s left" if done < 6 else ""  # rounded, as nothing is known to the second
        assert re.fullmatch(rf"{done}/6 frames, [\d.]+ fps{left}", line)
    assert re.fullmatch(r"6 frames in [\d.]+ s \([\d.]+ fps\), verified\.", lines[-1])
    assert lines[-2] == "Joining the segments."
    assert len(lines) == 10
    assert "\x1b" not in run.err and "\r" not in run.err


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[bytearray]:
    """Standard error on a terminal of 80 columns; after the block, what was shown there."""
    master, slave = pty.openpty()
    shown = bytearray()

    def read() -> None:
        with suppress(OSError):  # a terminal's end of file on Linux
            while data := os.read(master, 4096):
                shown.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    with monkeypatch.context() as patch, os.fdopen(slave, "w", encoding="utf-8") as stream:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "80")
        patch.setattr(sys, "stderr", stream)
        yield shown
    reader.join()
    os.close(master)


@pytest.mark.parametrize(("arguments", "bar"), [((), True), (("--no-progress",), False)], ids=["bar", "no bar"])
def test_on_a_terminal_progress_is_a_bar(edvr, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], bar: bool):
    """Unless it is not wanted."""
    with terminal(monkeypatch) as shown:
        run = edvr(*UPSCALE, "in.mp4", "out.mp4", *arguments)
    text = shown.decode()
    assert (run.code, run.out, run.err) == (0, "out.mp4\n", "")
    assert ("━" in text) == bar
    assert ("6/6" in text) == bar
    assert "verified" in text


def test_the_bar_tells_the_time_left_of_slow_work_too(monkeypatch: pytest.MonkeyPatch):
    """Where a frame takes minutes; it fits into 80 columns."""
    now = 0.0
    monkeypatch.setattr("rich.console.monotonic", lambda: now)
    facts = Started(Path("in.mp4"), Path("out.mp4"), (32, 24), (128, 96), 1000, "sr", "cpu", "fp32", 0, resized=False)
    with terminal(monkeypatch) as shown, progress.Display() as display:
        display(facts)
        for done in range(1, 5):
            now += 200
            display(FrameRestored(done, 1000))
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"━ +4/1000 0\.01 fps elapsed 0:13:20 left 55:20:00\s*$", plain)


# --- Interruption


@contextmanager
def at_work(tmp_path: Path, models: Path) -> Iterator[subprocess.Popen[str]]:
    """The command as a process that has some of 500 frames on disk."""
    make_clip(tmp_path / "in.mp4", width=32, height=24, frames=500)
    command = [sys.executable, "-m", "edvr_cli", *UPSCALE, "in.mp4", "out.mp4", "--segment", "0.4"]
    environment = {**os.environ, "EDVR_MODEL_DIR": str(models), "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob(".*/*.mkv"))) < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_command_says_how_it_goes_on(
    tmp_path: Path, models: Path, number: signal.Signals, edvr: Callable[..., Run]
):
    """Whoever interrupts it; the exit code tells. Ctrl-C lets it end the segment that it is at."""
    with at_work(tmp_path, models) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    *_, kept, last = filter(None, err.splitlines())
    assert last == "edvr: interrupted."
    assert re.fullmatch(
        r"\d+ of 500 frames are kept in \.out\.mp4\.edvr; the same command continues from there\.", kept
    )
    assert ("Stopping when the current segment is done" in err) == (number == signal.SIGINT)
    assert "Traceback" not in err
    assert names() == [".out.mp4.edvr", "in.mp4"]
    assert not list(tmp_path.glob(".*/*.part"))
    refused = edvr(*UPSCALE, "in.mp4", "out.mp4", "--segment", "0.4", "--crf", "30", "--resume")
    assert refused.code == 1 and "changed since: encoder option crf (17 → 30)" in refused.err


@pytest.mark.parametrize("ignored", [False, True], ids=["closed terminal", "nohup"])
def test_a_closed_terminal_interrupts_unless_it_is_to_be_ignored(edvr, monkeypatch: pytest.MonkeyPatch, ignored: bool):
    """Nothing is left there either."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    show = progress.Display.__call__

    def hang_up(display: progress.Display, event: Event) -> None:
        show(display, event)
        if event == FrameRestored(3, 6):
            signal.raise_signal(signal.SIGHUP)

    monkeypatch.setattr(progress.Display, "__call__", hang_up)
    try:
        run = edvr(*UPSCALE, "in.mp4", "out.mp4")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert run.code == (0 if ignored else 130)
    assert names() == (["in.mp4", "out.mp4"] if ignored else ["in.mp4"])
