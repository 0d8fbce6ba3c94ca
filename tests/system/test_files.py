"""Files that are written whole or not at all, and never through a name that somebody else has prepared."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edvr_cli.errors import OutputError
from edvr_cli.jobs.job_dir import JobDirectory
from edvr_cli.models.checkpoint import save_model
from edvr_cli.models.library import add, convert
from edvr_cli.system.charts import Panel, write_chart
from edvr_cli.system.files import append_to, create, open_regular, remove, replacing, replacing_path, write_file
from tests.support.networks import random_network

POSIX = pytest.mark.skipif(os.name != "posix", reason="links and modes are the POSIX ones")


def a_link(path: Path, victim: Path) -> None:
    """The name leads to the victim."""
    path.symlink_to(victim)


def a_second_name(path: Path, victim: Path) -> None:
    """The name is the victim's, too."""
    path.hardlink_to(victim)


def a_pipe(path: Path, victim: Path) -> None:
    """Whoever opens the name waits for the other end."""
    os.mkfifo(path)


PREPARED = [a_link, a_second_name, a_pipe]
Prepare = Callable[[Path, Path], None]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the person who runs the program."""
    path = tmp_path / "victim"
    path.write_text("victim")
    return path


@POSIX
@pytest.mark.parametrize("prepare", PREPARED)
def test_a_prepared_name_is_replaced_or_refused(tmp_path: Path, victim: Path, prepare: Prepare):
    """Whole files take its place; what would write into it raises."""
    name = tmp_path / "name"
    prepare(name, victim)
    with pytest.raises(OSError):
        create(name)
    with pytest.raises(OutputError, match=f"{name} cannot be written: "):
        append_to(name, b"attack")
    if prepare is not a_second_name:
        with pytest.raises(OSError):
            open_regular(name)
    write_file(name, b"ours")
    assert (name.read_bytes(), name.is_symlink(), victim.read_text()) == (b"ours", False, "victim")
    with replacing_path(name) as path:
        path.write_bytes(b"again")
    assert (name.read_bytes(), victim.read_text()) == (b"again", "victim")


@POSIX
def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path, victim: Path):
    """Nor is a folder."""
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder", "absent"):
        remove(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "victim"]


@POSIX
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_new_files_have_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int):
    """Whoever writes them: PyTorch, safetensors, matplotlib and FFmpeg have ideas of their own."""
    before = os.umask(umask)
    try:
        write_file(tmp_path / "plain", b"")
        save_model(random_network(features=8, groups=2), tmp_path / "a.safetensors")
        convert(tmp_path / "a.safetensors", tmp_path / "a.pth")
        write_chart(tmp_path / "a.png", [Panel("loss", {"": ([0.0, 1.0], [0.0, 1.0])})], across="step")
        with replacing_path(tmp_path / "by name") as path:
            path.write_bytes(b"")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~umask) and len(modes) == 5


@POSIX
def test_a_replaced_file_keeps_its_mode(tmp_path: Path):
    """What nobody else could read stays so."""
    (tmp_path / "a").touch(0o600)
    write_file(tmp_path / "a", b"new")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


@pytest.mark.parametrize("writer", [replacing, replacing_path])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, writer: Callable):
    """And the error is not hidden."""
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), writer(tmp_path / "a"):
        raise ZeroDivisionError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_a_folder_that_is_not_there_is_said_by_the_file_s_name(tmp_path: Path):
    """Not by that of a temporary one."""
    target = tmp_path / "none" / "a"
    with pytest.raises(OutputError, match=rf"^{target} cannot be written: No such file or directory\.$"):
        write_file(target, b"")


@POSIX
@pytest.mark.parametrize("prepare", PREPARED)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_models_are_written_past_prepared_names(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch, prepare: Prepare, suffix: str
):
    """The name with .part at its end was one that could be guessed."""
    save_model(random_network(features=8, groups=2), tmp_path / "own.safetensors")
    monkeypatch.setenv("EDVR_MODEL_DIR", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    for name in (tmp_path / f"x{suffix}.part", tmp_path / "models" / "y.safetensors.part"):
        prepare(name, victim)
    convert(tmp_path / "own.safetensors", tmp_path / f"x{suffix}")
    add(tmp_path / "own.safetensors", name="y")
    assert victim.read_text() == "victim"


# --- A job's directory


@POSIX
@pytest.mark.parametrize("prepare", PREPARED)
@pytest.mark.parametrize("name", ["owner", "lock", "manifest.jsonl", "00000000.mkv", "00000000.mkv.part", "output.mp4"])
def test_names_in_a_job_s_directory_are_not_followed(tmp_path: Path, victim: Path, prepare: Prepare, name: str):
    """They are replaced, or the job is refused."""
    job_dir = JobDirectory(tmp_path / "out.mp4")
    job_dir.directory.mkdir()
    prepare(job_dir.directory / name, victim)
    try:
        with job_dir.locked():
            job_dir.clear()
            write_file(job_dir.manifest, b"ours")
    except OutputError as error:
        assert name in str(error) and name in ("lock", "manifest.jsonl")
    assert victim.read_text() == "victim"


@POSIX
def test_a_directory_that_is_a_link_is_refused(tmp_path: Path):
    """What it leads to keeps its files, whatever they are called."""
    (tmp_path / "mine").mkdir()
    for name in ("00000000.mkv", "output.mp4"):
        (tmp_path / "mine" / name).touch()
    job_dir = JobDirectory(tmp_path / "out.mp4")
    job_dir.directory.symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match=r"is a link; remove it"), job_dir.locked():
        pass
    assert len(list((tmp_path / "mine").iterdir())) == 2


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_directory_of_another_user_is_refused(tmp_path: Path):
    """Whoever made it can put anything into it at any time."""
    job_dir = JobDirectory(tmp_path / "out.mp4")
    job_dir.directory.mkdir()
    os.chown(job_dir.directory, 12345, 12345)
    with pytest.raises(OutputError, match="another user's"), job_dir.locked():
        pass


def test_a_stranger_s_folder_in_it_is_never_removed(tmp_path: Path):
    """One called as the output was; only a folder with a name of the job's own making is."""
    job_dir = JobDirectory(tmp_path / "out.png")
    job_dir.directory.mkdir()
    for folder in (job_dir.directory / "output.png", job_dir.directory / "pictures", job_dir.pictures()):
        folder.mkdir()
        (folder / "1.png").touch()
    with job_dir.locked():
        job_dir.clear()
    assert sorted(path.name for path in job_dir.directory.iterdir()) == ["output.png", "pictures"]
    assert (job_dir.directory / "output.png" / "1.png").exists()
