"""Values that mean nothing, lists from other systems, and names that are taken for something else."""

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edvr_cli.cli.paths import read_paths
from edvr_cli.cli.types import (
    DEVICE_NAME,
    FILE,
    KEY_VALUE,
    MODEL,
    NAME,
    RATE,
    RAW_FORMAT,
    REAL,
    SCALE,
    SIZE,
    THREADS,
    TILE,
    TIME,
    Count,
    Finite,
)
from tests.cli.test_errors import edvr  # noqa: F401 (a fixture)
from tests.models.test_file_kind import EXAMPLES

TYPES = [DEVICE_NAME, FILE, KEY_VALUE, MODEL, NAME, RATE, RAW_FORMAT, REAL, SCALE, SIZE, THREADS, TILE, TIME]
TYPES += [Count(1), Finite(0.04, 60)]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Finite(0.04, 60), "nan"),
        (REAL, "inf"),
        (REAL, "-nan"),
        (THREADS, str(1 << 31)),
        (Count(1), "9" * 400),
        (Count(1), "9" * 5000),
        (SIZE, "9" * 400),
        (SIZE, "nan"),
        (TIME, "1" * 5000),
        (TIME, f"1:{'1' * 5000}"),
        (TIME, f"0.{'1' * 5000}"),
        (TIME, "٣"),
        (RATE, "1" * 5000),
        (RATE, f"1/{'1' * 5000}"),
        (TILE, "9" * 5000),
        (TILE, "-1"),
        (TILE, "1"),
        (TILE, "²"),
        (RAW_FORMAT, f"{'9' * 5000}x1:rgb24"),
        (DEVICE_NAME, "meta"),
        (DEVICE_NAME, "hpu"),
        (DEVICE_NAME, "cuda:-1"),
        (DEVICE_NAME, "cpu:9999999999"),
        (FILE, ""),
        (FILE, "a\0b"),
        (NAME, ""),
        (MODEL, ""),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_means_nothing_is_wrong_usage(kind: click.ParamType, text: str):
    """And no exception of Python's, PyTorch's or the system's."""
    with pytest.raises(click.UsageError):
        kind.convert(text, None, None)


@settings(max_examples=EXAMPLES * 5, deadline=None)
@given(kind=st.sampled_from(TYPES), text=st.text(max_size=30) | st.from_regex(r"[-+]?[0-9eE.:x/infa]{1,30}[smgk]?"))
def test_any_text_is_a_value_or_wrong_usage(kind: click.ParamType, text: str):
    """Whatever somebody types."""
    try:
        kind.convert(text, None, None)
    except click.UsageError as error:
        assert error.format_message()


# --- Lists


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_of_other_systems_are_read(tmp_path: Path, encoding: str, end: str):
    """Notepad's begin with a mark, PowerShell's are UTF-16, and Explorer puts quotes around a path."""
    lines = ["a.mp4", '"C:\\Users\\Jörg\\b c.mp4"', "", "# not this", "'映画.mp4'", "  d.mp4 "]
    (tmp_path / "list.txt").write_bytes(end.join(lines).encode(encoding))
    inputs, _ = read_paths((), None, "out", tmp_path / "list.txt")
    assert inputs == ["a.mp4", "C:\\Users\\Jörg\\b c.mp4", "映画.mp4", "d.mp4"]


def test_bytes_of_a_list_that_are_not_utf_8_stay_what_they_are(tmp_path: Path):
    """As the file system has them; and quotes that belong to a name."""
    quoted = tmp_path / '"q".mp4'
    quoted.touch()
    (tmp_path / "list.txt").write_bytes(b"\xff.mp4\n" + bytes(quoted))
    assert read_paths((), None, "out", tmp_path / "list.txt")[0] == ["\udcff.mp4", str(quoted)]


def test_a_video_is_no_list(tmp_path: Path):
    """Nor is what holds zero bytes."""
    (tmp_path / "list.txt").write_bytes(b"\0\0\0 ftyp")
    with pytest.raises(click.UsageError, match="is not a list of files"):
        read_paths((), None, "out", tmp_path / "list.txt")


# --- What is said

WORDS: dict[str, tuple[tuple[str, ...], str]] = {
    "an empty IN": (("upscale", "", "out.mp4"), "the name is empty; is a variable not set"),
    "an empty OUT": (("upscale", "in.mp4", ""), "the name is empty"),
    "an empty model": (("upscale", "in.mp4", "out.mp4", "-n", ""), "the name is empty"),
    "an empty name to look at": (("info", ""), "the name is empty"),
    "the folder itself": (("upscale", "clips", "clips"), "clips is the folder IN itself"),
    "the folder itself with a slash": (("upscale", "clips", "clips/"), "is the folder IN itself"),
    "a folder that is not there": (("upscale", "in.mp4", "none/"), "none/ does not exist; create the folder first"),
    "a dash": (("upscale", "-dash.mp4", "out.mp4"), "is ./-dash.mp4"),
    "folders of frames": (
        ("upscale", "-r", "shots", "out"),
        "shots/a holds pictures: give folders of pictures one by one",
    ),
    "nothing below": (("upscale", "-r", "empty", "out"), "no videos found; try --include PATTERN for other suffixes."),
    "no index": (("info", "cut.mp4"), r"cut.mp4 has no index \(moov atom\)"),
    "too large for H.264": (
        ("info", "wide.mkv", "-d", "cpu", "-n", "tiny.safetensors"),
        "libx264 holds pictures of 16384 pixels per side at most, and these have 16640x64: choose a smaller scale",
    ),
    "a file for a folder": (("preview", "in.mp4", "-n", "tiny.safetensors", "-o", "in.mp4"), "is a file; the pictures"),
}


@pytest.mark.parametrize(("arguments", "words"), WORDS.values(), ids=WORDS)
def test_what_is_wrong_is_said_with_what_to_do(edvr: Callable, arguments: tuple[str, ...], words: str):  # noqa: F811
    """In the words of whoever gave it."""
    from tests.support.clips import make_clip

    for folder in ("clips", "shots/a", "empty"):
        Path(folder).mkdir(parents=True)
    Path("shots/a/1.png").touch()
    Path("cut.mp4").write_bytes(Path("in.mp4").read_bytes()[:900])
    if "wide.mkv" in arguments:
        make_clip(Path("wide.mkv"), width=4160, height=16, frames=1)
    code, out, said = edvr(*arguments)
    assert code in (1, 2) and out == ""
    assert re.search(words, said), said


def test_a_network_that_gives_no_numbers_is_said_to_be_damaged(edvr: Callable):  # noqa: F811
    """No precision helps against parameters that are not finite."""
    import torch

    from edvr_cli.models.checkpoint import load_model, save_model

    model = load_model("tiny.safetensors")
    next(iter(model.network.parameters())).data.fill_(torch.nan)
    save_model(model, "nan.safetensors", dtype=torch.float32)
    code, _, said = edvr("upscale", "in.mp4", "out.mp4", "-n", "nan.safetensors", "-d", "cpu", "--precision", "fp32")
    assert code == 1 and "has parameters that are not finite; use another model" in said and "bf16" not in said
