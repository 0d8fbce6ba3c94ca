"""The output file is whole under its name, or not there at all."""

import os
from pathlib import Path

import pytest

from edvr_cli.errors import OutputError
from edvr_cli.jobs.output_path import check_target, put_in_place
from tests.support.errors import raises


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A stand-in for an input file."""
    path = tmp_path / "in.mp4"
    path.write_bytes(b"source")
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A finished file that waits for its name."""
    path = tmp_path / "output"
    path.write_bytes(b"result")
    return path


def test_the_output_gets_its_name(tmp_path: Path, source: Path, output: Path):
    """And loses the one that it had."""
    put_in_place(output, tmp_path / "out.mp4", source=source)
    assert (tmp_path / "out.mp4").read_bytes() == b"result"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_an_existing_output_needs_overwrite(tmp_path: Path, source: Path, output: Path):
    """The message says how to go on; hours may pass between the check and the end, so that it is asked again."""
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with raises(OutputError, "exist", hint="overwrite"):
        check_target(target, source=source)
    with raises(OutputError, "exist", hint="overwrite"):
        put_in_place(output, target, source=source)
    assert (target.read_bytes(), output.read_bytes()) == (b"old", b"result")
    assert check_target(target, source=source, overwrite=True) == target
    put_in_place(output, target, source=source, overwrite=True)
    assert target.read_bytes() == b"result"


@pytest.mark.parametrize("kind", ["same", "symlink", "hardlink", "dotted"])
def test_the_input_is_never_the_output(tmp_path: Path, source: Path, kind: str):
    """Not by its name, a link of either kind, or a roundabout path; overwrite or not."""
    target = source
    if kind == "dotted":
        target = tmp_path / "." / ".." / tmp_path.name / "in.mp4"
    elif kind != "same":
        target = tmp_path / "alias.mp4"
        (target.symlink_to if kind == "symlink" else target.hardlink_to)(source)
    with pytest.raises(OutputError, match="is the input"):
        check_target(target, source=source, overwrite=True)
    assert source.read_bytes() == b"source"


def test_a_missing_directory_is_said(tmp_path: Path, source: Path):
    """Directories are not made silently."""
    with pytest.raises(OutputError, match="create the directory"):
        check_target(tmp_path / "no" / "o.mp4", source=source)


def test_a_directory_is_not_an_output(tmp_path: Path, source: Path):
    """A directory's name is refused with what to give instead."""
    with pytest.raises(OutputError, match="directory"):
        check_target(tmp_path, source=source)


def test_a_directory_without_permission_is_said(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch):
    """Known before the work; the system's answer is made up, as root may write everywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="not writable"):
        check_target(tmp_path / "o.mp4", source=source)
