"""Moments near the end: the last frame is shown until something else ends the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.quality.footage import Footage
from edvr_cli.quality.preview import evenly_spaced, restored_from
from edvr_cli.video.reading.frame_intervals import last_frame_time
from edvr_cli.video.reading.sources import probe
from tests.jobs.test_pipeline import LEAST
from tests.support.networks import Identity
from tests.video.test_cases import ffmpeg  # noqa: F401 (a fixture)

KINDS = {
    "sound-longer": (["-f", "lavfi", "-i", "testsrc2=s=32x24:d=1:r=25", "-f", "lavfi", "-i", "sine=d=4"], 0.96, 25),
    "one-frame": (["-f", "lavfi", "-i", "testsrc2=s=32x24:d=0.04:r=25", "-f", "lavfi", "-i", "sine=d=2"], 0.0, 1),
    "ten-seconds-apart": (["-f", "lavfi", "-i", "testsrc2=s=32x24:d=30:r=1/10"], 20.0, 3),
    "one-frame-alone": (["-f", "lavfi", "-i", "testsrc2=s=32x24:d=0.04:r=25"], 0.0, 1),
}


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "avi"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_moment_of_a_preview_has_a_frame(ffmpeg: Callable[..., Path], kind: str, suffix: str):  # noqa: F811
    """Whatever else the file has: longer sound, one frame, or frames far from each other."""
    shot, last, _ = KINDS[kind]
    source = ffmpeg(*shot, "-c:v", "mpeg4" if suffix == "avi" else "libx264", "-bf", "0", "-c:a", "aac", f"in.{suffix}")
    found = last_frame_time(probe(source))
    assert found is not None
    if suffix != "ts":  # There the shorter of the streams may begin a little later.
        assert abs(float(found) - last) < 0.05
    footage = Footage.open(source)
    engine = StreamingEDVR(Identity(LEAST))
    moments = evenly_spaced(footage, 3)
    assert len(moments) in (1, 3)
    for instant in moments:
        restored = list(restored_from(footage, engine, instant, 1))
        assert len(restored) == 1
        assert restored[0].seconds <= float(found) + 0.05
