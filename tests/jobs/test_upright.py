"""Frames for targets that cannot say how they are to be shown arrive upright, as a player shows the source."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edvr_cli.events import Event, Notice, Started
from edvr_cli.quality.footage import Footage
from edvr_cli.size import Size
from edvr_cli.video.pixels.color import alpha_plane
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import probe
from edvr_cli.video.writing.options import Encoding
from tests.jobs.test_pipeline import LEAST
from tests.support.clips import make_clip
from tests.support.networks import Identity
from tests.support.run import restore

TURNS = [(90.0, False, False), (180.0, False, False), (-90.0, False, False), (0.0, True, False), (90.0, False, True)]
NOTE = "cannot say how they are shown"
SAME_SIZE = replace(LEAST, predeblur=True, hr_in=True)


def shown(path: Path) -> torch.Tensor:
    """All pictures of a file or folder, as a player shows them."""
    return torch.stack([picture.rgb for picture in Footage.open(path).pictures()])


def clip(path: Path, rotation: tuple[float, bool, bool], **options: object) -> Path:
    """Four frames that look different in each of the eight ways of holding them."""
    return make_clip(path, width=64, height=48, frames=4, rotation=rotation, **options)


def restored(source: Path, target: Path, **options: object) -> list[Event]:
    """Through the identity network."""
    events: list[Event] = []
    restore(source, target, model=Identity(SAME_SIZE), on_event=events.append, **options)
    return events


@pytest.mark.parametrize("rotation", TURNS)
def test_pictures_of_a_turned_video_are_upright(tmp_path: Path, rotation: tuple[float, bool, bool]):
    """What a player shows, pixel for pixel but for the rounding of 4:2:0; and that is said."""
    source = clip(tmp_path / "in.mp4", rotation)
    events = restored(source, tmp_path / "out" / "%03d.png")
    found, expected = shown(tmp_path / "out"), shown(source)
    assert found.shape == expected.shape == ((4, 3, 64, 48) if rotation[0] % 180 else (4, 3, 48, 64))
    assert (found.int() - expected.int()).abs().max() <= 1
    with Image.open(tmp_path / "out" / "001.png") as opened:
        assert (np.asarray(opened) == found[0].permute(1, 2, 0).numpy()).all()
    assert [event.message for event in events if isinstance(event, Notice) and NOTE in event.message]
    (started,) = (event for event in events if isinstance(event, Started))
    assert (started.size, started.output_size, started.resized) == (Size(64, 48), Size(*found.shape[:1:-1]), False)


@pytest.mark.parametrize(("suffix", "mirrored"), [(".mkv", True), (".webm", True), (".mp4", True), (".mkv", False)])
def test_only_what_a_container_cannot_say_is_turned(tmp_path: Path, suffix: str, mirrored: bool):
    """Matroska says an angle and not that a picture is mirrored; MP4 says all. Both show the same."""
    source = clip(tmp_path / "in.mp4", (90.0, mirrored, False))
    encoding = Encoding("libvpx-vp9", crf=4) if suffix == ".webm" else Encoding("libx264", crf=0, preset="ultrafast")
    target = tmp_path / f"out{suffix}"
    events = restored(source, target, encoding=encoding)
    turned = mirrored and suffix != ".mp4"
    assert any(NOTE in event.message for event in events if isinstance(event, Notice)) == turned
    info = probe(target)
    assert (info.display_matrix is None) == turned
    assert (info.width, info.height) == ((48, 64) if turned else (64, 48))
    assert (shown(target).int() - shown(source).int()).abs().float().mean() < 2


def test_oblong_pixels_are_turned_too(tmp_path: Path):
    """Twice as wide as high becomes twice as high as wide, and so the picture has the same shape."""
    source = clip(tmp_path / "in.mp4", (90.0, True, False), sample_aspect_ratio=Fraction(2))
    restored(source, tmp_path / "out.mkv")
    before, after = probe(source), probe(tmp_path / "out.mkv")
    assert (before.display_size, after.sample_aspect_ratio, after.size) == (Size(48, 128), Fraction(1, 2), Size(48, 64))


def test_transparency_is_turned_with_the_picture(tmp_path: Path):
    """To the same place."""
    source = clip(tmp_path / "in.mov", (90.0, False, False), codec="prores_ks", pix_fmt="yuva444p10le", options={})
    restored(source, tmp_path / "%03d.png")
    info = probe(source)
    with VideoReader(source, info=info) as reader:
        frame = next(iter(reader))
    alpha = alpha_plane(frame.planes, frame.layout)
    assert alpha is not None and info.upright is not None
    with Image.open(tmp_path / "001.png") as opened:
        found = torch.from_numpy(np.array(opened.getchannel("A")))
    assert (found - info.upright.apply(alpha) * 255).abs().max() <= 1
    assert alpha.std() > 0.05  # so that another turn would be seen


def test_a_run_goes_on_with_the_same_turn(tmp_path: Path):
    """A segment after the other is turned the same way."""
    source = clip(tmp_path / "in.mp4", (180.0, False, False))
    restored(source, tmp_path / "out" / "%03d.png", segment_seconds=0.08)
    assert (shown(tmp_path / "out").int() - shown(source).int()).abs().max() <= 1
