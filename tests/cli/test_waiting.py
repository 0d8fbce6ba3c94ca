"""What is said of the time: before the work, and at the first Ctrl-C."""

from pathlib import Path

import pytest

from edvr_cli.cli.progress import Display
from edvr_cli.events import Finished, FrameRestored, Started

STARTED = Started(
    Path("in.mp4"), Path("out.mp4"), (64, 48), (256, 192), 1000, "m", "cpu", "fp32", 0, resized=False,
    segment_frames=10, seconds_per_frame=20.0,
)  # fmt: skip


def test_the_time_is_said_before_the_work(capfd: pytest.CaptureFixture[str]):
    """With a way to see something sooner, as it is long."""
    Display(bar=False)(STARTED)
    assert (
        "This takes about 5 h 35 min (20 s per frame); edvr preview shows a few moments first."
        in capfd.readouterr().err
    )


def test_the_first_ctrl_c_says_how_long_it_takes_and_what_a_second_one_loses(capfd: pytest.CaptureFixture[str]):
    """Before a frame is there, by what is expected."""
    display = Display(bar=False)
    display(STARTED)
    display.interrupted()
    assert "done, in about 3 min 20 s at most; Ctrl-C again stops at once and loses 0 frames." in capfd.readouterr().err
    display(FrameRestored(4, 1000, 4))
    display.interrupted()
    assert "loses 4 frames." in capfd.readouterr().err


def test_without_work_it_just_stops(capfd: pytest.CaptureFixture[str]):
    """As between the files of a watched folder."""
    display = Display(bar=False)
    display.interrupted()
    display(STARTED)
    display(Finished(Path("out.mp4"), 1000, 3.0))
    display.interrupted()
    assert capfd.readouterr().err.count("Stopping.\n") == 2
