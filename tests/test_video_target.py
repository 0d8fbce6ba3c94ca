"""The output file is whole under its name, or not there at all."""

import os
from pathlib import Path

import pytest

from edvr_cli.errors import OutputError
from edvr_cli.video.target import target_file


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A stand-in for an input file."""
    path = tmp_path / "in.mp4"
    path.write_bytes(b"source")
    return path


def test_the_output_appears_whole_and_alone(tmp_path: Path, source: Path):
    """Nothing bears the name before the end, and nothing but it stays."""
    target = tmp_path / "out.mp4"
    with target_file(target, source=source) as work:
        work.output.write_bytes(b"result")
        (work.directory / "scratch").write_bytes(b"x")
        assert not target.exists()
        assert work.output.suffix == ".mp4"
        assert work.directory.name.startswith(".")
    assert target.read_bytes() == b"result"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_and_keeps_the_old_file(tmp_path: Path, source: Path, error: type[BaseException]):
    """An exception and Ctrl-C alike remove what was begun."""
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(error), target_file(target, source=source, overwrite=True) as work:
        work.output.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_an_existing_output_needs_overwrite(tmp_path: Path, source: Path):
    """The message says how to go on."""
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match="--overwrite"), target_file(target, source=source):
        pass
    with target_file(target, source=source, overwrite=True) as work:
        work.output.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_an_output_made_meanwhile_is_not_overwritten(tmp_path: Path, source: Path):
    """Hours may pass between the check and the end."""
    target = tmp_path / "out.mp4"
    with pytest.raises(OutputError, match="exists"), target_file(target, source=source) as work:
        work.output.write_bytes(b"new")
        target.write_bytes(b"someone else's")
    assert target.read_bytes() == b"someone else's"


@pytest.mark.parametrize("kind", ["same", "symlink", "hardlink", "dotted"])
def test_the_input_is_never_the_output(tmp_path: Path, source: Path, kind: str):
    """Not by its name, a link of either kind, or a roundabout path; overwrite or not."""
    target = source
    if kind == "dotted":
        target = tmp_path / "." / ".." / tmp_path.name / "in.mp4"
    elif kind != "same":
        target = tmp_path / "alias.mp4"
        (target.symlink_to if kind == "symlink" else target.hardlink_to)(source)
    with pytest.raises(OutputError, match="is the input"), target_file(target, source=source, overwrite=True):
        pass
    assert source.read_bytes() == b"source"


def test_a_missing_directory_is_said(tmp_path: Path, source: Path):
    """Directories are not made silently."""
    with pytest.raises(OutputError, match="make the directory"), target_file(tmp_path / "no" / "o.mp4", source=source):
        pass


def test_a_directory_is_not_an_output(tmp_path: Path, source: Path):
    """A directory's name is refused with what to give instead."""
    with pytest.raises(OutputError, match="directory"), target_file(tmp_path, source=source):
        pass


def test_a_directory_without_permission_is_said(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch):
    """Known before the work; the system's answer is made up, as root may write everywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="not writable"), target_file(tmp_path / "o.mp4", source=source):
        pass


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path, source: Path):
    """No empty success."""
    with pytest.raises(OutputError, match="was not written"), target_file(tmp_path / "o.mp4", source=source):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
