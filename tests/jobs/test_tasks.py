"""Segments as tasks for other machines: what comes back is what one machine makes of the whole."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from edvr_cli.errors import OutputError
from edvr_cli.events import Event, Finished, FrameRestored, Joining
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.jobs import tasks
from edvr_cli.jobs.backends import ThisMachine, Work
from edvr_cli.jobs.manifest import Gap
from edvr_cli.jobs.segment_files import store_segment
from edvr_cli.jobs.segments import START, Lengths, Segment
from edvr_cli.jobs.source_range import Excerpt
from edvr_cli.jobs.tasks import Task, divide, perform, with_frames
from edvr_cli.network.edvr import EDVR
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.sources import probe
from edvr_cli.video.writing.encoders import Encoding
from tests.jobs.test_restore_video import TINY, digests, names
from tests.jobs.test_restore_video import restore as restore_in_segments
from tests.support.clips import make_clip
from tests.support.networks import random_network


class Elsewhere(ThisMachine):
    """Does a job's tasks the last one first, after they were sent as bytes."""

    def __init__(self, engine: StreamingEDVR, info: VideoInfo, *, always_frames: bool = False) -> None:
        super().__init__(engine, info)
        self.info = info
        self.always_frames = always_frames
        self.sent: list[Task] = []

    def fill(self, gap: Gap, work: Work) -> bool:
        """As a cluster does it."""
        reach = self._engine.config.frames
        divided = list(divide(work.source, gap, shots=work.shots, lengths=work.lengths, reach=reach))
        for task in reversed(divided):
            sent = with_frames(task, work.source) if self.always_frames else task
            result = self.perform(sent, work)
            if result is None:
                sent = with_frames(task, work.source)
                result = self.perform(sent, work)
            assert result is not None
            self.sent.append(sent)
            segment, data = result
            store_segment(segment, data, work.directory)
            work.on_segment(segment)
            for _ in range(segment.frame_count):
                work.on_frame()
        return True

    def perform(self, task: Task, work: Work) -> tuple[Segment, bytes] | None:
        """The task as it arrives."""
        there = pickle.loads(pickle.dumps(task))
        return perform(there, self.info, self._engine, work.encoder)


def elsewhere(**options) -> tuple[list[Elsewhere], Callable[..., Elsewhere]]:
    """(those that were hired, how they are)."""
    hired: list[Elsewhere] = []

    def hire(model: EDVR, info: VideoInfo, **recipe) -> Elsewhere:
        hired.append(Elsewhere(StreamingEDVR(model, **recipe), info, **options))
        return hired[-1]

    return hired, hire


def restore(source: Path, target: Path, **options) -> Finished:
    """In segments of eight frames, so that key frames lie within them and between."""
    return restore_in_segments(source, target, **{"segment_seconds": 0.32, **options})


SOURCES = {
    "cut": ("in.mp4", {"cut": (9, 1)}),
    "short shots": ("in.mp4", {"cut": (2, 2)}),
    "one key frame": ("in.ts", {"options": {"preset": "ultrafast", "g": "250", "bf": "2"}}),
    "mpeg4": ("in.avi", {"codec": "mpeg4", "options": {}}),
    "times": ("in.mp4", {"time_base": Fraction(1, 600), "pts": tuple(6000 + 30 * n + n % 3 for n in range(22))}),
    "no key frames": ("in.mkv", {"options": {"preset": "ultrafast", "intra-refresh": "1", "g": "10", "bf": "0"}}),
    "10 bit": ("in.mkv", {"codec": "ffv1", "options": {}, "pix_fmt": "yuv420p10le"}),
}


@pytest.mark.parametrize(("name", "changes"), SOURCES.values(), ids=SOURCES)
def test_tasks_make_what_one_machine_makes(tmp_path: Path, name: str, changes: dict):
    """To the bit, in whatever order, and by the source's own packets."""
    source = make_clip(tmp_path / name, width=32, height=24, frames=22, **changes)
    hired, hire = elsewhere()
    for target, options in (("one.mkv", {}), ("many.mkv", {"hire": hire})):
        restore(source, tmp_path / target, **options)
    assert digests(tmp_path / "many.mkv") == digests(tmp_path / "one.mkv")
    assert len(hired[0].sent) >= 3
    assert all(task.part is not None for task in hired[0].sent)


@pytest.mark.parametrize("part", [{}, {"start": Fraction(3, 25)}, {"max_frames": 15}], ids=str)
def test_frames_travel_where_packets_do_not_do(tmp_path: Path, part: dict, monkeypatch: pytest.MonkeyPatch):
    """As when other frames come out of them."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=22, cut=(9, 1))
    restore(source, tmp_path / "one.mp4", **part)
    cut = tasks.PacketCutter.cut

    def damaged(cutter, first, last):
        whole = cut(cutter, first, last)
        return whole if first == 0 else replace(whole, data=whole.data[: len(whole.data) // 2])

    monkeypatch.setattr(tasks.PacketCutter, "cut", damaged)
    hired, hire = elsewhere()
    restore(source, tmp_path / "many.mp4", hire=hire, **part)
    assert digests(tmp_path / "many.mp4") == digests(tmp_path / "one.mp4")
    assert any(task.planes for task in hired[0].sent)


def test_a_job_goes_on_elsewhere_and_back(tmp_path: Path):
    """One manifest for all: begun here, its middle elsewhere, ended here."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=40, cut=(9, 1))
    restore(source, tmp_path / "one.mp4")
    hired, hire = elsewhere()

    def interrupt(frames: int) -> Callable[[Event], None]:
        def listen(event: Event) -> None:
            if (isinstance(event, FrameRestored) and event.done == frames) or isinstance(event, Joining):
                raise KeyboardInterrupt

        return listen

    with pytest.raises(KeyboardInterrupt):
        restore(source, tmp_path / "many.mp4", on_event=interrupt(19))
    with pytest.raises(KeyboardInterrupt):
        restore(source, tmp_path / "many.mp4", hire=hire, on_event=interrupt(25))
    finished = restore(source, tmp_path / "many.mp4")
    assert hired[0].sent and 0 < finished.restored < 40
    assert digests(tmp_path / "many.mp4") == digests(tmp_path / "one.mp4")
    assert names(tmp_path) == ["in.mp4", "many.mp4", "one.mp4"]


def test_a_task_carries_little_more_than_its_frames(tmp_path: Path):
    """The packets from the key frame before, to as far as windows reach."""
    source = make_clip(
        tmp_path / "in.mp4", frames=60, options={"preset": "ultrafast", "g": "12", "bf": "2", "qp": "20"}
    )
    divided = divide(Excerpt(probe(source)), Gap(START, None), shots=True, lengths=Lengths(12, 12), reach=5)
    sizes = [len(task.part.data) for task in divided if task.part is not None]
    assert len(sizes) == 5 and max(sizes) < source.stat().st_size * 0.7


def test_a_segment_damaged_on_its_way_is_refused(tmp_path: Path):
    """By its checksum."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=6)
    _, hire = elsewhere()

    def careless(model: EDVR, info: VideoInfo, **recipe) -> Elsewhere:
        workers = hire(model, info, **recipe)
        careful = workers.perform

        def cut_short(task: Task, work: Work) -> tuple[Segment, bytes] | None:
            result = careful(task, work)
            return result and (result[0], result[1][:-1])

        workers.perform = cut_short
        return workers

    with pytest.raises(OutputError, match="damaged on its way"):
        restore(source, tmp_path / "out.mp4", hire=careless, model=random_network(**TINY), encoding=Encoding())
    assert names(tmp_path) == ["in.mp4"]
