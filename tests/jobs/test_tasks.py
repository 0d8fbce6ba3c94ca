"""Segments as tasks for other machines: what comes back is what one machine makes of the whole."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from edvr_cli.errors import OutputError
from edvr_cli.events import Event, Finished, FrameRestored, Joining, OnEvent
from edvr_cli.jobs import tasks
from edvr_cli.jobs.backends import LocalBackend, RestoreContext
from edvr_cli.jobs.manifest import MissingRange
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.jobs.segment_files import store_segment
from edvr_cli.jobs.segments import START, Segment, SegmentLimits
from edvr_cli.jobs.source_range import SourceRange
from edvr_cli.jobs.tasks import SegmentTask, embed_frames, run_task, split_into_tasks
from edvr_cli.video.reading.sources import probe
from edvr_cli.video.writing.options import Encoding
from tests.jobs.test_restore_video import TINY, digests, names
from tests.jobs.test_restore_video import restore as restore_in_segments
from tests.support.clips import make_clip
from tests.support.networks import random_network


class Elsewhere(LocalBackend):
    """Runs a job's tasks the last one first, after they were sent as bytes."""

    def __init__(self, plan: RestorePlan, emit: OnEvent, *, always_frames: bool = False) -> None:
        super().__init__(plan, emit)
        self.info = plan.info
        self.always_frames = always_frames
        self.sent: list[SegmentTask] = []

    def restore_range(self, missing: MissingRange, context: RestoreContext) -> bool:
        """As a cluster does it."""
        tasks = split_into_tasks(
            context.source,
            missing,
            split_at_cuts=context.split_at_cuts,
            limits=context.limits,
            reach=self.engine.config.frames,
        )
        for task in reversed(list(tasks)):
            sent = embed_frames(task, context.source) if self.always_frames else task
            result = self.run_task(sent, context)
            if result is None:
                sent = embed_frames(task, context.source)
                result = self.run_task(sent, context)
            assert result is not None
            self.sent.append(sent)
            segment, data = result
            store_segment(segment, data, context.directory)
            context.on_segment(segment)
            for _ in range(segment.frame_count):
                context.on_frame()
        return True

    def run_task(self, task: SegmentTask, context: RestoreContext) -> tuple[Segment, bytes] | None:
        """The task as it arrives."""
        there = pickle.loads(pickle.dumps(task))
        return run_task(there, self.info, self.engine, context.encoder)


def elsewhere(**options) -> tuple[list[Elsewhere], Callable[..., Elsewhere]]:
    """(the backends that were made, and their factory)."""
    made: list[Elsewhere] = []

    def factory(plan: RestorePlan, emit: OnEvent) -> Elsewhere:
        made.append(Elsewhere(plan, emit, **options))
        return made[-1]

    return made, factory


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
    made, factory = elsewhere()
    for target, options in (("one.mkv", {}), ("many.mkv", {"backend": factory})):
        restore(source, tmp_path / target, **options)
    assert digests(tmp_path / "many.mkv") == digests(tmp_path / "one.mkv")
    assert len(made[0].sent) >= 3
    assert all(task.fragment is not None for task in made[0].sent)


@pytest.mark.parametrize("part", [{}, {"start": Fraction(3, 25)}, {"max_frames": 15}], ids=str)
def test_frames_travel_where_packets_do_not_do(tmp_path: Path, part: dict, monkeypatch: pytest.MonkeyPatch):
    """As when other frames come out of them."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=22, cut=(9, 1))
    restore(source, tmp_path / "one.mp4", **part)
    extract = tasks.PacketExtractor.extract

    def damaged(extractor, first, last):
        whole = extract(extractor, first, last)
        return whole if first == 0 else replace(whole, data=whole.data[: len(whole.data) // 2])

    monkeypatch.setattr(tasks.PacketExtractor, "extract", damaged)
    made, factory = elsewhere()
    restore(source, tmp_path / "many.mp4", backend=factory, **part)
    assert digests(tmp_path / "many.mp4") == digests(tmp_path / "one.mp4")
    assert any(task.planes for task in made[0].sent)


def test_a_job_goes_on_elsewhere_and_back(tmp_path: Path):
    """One manifest for all: begun here, its middle elsewhere, ended here."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=40, cut=(9, 1))
    restore(source, tmp_path / "one.mp4")
    made, factory = elsewhere()

    def interrupt(frames: int) -> Callable[[Event], None]:
        def listen(event: Event) -> None:
            if (isinstance(event, FrameRestored) and event.done == frames) or isinstance(event, Joining):
                raise KeyboardInterrupt

        return listen

    with pytest.raises(KeyboardInterrupt):
        restore(source, tmp_path / "many.mp4", on_event=interrupt(19))
    with pytest.raises(KeyboardInterrupt):
        restore(source, tmp_path / "many.mp4", backend=factory, on_event=interrupt(25))
    finished = restore(source, tmp_path / "many.mp4")
    assert made[0].sent and 0 < finished.restored < 40
    assert digests(tmp_path / "many.mp4") == digests(tmp_path / "one.mp4")
    assert names(tmp_path) == ["in.mp4", "many.mp4", "one.mp4"]


def test_a_task_carries_little_more_than_its_frames(tmp_path: Path):
    """The packets from the key frame before, to as far as windows reach."""
    source = make_clip(
        tmp_path / "in.mp4", frames=60, options={"preset": "ultrafast", "g": "12", "bf": "2", "qp": "20"}
    )
    missing = MissingRange(START, None)
    divided = split_into_tasks(
        SourceRange(probe(source)), missing, split_at_cuts=True, limits=SegmentLimits(12, 12), reach=5
    )
    sizes = [len(task.fragment.data) for task in divided if task.fragment is not None]
    assert len(sizes) == 5 and max(sizes) < source.stat().st_size * 0.7


def test_a_segment_damaged_on_its_way_is_refused(tmp_path: Path):
    """By its checksum."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=6)
    _, factory = elsewhere()

    def careless(plan: RestorePlan, emit: OnEvent) -> Elsewhere:
        backend = factory(plan, emit)
        careful = backend.run_task

        def cut_short(task: SegmentTask, context: RestoreContext) -> tuple[Segment, bytes] | None:
            result = careful(task, context)
            return result and (result[0], result[1][:-1])

        backend.run_task = cut_short
        return backend

    with pytest.raises(OutputError, match="damaged on its way"):
        restore(source, tmp_path / "out.mp4", backend=careless, model=random_network(**TINY), encoding=Encoding())
    assert names(tmp_path) == ["in.mp4"]
