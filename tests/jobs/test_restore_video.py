"""A video as a job: whatever ends a run, the next one continues it and ends with the same frames."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from edvr_cli.errors import EdvrError, InputError, OutputError, StoppedError
from edvr_cli.events import Event, Finished, FrameRestored, Joining, Notice, Paused, Started
from edvr_cli.jobs import disk_space as space
from edvr_cli.jobs import runner as job
from edvr_cli.jobs.fingerprint import fingerprint
from edvr_cli.jobs.job_dir import JobDirectory
from edvr_cli.jobs.segment_files import SegmentWriter
from edvr_cli.network.model import Model
from edvr_cli.network.windows import Padding
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.writing.options import Encoding
from edvr_cli.video.writing.writer import VideoWriter
from tests.support.clips import frame_times, make_clip, packets, pictures
from tests.support.errors import raises
from tests.support.networks import random_network
from tests.support.run import restore as run

FAST = Encoding(preset="ultrafast")
LOSSLESS = Encoding(preset="ultrafast", crf=0)
SEGMENT = 0.16  # seconds: four frames
TINY = {"features": 8, "groups": 2, "tail": 4, "tsa": False, "levels": 1, "cascade": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 22 frames with a cut, a key frame every six and B-frames, and what an uninterrupted run makes of it."""
    folder = tmp_path_factory.mktemp("job")
    source = make_clip(folder / "in.mp4", width=32, height=24, frames=22, cut=(9, 1), audio=("aac",))
    restore(source, folder / "whole.mp4")
    return folder


def restore(source: Path, target: Path, **options) -> Finished:
    """`restore_video` with a tiny network and segments of four frames, unless said otherwise."""
    model = random_network(**TINY)
    defaults = {"model": model, "encoding": FAST, "segment_seconds": SEGMENT, "precision": "fp32", "threads": 1}
    return run(source, target, **{**defaults, **options})


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


def digests(path: Path) -> list[str]:
    """Of each frame."""
    return [hashlib.sha256(b"".join(plane.tobytes() for plane in frame)).hexdigest() for frame in pictures(path)]


def after(frames: int) -> Callable[[Event], None]:
    """Interrupts as Ctrl-C does, when so many frames are restored."""

    def listen(event: Event) -> None:
        if isinstance(event, FrameRestored) and event.done == frames:
            raise KeyboardInterrupt

    return listen


def interrupted(folder: Path, tmp_path: Path, frames: int = 14, **options) -> tuple[Path, Path]:
    """A source, and a target whose job was interrupted."""
    with pytest.raises(KeyboardInterrupt):
        restore(folder / "in.mp4", tmp_path / "out.mp4", on_event=after(frames), **options)
    assert names(tmp_path) == [".out.mp4.edvr"]
    return folder / "in.mp4", tmp_path / "out.mp4"


def same_as_whole(folder: Path, target: Path) -> bool:
    """Whether a target equals that of the uninterrupted run, and nothing else is left in its folder."""
    whole = folder / "whole.mp4"
    assert [name for name in names(target.parent) if name.startswith(".")] == []
    assert frame_times(target) == frame_times(whole) and packets(target) == packets(whole)
    return digests(target) == digests(whole)


# --- Segments


@pytest.mark.parametrize("padding", ["reflection_circle", "replicate"])
@pytest.mark.parametrize("cut", [None, (9, 1), (3, 2)], ids=["one shot", "cut", "short first shot"])
def test_segments_change_no_pixel(tmp_path: Path, cut: tuple[int, int] | None, padding: Padding):
    """Each sees the frames of its neighbors, and the same cuts."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=15, cut=cut)
    model = Model.of(random_network(**TINY), padding=padding)
    for name, seconds in (("whole", 60), ("parts", 0.12)):
        restore(source, tmp_path / f"{name}.mp4", model=model, encoding=LOSSLESS, segment_seconds=seconds)
    for one, other in zip(pictures(tmp_path / "whole.mp4"), pictures(tmp_path / "parts.mp4"), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("seconds", "lengths"), [(0.16, [4, 4, 4, 4, 4]), (0.4, [9, 10, 3]), (0.64, [9, 13]), (0.8, [20, 2])], ids=str
)
def test_a_segment_ends_when_it_is_long_enough(folder: Path, tmp_path: Path, seconds: float, lengths: list[int]):
    """At a cut (here before frame 9) if it has half of its length."""
    with pytest.raises(KeyboardInterrupt):
        restore(folder / "in.mp4", tmp_path / "out.mp4", segment_seconds=seconds, on_event=at_the_join)
    facts = [json.loads(line)["fact"] for line in manifest_lines(tmp_path / "out.mp4")]
    found = [fact["segment"]["frame_count"] for fact in facts if "segment" in fact]
    assert (found[: len(lengths)], sum(found)) == (lengths, 22)


def at_the_join(event: Event) -> None:
    """Interrupts when every frame is restored."""
    if isinstance(event, Joining):
        raise KeyboardInterrupt


def manifest_lines(target: Path) -> list[bytes]:
    """The manifest's lines."""
    return [line for line in JobDirectory(target).manifest.read_bytes().split(b"\n") if line]


# --- Interruptions


@pytest.mark.parametrize("frames", [1, 9, 13, 22])
def test_an_interrupted_job_goes_on_to_the_same_end(folder: Path, tmp_path: Path, frames: int):
    """Wherever it was; what was done is not done again."""
    events: list[Event] = []
    if frames == 1:
        with pytest.raises(KeyboardInterrupt):
            restore(folder / "in.mp4", tmp_path / "out.mp4", on_event=after(1))
        assert names(tmp_path) == []  # There was nothing to keep.
    source, target = interrupted(folder, tmp_path, frames=max(frames, 9))
    finished = restore(source, target, on_event=events.append)
    kept = events[0].kept
    assert kept and kept % 4 == 0
    assert [event.done for event in events if isinstance(event, FrameRestored)] == list(range(kept + 1, 23))
    assert (finished.frames, finished.restored) == (22, 22 - kept)
    assert same_as_whole(folder, target)


def test_a_job_may_be_interrupted_after_each_segment(folder: Path, tmp_path: Path):
    """When it is asked to stop it does so there, and says what is kept."""
    target, events = tmp_path / "out.mp4", []
    for kept in (4, 8, 12, 16, 20):
        with pytest.raises(StoppedError):
            restore(folder / "in.mp4", target, stop=lambda: True, on_event=events.append)
        assert events[-1] == Paused(kept, 22, JobDirectory(target).directory)
    assert restore(folder / "in.mp4", target, stop=lambda: True).restored == 2
    assert same_as_whole(folder, target)


@pytest.mark.parametrize(
    "options",
    [
        {"start": Fraction(3, 25)},
        {"end": Fraction(18, 25)},
        {"max_frames": 15},
        {"start": Fraction(2, 25), "max_frames": 15},
        {"split_at_cuts": False},
    ],
    ids=str,
)
def test_a_part_goes_on_as_well(folder: Path, tmp_path: Path, options: dict):
    """With its own beginning and end."""
    restore(folder / "in.mp4", tmp_path / "whole.mp4", **options)
    with pytest.raises(KeyboardInterrupt):
        restore(folder / "in.mp4", tmp_path / "out.mp4", on_event=after(11), **options)
    restore(folder / "in.mp4", tmp_path / "out.mp4", **options)
    assert digests(tmp_path / "out.mp4") == digests(tmp_path / "whole.mp4")
    assert frame_times(tmp_path / "out.mp4") == frame_times(tmp_path / "whole.mp4")


@pytest.mark.parametrize(
    ("suffix", "changes"),
    [
        (".ts", {"options": {"preset": "ultrafast", "g": "250", "bf": "2"}}),
        (".mkv", {"codec": "mpeg4", "options": {"g": "8"}}),
        (".avi", {"codec": "mpeg4", "options": {}}),
        (".mp4", {"time_base": Fraction(1, 600), "pts": tuple(1000 + 30 * n + n % 3 for n in range(22))}),
        (".mkv", {"codec": "libx264", "options": {"preset": "ultrafast", "intra-refresh": "1", "g": "10", "bf": "0"}}),
    ],
    ids=["one key frame", "mpeg4", "avi", "variable", "no key frames"],
)
def test_any_kind_of_source_goes_on(tmp_path: Path, suffix: str, changes: dict):
    """Also one in which no decoder can begin in the middle."""
    source = make_clip(tmp_path / f"in{suffix}", width=32, height=24, frames=22, cut=(9, 1), **changes)
    restore(source, tmp_path / "whole.mkv", encoding=LOSSLESS)
    with pytest.raises(KeyboardInterrupt):
        restore(source, tmp_path / "out.mkv", encoding=LOSSLESS, on_event=after(15))
    restore(source, tmp_path / "out.mkv", encoding=LOSSLESS)
    assert digests(tmp_path / "out.mkv") == digests(tmp_path / "whole.mkv")
    assert frame_times(tmp_path / "out.mkv") == frame_times(tmp_path / "whole.mkv")


def test_where_seeking_leads_to_other_frames_the_source_is_read_from_its_beginning(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And restored from where the job was."""
    source, target = interrupted(folder, tmp_path)
    init, starts = VideoReader.__init__, []

    def wrong(self: VideoReader, path: Path, *, start: Fraction | None, **options) -> None:
        starts.append(start)
        init(self, path, start=start and start + Fraction(1, 25), **options)

    monkeypatch.setattr(VideoReader, "__init__", wrong)
    assert 0 < restore(source, target).restored < 22
    assert len(starts) == 2 and starts[0] > 0 and starts[1] is None
    assert same_as_whole(folder, target)


WORKER = """
import sys
from pathlib import Path
import torch
from tests.jobs.test_restore_video import restore
torch.set_num_threads(1)

def show(event):
    print(type(event).__name__, flush=True)

restore(Path(sys.argv[1]), Path(sys.argv[2]), on_event=show)
"""


def test_a_killed_job_goes_on(folder: Path, tmp_path: Path):
    """Nobody can clean up after kill -9, least of all the killed."""
    command = [sys.executable, "-c", WORKER, str(folder / "in.mp4"), str(tmp_path / "out.mp4")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        for _ in range(18):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    restore(folder / "in.mp4", tmp_path / "out.mp4")
    assert same_as_whole(folder, tmp_path / "out.mp4")


def test_a_job_killed_after_its_output_got_its_name_is_done(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The next run cleans up and says so; a run with other settings finds the file in its way."""
    target = tmp_path / "out.mp4"
    for clear in ("finish", "refuse"):
        with monkeypatch.context() as patch:
            patch.setattr(JobDirectory, "clear", raising(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                restore(folder / "in.mp4", target)
        assert names(tmp_path) == [".out.mp4.edvr", "out.mp4"]
        if clear == "finish":
            assert restore(folder / "in.mp4", target).restored == 0
            assert same_as_whole(folder, target)
            target.unlink()
        else:
            with pytest.raises(OutputError, match="exists"):
                restore(folder / "in.mp4", target, scale=2)
            assert same_as_whole(folder, target)


# --- Damage


def flip(path: Path) -> None:
    """Change a byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "flipped": flip,
    "missing": Path.unlink,
}


@pytest.mark.parametrize(
    ("damage", "which"), list(zip(DAMAGES.values(), ([0], [-1], [1], [0, 2]), strict=True)), ids=DAMAGES
)
def test_a_damaged_segment_is_restored_again(
    folder: Path, tmp_path: Path, damage: Callable[[Path], object], which: list[int]
):
    """It alone, wherever it is."""
    source, target = interrupted(folder, tmp_path, frames=20)
    segments = sorted(JobDirectory(target).directory.glob("*.mkv"))
    for number in which:
        damage(segments[number])
    events: list[Event] = []
    restore(source, target, on_event=events.append)
    assert events[0].kept == 4 * (len(segments) - len(which))
    assert same_as_whole(folder, target)


@pytest.mark.parametrize("line", [1, 2, -1])
def test_a_damaged_line_of_the_manifest_costs_a_segment_at_most(folder: Path, tmp_path: Path, line: int):
    """Each line has its own checksum."""
    source, target = interrupted(folder, tmp_path, frames=20)
    lines = manifest_lines(target)
    lines[line] = lines[line][:-20]
    JobDirectory(target).manifest.write_bytes(b"\n".join(lines))
    restore(source, target)
    assert same_as_whole(folder, target)


@pytest.mark.parametrize("content", [b"", b"junk", b'{"crc": 1, "fact": {"edvr": 1}}'], ids=["empty", "junk", "sum"])
def test_a_manifest_without_its_first_line_is_refused(folder: Path, tmp_path: Path, content: bytes):
    """Nobody can tell what its segments are; with --fresh they go."""
    source, target = interrupted(folder, tmp_path)
    JobDirectory(target).manifest.write_bytes(content)
    with raises(OutputError, "is damaged", hint="fresh"):
        restore(source, target)
    restore(source, target, resume="never")
    assert same_as_whole(folder, target)


def test_a_manifest_of_another_version_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With what to do."""
    with monkeypatch.context() as patch:
        patch.setattr("edvr_cli.jobs.manifest.FORMAT", 99)
        source, target = interrupted(folder, tmp_path)
    with raises(OutputError, "another version", hint="fresh"):
        restore(source, target)


# --- Full disks


def raising(error: BaseException, at: int = 1) -> Callable[..., None]:
    """A function that raises at its call number ``at``."""
    calls = []

    def function(*_: object, **__: object) -> None:
        calls.append(1)
        if len(calls) == at:
            raise error

    return function


@pytest.mark.parametrize(
    ("owner", "name", "at"),
    [
        (SegmentWriter, "end", 3),
        (job.Manifest, "add", 3),
        (VideoWriter, "_encode", 10),
        (job, "sync_file", 1),
        (job, "mux", 1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_full_disk_pauses_the_job(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, at: int
):
    """Finished segments are kept, and the next run continues."""
    target, events = tmp_path / "out.mp4", []
    full: Exception = OutputError("No space left on device.")
    if name == "sync_file":
        full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        original, fail = getattr(owner, name), raising(full, at)

        def function(*arguments: object, **options: object) -> object:
            fail()
            return original(*arguments, **options)

        patch.setattr(owner, name, function)
        with pytest.raises(OutputError, match="No space left"):
            restore(folder / "in.mp4", target, on_event=events.append)
    assert isinstance(events[-1], Paused) and events[-1].done >= 4
    assert not target.exists() and not list(tmp_path.rglob("*.part"))
    restore(folder / "in.mp4", target)
    assert same_as_whole(folder, target)


def test_a_disk_that_is_too_full_is_known_before_the_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where it may be, that is a notice."""
    usage = space.shutil.disk_usage(tmp_path)
    events: list[Event] = []
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(OutputError, match=r"too full: about .* kB are needed in .* and 100 bytes are free"):
        restore(folder / "in.mp4", tmp_path / "out.mp4", on_event=events.append)
    assert (events, names(tmp_path)) == ([], [])
    monkeypatch.setattr(space, "_MIN_SHARE", 0)
    restore(folder / "in.mp4", tmp_path / "out.mp4", on_event=events.append)
    assert [event for event in events if isinstance(event, Notice) and "may get full" in event.message]


# --- Refusals


CHANGES = {
    "scale": ({"scale": 2}, r"output size \(128×96 → 64×48\)"),
    "crf": ({"encoding": Encoding(preset="ultrafast", crf=30)}, r"encoder option crf \(17 → 30\)"),
    "codec": ({"encoding": Encoding("libx265", preset="ultrafast")}, r"codec \(libx264 → libx265\)"),
    "shots": ({"split_at_cuts": False}, r"split at cuts \(True → False\)"),
    "start": ({"start": Fraction(1, 25)}, r"start \(none → 1/25 s\)"),
    "strength": ({"strength": 0.5}, r"strength \(1.0 → 0.5\)"),
    "sharpen": ({"sharpen": 0.5}, r"sharpen \(0.0 → 0.5\)"),
    "tta": ({"tta": 2}, r"tta \(1 → 2\)"),
    "precision": ({"precision": "bf16"}, r"precision \(fp32 → bf16\)"),
    "segments": ({"segment_seconds": 1}, r"segment length \(0.16 → 1\)"),
    "model": ({"model": random_network(1, **TINY)}, "the model's content"),
}


@pytest.mark.parametrize(("options", "what"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_named_and_refused(folder: Path, tmp_path: Path, options: dict, what: str):
    """Frames of two kinds are never mixed; nothing is lost either."""
    source, target = interrupted(folder, tmp_path)
    with raises(OutputError, f"changed since: {what}", hint="fresh"):
        restore(source, target, **options)
    assert restore(source, target).restored < 22
    assert same_as_whole(folder, target)


def test_another_input_is_refused(folder: Path, tmp_path: Path):
    """Even one of the same size."""
    source = tmp_path / "in.mp4"
    source.write_bytes((folder / "in.mp4").read_bytes())
    with pytest.raises(KeyboardInterrupt):
        restore(source, tmp_path / "out.mp4", on_event=after(14))
    flip(source)
    with pytest.raises(OutputError, match="changed since: the input's content"):
        restore(source, tmp_path / "out.mp4")
    source.rename(tmp_path / "moved.mp4")
    flip(tmp_path / "moved.mp4")  # back again
    assert restore(tmp_path / "moved.mp4", tmp_path / "out.mp4").restored < 22


def test_a_large_input_is_recognized_by_blocks(tmp_path: Path):
    """Its beginning, its end, and between."""
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 200 << 20)
    seen = {fingerprint(path).sha256}
    for place in (0, 100 << 20, (200 << 20) - 1):
        with path.open("rb+") as file:
            for step in range(0, 4 << 20, 1 << 18):
                file.seek(max(0, place - step))
                file.write(b"x")
        seen.add(fingerprint(path).sha256)
    assert len(seen) == 4
    with pytest.raises(InputError, match="cannot be read"):
        fingerprint(tmp_path / "none")


def test_fresh_starts_over_and_resume_demands_something(folder: Path, tmp_path: Path):
    """The user may say which."""
    with pytest.raises(OutputError, match="no interrupted job"):
        restore(folder / "in.mp4", tmp_path / "out.mp4", resume="require")
    source, target = interrupted(folder, tmp_path)
    events: list[Event] = []
    assert restore(source, target, resume="never", scale=2, on_event=events.append).restored == 22
    assert isinstance(events[0], Started) and events[0].kept == 0
    target.unlink()
    interrupted(folder, tmp_path)
    assert restore(source, target, resume="require").restored < 22


def test_other_tiles_go_on_with_a_notice(tmp_path: Path):
    """They are what one changes when memory ran out; without a wish the first run's choice holds."""
    source = make_clip(tmp_path / "in.mp4", width=96, height=48, frames=10)
    with pytest.raises(KeyboardInterrupt):
        restore(source, tmp_path / "out.mp4", on_event=after(9))
    events: list[Event] = []
    restore(source, tmp_path / "out.mp4", tile=48, tile_pad=32, on_event=events.append)
    assert any(isinstance(event, Notice) and "whole frames" in event.message for event in events)
    (tmp_path / "out.mp4").unlink()
    with pytest.raises(KeyboardInterrupt):
        restore(source, tmp_path / "out.mp4", tile=48, on_event=after(9))
    restore(source, tmp_path / "out.mp4", on_event=events.append)
    assert [event.tile for event in events if isinstance(event, Started)] == [48, 48]


# --- Two runs


def test_two_runs_never_work_on_one_job(folder: Path, tmp_path: Path):
    """The error names the first; the lock of a dead process blocks nobody."""
    job_dir = JobDirectory(tmp_path / "out.mp4")
    with job_dir.locked():
        with pytest.raises(OutputError, match=rf"in use by another run \(process {os.getpid()} on .*\)"):
            restore(folder / "in.mp4", tmp_path / "out.mp4")
        (job_dir.directory / "00000000.mkv").touch()
    assert names(tmp_path) == [".out.mp4.edvr"]
    (job_dir.directory / "lock").touch()  # as after kill -9
    restore(folder / "in.mp4", tmp_path / "out.mp4")
    assert same_as_whole(folder, tmp_path / "out.mp4")
    with FileLock(tmp_path / "unrelated.lock"):
        pass


def test_an_empty_directory_of_a_killed_run_is_swept_away(folder: Path, tmp_path: Path):
    """Also where the output is in place."""
    target = tmp_path / "out.mp4"
    target.touch()
    directory = JobDirectory(target).directory
    directory.mkdir()
    (directory / "lock").touch()
    with pytest.raises(OutputError, match="exists"):
        restore(folder / "in.mp4", target)
    assert names(tmp_path) == ["out.mp4"]


def test_only_files_of_the_job_are_ever_removed(folder: Path, tmp_path: Path):
    """Whatever lies in its directory."""
    source, target = interrupted(folder, tmp_path)
    foreign = JobDirectory(target).directory / "notes.txt"
    foreign.write_text("mine")
    restore(source, target)
    assert foreign.read_text() == "mine"
    assert names(foreign.parent) == ["notes.txt"]


@pytest.mark.parametrize("error", [EdvrError("no"), RuntimeError("a bug")], ids=["error", "bug"])
def test_any_failure_keeps_what_is_done(folder: Path, tmp_path: Path, error: Exception):
    """A bug as well as a full disk."""

    def fail(event: Event) -> None:
        if event == FrameRestored(13, 22):
            raise error

    with pytest.raises(type(error)):
        restore(folder / "in.mp4", tmp_path / "out.mp4", on_event=fail)
    assert restore(folder / "in.mp4", tmp_path / "out.mp4").restored < 22
    assert same_as_whole(folder, tmp_path / "out.mp4")


def test_a_long_name_is_no_hindrance(folder: Path, tmp_path: Path):
    """The directory's name is made of it."""
    target = tmp_path / f"{'ä' * 120}.mp4"
    with pytest.raises(KeyboardInterrupt):
        restore(folder / "in.mp4", target, on_event=after(14))
    assert restore(folder / "in.mp4", target).restored < 22
    assert same_as_whole(folder, target)


def test_a_directory_that_cannot_be_emptied_is_a_notice(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The output is in place by then."""
    target, events = tmp_path / "out.mp4", []

    def refuse(workspace: JobDirectory) -> None:
        raise OSError(errno.EIO, "Input/output error", str(workspace.directory))

    with monkeypatch.context() as patch:
        patch.setattr(JobDirectory, "clear", refuse)
        restore(folder / "in.mp4", target, on_event=events.append)
    assert digests(target) == digests(folder / "whole.mp4") and isinstance(events[-1], Finished)
    assert any("could not be emptied" in event.message for event in events if isinstance(event, Notice))
    restore(folder / "in.mp4", target, overwrite=True)
    assert names(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("error", [RuntimeError("the reason"), KeyboardInterrupt("the reason")])
def test_cleaning_up_never_hides_what_led_to_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
):
    """As where the output's folder vanishes in the middle."""

    def vanish(event: Event) -> None:
        if isinstance(event, FrameRestored) and event.done == 9:
            shutil.rmtree(tmp_path / "gone", ignore_errors=True)
            raise error

    (tmp_path / "gone").mkdir()
    with pytest.raises(type(error), match="the reason"):
        restore(folder / "in.mp4", tmp_path / "gone" / "out.mp4", on_event=vanish)


@pytest.mark.parametrize("done", [9, 22])
def test_a_source_that_changes_meanwhile_is_not_joined(folder: Path, tmp_path: Path, done: int):
    """Nor are segments kept that may be of either."""
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    shutil.copy(folder / "in.mp4", source)

    def change(event: Event) -> None:
        if isinstance(event, FrameRestored) and event.done == done:
            make_clip(tmp_path / "other.mp4", width=32, height=24, frames=22, audio=("aac",)).replace(source)

    with pytest.raises(InputError, match=r"in\.mp4 changed while it was being restored"):
        restore(source, target, on_event=change)
    assert names(tmp_path) == ["in.mp4"]
