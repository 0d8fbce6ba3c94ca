"""A size in pixels becomes an enlargement that keeps the picture's shape, or a sentence that says why not."""

from dataclasses import replace
from pathlib import Path

import pytest

from edvr_cli.errors import OutputError
from edvr_cli.events import Event, Notice
from edvr_cli.jobs.plan import plan_restore
from edvr_cli.jobs.target_size import TargetSize, exceeds_4k, parse_scale, two_runs
from edvr_cli.size import Size
from edvr_cli.video.reading.sources import probe
from tests.support.clips import make_clip
from tests.support.errors import raises
from tests.support.networks import random_network
from tests.support.run import restore

TINY = {"features": 8, "groups": 2, "tail": 4, "tsa": False, "levels": 1, "cascade": False}
SOURCE = Path("in.mp4")


@pytest.mark.parametrize(
    ("wanted", "source", "result"),
    [
        (TargetSize(height=1080), (640, 360), (1920, 1080)),
        (TargetSize(height=480), (427, 240), (854, 480)),
        (TargetSize(width=1000), (640, 360), (1000, 562)),
        (TargetSize(1920, 1080), (720, 576), (1350, 1080)),
        (TargetSize(1920, 1080), (1000, 300), (1920, 576)),
        (TargetSize(1920, 1080), (360, 640), (608, 1080)),
        (parse_scale("1080p"), (360, 640), (1080, 1920)),
        (parse_scale("4K"), (1920, 1080), (3840, 2160)),
        (parse_scale("1440p"), (1001, 563), (2560, 1440)),
        (parse_scale("720p"), (1280, 720), (1280, 720)),
        (TargetSize(height=243), (81, 81), (242, 242)),
    ],
)
def test_the_shape_is_kept_and_the_sides_are_even(wanted: TargetSize, source: tuple[int, int], result: tuple[int, int]):
    """A box is filled in one direction; screens turn with the picture."""
    assert wanted.output_size(SOURCE, Size(*source), Size(*source), 4) == result


def test_wide_pixels_count_as_they_are_shown():
    """A DVD's 720×576 pixels are shown as 1024×576."""
    assert TargetSize(width=2048).output_size(SOURCE, Size(720, 576), Size(1024, 576), 4) == (1440, 1152)


def test_a_smaller_size_is_refused():
    """It names both sizes."""
    with raises(OutputError, "^in.mp4 is 1920×1080 already: 1280×720 would shrink it.$", hint="target_size"):
        TargetSize(1280, 720).output_size(SOURCE, Size(1920, 1080), Size(1920, 1080), 4)


def test_more_than_the_model_gives_is_two_runs():
    """With what they cost."""
    message = (
        r"in.mp4 is 320×180: 1080 pixels high is 6 times that, and the model enlarges 4 times. Run twice: enlarge 1.5 "
        r"times first, then that result to the full size. The second run takes about 2.2 times as long as the first."
    )
    with pytest.raises(OutputError, match=message):
        TargetSize(height=1080).output_size(SOURCE, Size(320, 180), Size(320, 180), 4)


def test_two_runs_have_an_end_too():
    """Sixteen times."""
    assert two_runs(16).startswith("Run twice: enlarge 4 times first")
    assert two_runs(17) == "Two runs enlarge 16 times at most."


@pytest.mark.parametrize(
    ("text", "scale"),
    [("2", 2), ("2x", 2), ("X3", 3), ("1.5x", 1.5), ("×4", 4), ("big", None), ("1080", 1080), ("-2", None)],
)
def test_factors_are_understood_with_and_without_an_x(text: str, scale: float | None):
    """A text that means nothing is None."""
    assert parse_scale(text) == scale


@pytest.mark.parametrize(
    ("size", "larger"),
    [((3840, 2160), False), ((4096, 2160), False), ((2160, 3840), False), ((7680, 4320), True), ((2162, 3840), True)],
)
def test_what_is_larger_than_4k(size: tuple[int, int], larger: bool):
    """Upright pictures are measured upright."""
    assert exceeds_4k(Size(*size)) == larger


def test_a_video_gets_the_size(tmp_path: Path):
    """From file to file."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=2)
    events: list[Event] = []
    model = random_network(**TINY)
    restore(source, tmp_path / "out.mp4", model=model, scale=TargetSize(height=60), on_event=events.append)
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height) == (80, 60)
    assert not any(isinstance(event, Notice) and event.hint == "smaller" for event in events)


def test_more_than_4k_is_noted_where_nobody_asked_for_it(tmp_path: Path):
    """A size that was asked for is not noted."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=2)
    plan = plan_restore(source, tmp_path / "out.mp4", model=random_network(**TINY))
    assert plan.size_note is None
    large = replace(plan, encoder=replace(plan.encoder, width=7680, height=4320))
    assert large.size_note == Notice("The result is 7680×4320, larger than 4K.", hint="smaller")
    assert replace(large, size_is_default=False).size_note is None
