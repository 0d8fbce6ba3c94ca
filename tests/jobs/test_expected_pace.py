"""Estimates, and segments that are short in work."""

from pathlib import Path

import pytest

from edvr_cli.events import Started
from edvr_cli.jobs import expected_pace, runner
from edvr_cli.jobs.job_dir import JobDirectory
from edvr_cli.jobs.manifest import Manifest
from edvr_cli.jobs.rates import known_pace, store_pace
from edvr_cli.jobs.segments import SegmentLimits
from edvr_cli.network.model import Model
from edvr_cli.system.text import format_estimate
from tests.support.clips import make_clip
from tests.support.networks import random_network
from tests.support.run import restore

TINY = {"features": 8, "groups": 2, "tail": 4, "tsa": False, "levels": 1, "cascade": False}


@pytest.mark.parametrize(
    ("pace", "limits"),
    [(None, (50, 100)), (0.5, (50, 100)), (2.0, (30, 60)), (100.0, (1, 1)), (1000.0, (1, 1))],
)
def test_a_segment_is_two_minutes_of_work(pace: float | None, limits: tuple[int, int]):
    """At least one frame."""
    assert SegmentLimits(50, 100).within(120, pace) == SegmentLimits(*limits)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "about 5 s"),
        (41, "about 40 s"),
        (127, "about 2 min 05 s"),
        (180, "about 3 min"),
        (2100, "about 35 min"),
        (7500, "about 2 h 05 min"),
        (86000, "about 24 h"),
    ],
)
def test_estimates_are_rounded(seconds: float, text: str):
    """To what is known."""
    assert format_estimate(seconds) == text


def test_the_pace_is_kept_by_model_and_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the cache; a damaged one is as good as none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = Model.of(random_network(**TINY))
    assert known_pace(model, "fp32", 100) is None
    store_pace(model, "fp32", 100, 0.5)
    assert known_pace(model, "fp32", 200) == 1.0
    assert known_pace(model, "bf16", 200) is None
    assert known_pace(Model.of(random_network(**{**TINY, "tail": 8})), "fp32", 200) is None
    (tmp_path / "edvr" / "rates.json").write_text("[1")
    assert known_pace(model, "fp32", 200) is None


def test_a_run_says_what_it_expects_and_divides_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A later run keeps to the first one's segments."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(expected_pace, "_MIN_PIXELS", 1)
    model = Model.of(random_network(**TINY))
    store_pace(model, "fp32", 32 * 24, 40.0)
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=8)
    started: list[Started] = []
    segments = 0

    def listen(event: object) -> None:
        if isinstance(event, Started):
            started.append(event)

    def stop() -> bool:
        nonlocal segments
        segments += 1
        return segments == 1

    with pytest.raises(runner.StoppedError):
        restore(source, tmp_path / "out.mp4", model=model, precision="fp32", stop=stop, on_event=listen)
    assert (started[0].seconds_per_frame, started[0].segment_frames) == (40.0, 3)
    manifest = Manifest.read(JobDirectory(tmp_path / "out.mp4").manifest)
    assert manifest is not None and manifest.header.choices["segment"] == 3
    store_pace(model, "fp32", 32 * 24, 0.001)
    restore(source, tmp_path / "out.mp4", model=model, precision="fp32", on_event=listen)
    assert started[1].segment_frames == 3


def test_averaging_takes_that_many_times_as_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What one run has measured holds for the other."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(expected_pace, "_MIN_PIXELS", 1)
    monkeypatch.setattr(runner, "_MIN_MEASURED", 1)
    model = Model.of(random_network(**TINY))
    store_pace(model, "fp32", 32 * 24, 10.0)
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=2)
    started: list[Started] = []

    def listen(event: object) -> None:
        if isinstance(event, Started):
            started.append(event)

    restore(source, tmp_path / "out.mp4", model=model, precision="fp32", tta=4, on_event=listen)
    assert started[0].seconds_per_frame == 40.0
    measured = known_pace(model, "fp32", 32 * 24)
    assert measured is not None and measured < 10.0


def test_two_frames_are_measured_where_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And not for what takes no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = Model.of(random_network(**TINY))
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=4)
    started: list[Started] = []

    def listen(event: object) -> None:
        if isinstance(event, Started):
            started.append(event)

    restore(source, tmp_path / "a.mp4", model=model, precision="fp32", on_event=listen)
    monkeypatch.setattr(expected_pace, "_MIN_PIXELS", 1)
    restore(source, tmp_path / "b.mp4", model=model, precision="fp32", on_event=listen)
    assert started[0].seconds_per_frame is None and (started[1].seconds_per_frame or 0) > 0
