"""Folders, patterns and lists of videos: each file has an output of its own, and one that fails stops no other."""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from edvr_cli.errors import InputError, OutputError, StoppedError
from edvr_cli.events import BatchEnded, Event, FileBegun, Finished, Outcome
from edvr_cli.jobs.batch import restore_batch, watch
from edvr_cli.jobs.inputs import Entry, Selection, find_entries, is_batch

EVERYTHING = Selection(recursive=True)


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files of all kinds, below the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.MOV", "c.avi", "c.mkv", "notes.txt", ".hidden.mp4", "sub/a.mp4", "sub/.git/x.mp4"):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return Path("clips")


def found(*inputs: str, output: str | None = None, selection: Selection = EVERYTHING) -> dict[str, str]:
    """Outputs by inputs."""
    entries = find_entries(inputs, None if output is None else Path(output), selection, "upscaled")
    return {str(entry.source): str(entry.target) for entry in entries}


def test_a_folder_keeps_its_structure_beside_itself(clips: Path):
    """Videos by their suffixes, hidden files left alone; two that would share an output do not."""
    assert found("clips/") == {
        "clips/a.mp4": "clips_upscaled/a.mp4",
        "clips/b.MOV": "clips_upscaled/b.MOV",
        "clips/c.avi": "clips_upscaled/c.avi.mkv",
        "clips/c.mkv": "clips_upscaled/c.mkv",
        "clips/sub/a.mp4": "clips_upscaled/sub/a.mp4",
    }
    assert list(found("clips", output="out").values())[-1] == "out/sub/a.mp4"
    assert "clips/sub/a.mp4" not in found("clips", selection=Selection())


def test_the_current_folder_has_a_name_too(clips: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever it is called here."""
    monkeypatch.chdir(clips)
    assert Path(found(".")["a.mp4"]).resolve() == Path("../clips_upscaled/a.mp4").resolve()


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(include=("*.txt", "a.*")), ["a.mp4", "notes.txt"]),
        (Selection(recursive=True, include=("a.mp4",), exclude=("sub/*",)), ["a.mp4"]),
        (Selection(recursive=True, exclude=("*.mp4", "*.MOV")), ["c.avi", "c.mkv"]),
    ],
    ids=["include", "exclude a folder", "exclude"],
)
def test_patterns_choose_among_a_folder_s_files(clips: Path, selection: Selection, names: list[str]):
    """By their names, or by their paths below it."""
    assert [Path(source).name for source in found("clips", selection=selection)] == names


def test_files_and_patterns_lie_beside_themselves_or_in_the_output_s_folder(clips: Path):
    """No file twice, however often it is named."""
    assert found("clips/a.mp4", "clips/c.*", "clips/../clips/a.mp4") == {
        "clips/a.mp4": "clips/a_upscaled.mp4",
        "clips/c.avi": "clips/c_upscaled.avi.mkv",
        "clips/c.mkv": "clips/c_upscaled.mkv",
    }
    assert found("clips/*.mp4", output="out") == {"clips/a.mp4": "out/a.mp4"}
    with pytest.raises(InputError, match=r"none\*: no file matches"):
        found("none*")


def test_files_of_one_name_are_told_apart_by_their_folders(clips: Path):
    """Of seasons with the same episodes, none is lost."""
    assert found("clips/a.mp4", "clips/sub/a.mp4", "clips/c.mkv", output="out") == {
        "clips/a.mp4": "out/a.mp4",
        "clips/sub/a.mp4": "out/sub/a.mp4",
        "clips/c.mkv": "out/c.mkv",
    }


def test_outputs_are_no_inputs(clips: Path):
    """Of a second run over a folder that holds its own output's."""
    (clips / "out").mkdir()
    (clips / "out/a.mp4").touch()
    assert "clips/out/a.mp4" not in found("clips", output="clips/out")


def test_a_batch_is_anything_but_one_file(clips: Path):
    """A name with brackets is a file if there is one."""
    assert is_batch(["clips"]) and is_batch(["*.mp4"]) and is_batch(["a", "b"])
    Path("[x].mp4").touch()
    assert not is_batch(["[x].mp4"]) and not is_batch(["nothing.mp4"])


# --- Work


def entries(folder: Path, *names: str) -> list[Entry]:
    """With outputs in a folder that is not there yet."""
    for name in names:
        (folder / name).touch()
    return [Entry(folder / name, folder / "out" / "below" / name) for name in names]


def write(entry: Entry) -> Finished:
    """A restoration that takes a name for a plan."""
    if "bad" in entry.source.name:
        raise OutputError("It cannot be done.")
    entry.target.write_bytes(b"12345")
    return Finished(entry.target, 10, 2.0, restored=8)


def run(batch: list[Entry], restore: Callable[[Entry], Finished] = write, **options) -> tuple[list[str], list[Event]]:
    """The outcomes' states, and the events."""
    events: list[Event] = []
    defaults = {"count": len(batch), "skip_existing": False, "stop": lambda: False, "emit": events.append}
    outcomes = restore_batch(batch, restore, **{**defaults, **options})
    return [outcome.status for outcome in outcomes], events


def test_the_rest_is_done_when_one_fails(tmp_path: Path):
    """Each outcome is reported at once, and all of them at the end."""
    batch = entries(tmp_path, "a.mp4", "bad.mp4", "c.mp4")
    states, events = run(batch)
    assert states == ["done", "failed", "done"]
    assert [type(event) for event in events] == [FileBegun, Outcome] * 3 + [BatchEnded]
    assert events[0] == FileBegun(1, 3, batch[0].source, batch[0].target)
    done, failed = events[1], events[3]
    assert (done.frames, done.restored, done.seconds, done.size) == (10, 8, 2.0, 5)
    assert failed.message == "It cannot be done."
    assert events[-1].outcomes == (events[1], events[3], events[5])


def test_a_file_that_fails_leaves_no_folder(tmp_path: Path):
    """Nor does it take one away that was there."""
    run(entries(tmp_path, "bad.mp4"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    run(entries(tmp_path, "bad.mp4"))
    assert list((tmp_path / "out").iterdir()) == []


def test_what_exists_can_be_skipped(tmp_path: Path):
    """Which is no failure."""
    batch = entries(tmp_path, "a.mp4", "c.mp4")
    run(batch[:1])
    states, events = run(batch, skip_existing=True)
    assert states == ["skipped", "done"]
    assert events[1].message == "the output exists"


def test_a_stop_ends_the_batch(tmp_path: Path):
    """It takes effect between two files and within one; outcomes so far are reported."""
    batch, events, asked = entries(tmp_path, "a.mp4", "c.mp4"), [], iter([False, True])
    with pytest.raises(StoppedError):
        run(batch, stop=lambda: next(asked), emit=events.append)
    assert [outcome.status for outcome in events[-1].outcomes] == ["done"]

    def stopped(entry: Entry) -> Finished:
        raise StoppedError("Stopped.")

    with pytest.raises(StoppedError):
        run(batch, stopped)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("a bug\nof two lines"), r"a fault of edvr: RuntimeError: a bug \(test_batch\.py:\d+\)\."),
        (MemoryError(), "Out of memory"),
        (PermissionError(13, "Permission denied", "out.mp4"), r"^out\.mp4: Permission denied\.$"),
    ],
    ids=["bug", "memory", "system"],
)
def test_whatever_ends_one_file_the_next_has_its_turn(tmp_path: Path, error: Exception, message: str):
    """A fault of the program's own says where to report it, and keeps its traceback for the log file."""

    def buggy(entry: Entry) -> Finished:
        if entry.source.name == "a.mp4":
            raise error
        return write(entry)

    states, events = run(entries(tmp_path, "a.mp4", "b.mp4"), buggy)
    assert states == ["failed", "done"]
    assert re.search(message, events[1].message)
    assert ("Please report it" in events[1].message) == isinstance(error, RuntimeError)
    assert ("Traceback" in events[1].trace) != isinstance(error, OSError)


def test_a_watched_folder_gives_files_that_are_whole(tmp_path: Path):
    """One that still grows has to wait; one that changes later comes again."""
    looks = 0

    def look() -> Iterator[Entry]:
        nonlocal looks
        looks += 1
        for name, size in {"a.mp4": 3, "growing.mp4": min(looks, 4), "gone.mp4": 0, "later.mp4": looks > 2}.items():
            path = tmp_path / name
            if size and (not path.exists() or path.stat().st_size != size):
                path.write_bytes(bytes(size))
            yield Entry(path, tmp_path / "out" / name)

    names = [entry.source.name for entry in islice(watch(look, interval=0.01, stop=lambda: looks > 20), 3)]
    assert names == ["a.mp4", "later.mp4", "growing.mp4"]
    assert list(watch(look, interval=0.01, stop=lambda: True)) == []
