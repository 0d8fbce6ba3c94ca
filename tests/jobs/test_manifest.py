"""A manifest whose lines are intact, but were written by another version or by hand."""

import json
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edvr_cli.errors import OutputError
from edvr_cli.events import FrameRestored
from edvr_cli.jobs.job_dir import JobDirectory
from edvr_cli.jobs.manifest import Manifest
from edvr_cli.video.writing.encoders import Encoding
from tests.support.clips import frame_times, make_clip, pictures
from tests.support.errors import raises
from tests.support.networks import random_network
from tests.support.run import restore as restore_video

TINY = {"features": 8, "groups": 2, "tail": 4, "tsa": False, "levels": 1, "cascade": False}
FRAMES = 14


def restore(source: Path, target: Path, **options: Any) -> Any:
    """With a tiny network, in segments of four frames."""
    defaults = {"encoding": Encoding(preset="ultrafast"), "segment_seconds": 0.16, "precision": "fp32", "threads": 1}
    return restore_video(source, target, model=random_network(**TINY), **{**defaults, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip, and with what an uninterrupted run makes of it."""
    folder = tmp_path_factory.mktemp("manifest")
    make_clip(folder / "in.mp4", width=32, height=24, frames=FRAMES)
    restore(folder / "in.mp4", folder / "whole.mp4")
    return folder


@pytest.fixture(scope="module")
def kept(whole: Path) -> Path:
    """What a run keeps that was interrupted after two segments of four."""

    workspace = JobDirectory(whole / "out.mp4")

    def stop(event: object) -> None:
        if isinstance(event, FrameRestored) and event.done == 9:
            # A segment is finished while frames of the next one are restored.
            patience = time.monotonic() + 60
            while len(workspace.manifest.read_text().splitlines()) < 3 and time.monotonic() < patience:
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(whole / "in.mp4", whole / "out.mp4", on_event=stop)
    return workspace.directory


@pytest.fixture
def interrupted(kept: Path, tmp_path: Path) -> Path:
    """The manifest in a copy of that."""
    workspace = JobDirectory(tmp_path / "out.mp4")
    shutil.copytree(kept, workspace.directory)
    return workspace.manifest


def facts_of(manifest: Path) -> list[dict[str, Any]]:
    """Each line's."""
    return [json.loads(line)["fact"] for line in manifest.read_text().splitlines() if line]


def line(fact: object) -> str:
    """Intact, whatever it says."""
    text = json.dumps(fact, separators=(",", ":"))
    return json.dumps({"crc": zlib.crc32(text.encode()), "fact": fact}, separators=(",", ":"))


# Each changes the facts of a header and two segments in place.
Edit = Callable[[list[dict[str, Any]]], object]
OTHER_HEADERS: dict[str, Edit] = {
    "one key more": lambda f: f[0].update(foo=1),
    "a key less": lambda f: f[0].pop("choices"),
    "no version": lambda f: f[0].update(edvr=None),
    "a list for a source": lambda f: f[0].update(source=[]),
    "a size that is no number": lambda f: f[0]["source"].update(size="1"),
    "no digest": lambda f: f[0]["source"].update(sha256=None),
    "a model without a name": lambda f: f[0]["model"].pop("name"),
    "a setting that is a list": lambda f: f[0]["settings"].update({"split at cuts": []}),
    "no window": lambda f: f[0]["settings"].pop("window"),
    "a negative tile": lambda f: f[0]["choices"].update(tile=-1),
    "a tile of one pixel": lambda f: f[0]["choices"].update(tile=1),
    "a tile that is true": lambda f: f[0]["choices"].update(tile=True),
    "a million threads": lambda f: f[0]["choices"].update(threads=10**6),
}
OTHER_SEGMENTS: dict[str, Edit] = {
    "no position": lambda f: f[2]["segment"].pop("end"),
    "a position without frames": lambda f: f[2]["segment"]["end"].update(before=[]),
    "a position with a frame too few": lambda f: f[2]["segment"]["end"]["before"].pop(0),
    "frames without times": lambda f: f[2]["segment"]["end"]["before"][0].pop("pts"),
    "times that fall": lambda f: f[2]["segment"]["end"]["before"].reverse(),
    "a checksum that is text": lambda f: f[2]["segment"]["end"]["before"][0].update(checksum="x"),
    "motion that is text": lambda f: f[2]["segment"]["end"].update(motion=["x"]),
    "a path for a name": lambda f: f[2]["segment"].update(name="../../victim"),
    "more frames than there are": lambda f: f[2]["segment"].update(frame_count=5),
    "no frames": lambda f: f[2]["segment"].update(frame_count=0),
    "a number too large": lambda f: f[2]["segment"].update(first_pts=1 << 70),
    "a list for a segment": lambda f: f[2].update(segment=[]),
    "an end that is text": lambda f: f.append({"frame_count": "8"}),
    "an output that is text": lambda f: f.append({"output": "x"}),
    "an unknown fact": lambda f: f.append({"news": 1}),
    "no fact": lambda f: f.append([]),  # type: ignore[arg-type]
}
RESTORED: dict[str, Edit] = {
    "an end that is too early": lambda f: f.append({"frame_count": 8}),
    "an end that is earlier": lambda f: f.append({"frame_count": 4}),
    "a position without frames": OTHER_SEGMENTS["a position without frames"],
    "a segment twice": lambda f: f.append(f[2]),
}


@pytest.mark.parametrize("edit", OTHER_HEADERS.values(), ids=OTHER_HEADERS)
def test_another_header_is_refused(interrupted: Path, edit: Edit):
    """With what to do; nothing is lost."""
    facts = facts_of(interrupted)
    edit(facts)
    interrupted.write_text("\n".join(map(line, facts)))
    with raises(OutputError, "another version of this program", hint="fresh"):
        Manifest.read(interrupted)


@pytest.mark.parametrize("edit", OTHER_SEGMENTS.values(), ids=OTHER_SEGMENTS)
def test_another_fact_costs_its_segment_at_most(interrupted: Path, edit: Edit):
    """Nothing of it is taken over."""
    facts = facts_of(interrupted)
    edit(facts)
    interrupted.write_text("\n".join(map(line, facts)))
    manifest = Manifest.read(interrupted)
    assert manifest is not None and (manifest.frame_count, manifest.output) == (None, None)
    assert [segment.first for segment in manifest.segments] == ([0, 4] if len(facts) > 3 else [0])


@pytest.mark.parametrize("edit", RESTORED.values(), ids=RESTORED)
def test_the_source_says_which_frames_there_are(whole: Path, interrupted: Path, edit: Edit):
    """The output has the frames of the source, whatever the manifest says of them."""
    facts, target = facts_of(interrupted), interrupted.parent.parent / "out.mp4"
    edit(facts)
    interrupted.write_text("\n".join(map(line, facts)))
    restore(whole / "in.mp4", target)
    assert frame_times(target) == frame_times(whole / "whole.mp4")
    assert [p[0].tobytes() for p in pictures(target)] == [p[0].tobytes() for p in pictures(whole / "whole.mp4")]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"crc":1', "9" * 5000, "\0", '{"crc":0,"fact":{}}'])
def test_a_line_that_is_no_fact_counts_for_nothing(interrupted: Path, text: str):
    """However deep or long it is."""
    with interrupted.open("a") as file:
        file.write(f"{text}\n")
    manifest = Manifest.read(interrupted)
    assert manifest is not None and len(manifest.segments) == 2


def test_two_segments_of_one_time_are_never_joined(whole: Path, interrupted: Path):
    """The later one's times are those of another place."""
    facts = facts_of(interrupted)
    facts[2]["segment"]["first_pts"] = facts[1]["segment"]["first_pts"]
    interrupted.write_text("\n".join(map(line, facts)))
    with raises(OutputError, "does not follow on the segment before it", hint="fresh"):
        restore(whole / "in.mp4", interrupted.parent.parent / "out.mp4")
