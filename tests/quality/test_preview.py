"""Moments restored beforehand: the same as in a whole run, where they differ, and what is written."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from rich.console import Console

from edvr_cli.cli import main
from edvr_cli.cli.thumbnail import show_picture
from edvr_cli.errors import InputError
from edvr_cli.image.lettering import lettering
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.frames import restore_frames
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.models.checkpoint import save_model
from edvr_cli.quality import preview
from edvr_cli.quality.footage import Footage, to_size
from edvr_cli.quality.preview import (
    Crop,
    Restored,
    contact_sheet,
    difference_crop,
    evenly_spaced,
    restored_from,
    restored_part,
    split_screen,
)
from edvr_cli.size import Size
from edvr_cli.video.writing.preview_clip import write_clip
from tests.support.clips import make_clip
from tests.support.networks import random_network


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Footage:
    path = tmp_path_factory.mktemp("preview") / "in.mkv"
    make_clip(path, width=32, height=24, frames=24, cut=(12, 1))
    return Footage.open(path)


def test_a_moment_is_what_a_whole_run_makes_of_it(footage):
    """At the beginning, the end, and on both sides of a cut."""
    model = random_network()
    arrays = [p.rgb.permute(1, 2, 0).contiguous().numpy() for p in footage.pictures()]
    whole = [
        torch.as_tensor(f).permute(2, 0, 1)
        for f in restore_frames(arrays, model, inference=InferenceOptions(precision="fp32"))
    ]
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32"))
    for index in (0, 1, 5, 11, 12, 23):
        (found,) = restored_from(footage, engine, index / 25, 1)
        assert found.seconds == pytest.approx(index / 25)
        assert int((found.after.int() - whole[index].int()).abs().max()) <= 1
        small = torch.from_numpy(arrays[index]).permute(2, 0, 1)
        assert torch.equal(found.before, to_size(small, Size(128, 96)))


def test_a_part_is_that_of_the_whole_frame(footage):
    """Where its surroundings reach the frame's edges, exactly, wherever it lies."""
    engine = StreamingEDVR(random_network(), InferenceOptions(precision="fp32"))
    (whole,) = restored_from(footage, engine, 0.2, 1)
    for crop in (Crop(0, 0, 32, 40), Crop(37, 51, 32, 40), Crop(64, 88, 32, 40)):
        part, pace = restored_part(footage, engine, 0.2, crop)
        assert int((part.int() - crop.of(whole.after).int()).abs().max()) <= 1
        assert pace is not None
        assert pace > 0


def test_a_sheet_has_another_model_s_part_on_the_right():
    """Magnified as the others are, at the bottom."""
    before = torch.zeros(3, 60, 90, dtype=torch.uint8)
    after = before.clone()
    after[:, 40:50, 70:80] = 200
    part = torch.full((3, 20, 30), 77, dtype=torch.uint8)
    two, three = (contact_sheet(Restored(before, after, 0, 0), other=o) for o in (None, ("larger", part)))
    assert torch.equal(three[:, :, : two.shape[2]], two)
    assert (three[:, -60:, -90:] == 77).all()


def test_several_frames_follow_each_other(footage):
    """And a moment behind the end is an error."""
    engine = StreamingEDVR(random_network(), InferenceOptions(precision="fp32"))
    times = [frame.seconds for frame in restored_from(footage, engine, 0.2, 3)]
    assert times == pytest.approx([0.2, 0.24, 0.28])
    with pytest.raises(InputError):
        list(restored_from(footage, engine, 99.0, 1))


def test_moments_are_spread_evenly(footage):
    """In the middle of equal parts; a photo has one."""
    assert evenly_spaced(footage, 2) == pytest.approx([0.24, 0.72])
    short = replace(footage, info=replace(footage.info, frame_count=1, duration=0.04))
    assert len(evenly_spaced(short, 3)) == 1


def test_the_crop_lies_where_the_pictures_differ_most():
    """And the sheet shows it magnified, its pixels unsmoothed."""
    before = torch.zeros(3, 60, 90, dtype=torch.uint8)
    after = before.clone()
    after[:, 40:50, 70:80] = 200
    crop = difference_crop(before, after)
    assert (crop.height, crop.width) == (20, 30)
    assert crop.top <= 40
    assert crop.top + 20 >= 50
    assert crop.left <= 70
    assert crop.left + 30 >= 80
    labelled = contact_sheet(Restored(before, after, 0.0, 1.0))
    label = 7 + 2 * 3  # dots of one pixel
    assert labelled.shape == (3, label + 60 + 8 + 60, 90 + 8 + 90)
    drawn = labelled[:, label:]
    magnified = drawn[:, 68:, 98:]
    assert int((magnified == 200).sum()) == 3 * 9 * 100
    assert int((drawn[:, 68:, :90] == 200).sum()) == 0


def test_whole_frames_of_a_huge_picture_are_reduced(monkeypatch: pytest.MonkeyPatch):
    """A file of them would be too large for FFmpeg. The part is smaller, its pixels still magnified three times."""
    monkeypatch.setattr(preview, "_MAX_PIXELS", 6 * 240 * 360 / 4)
    before = torch.zeros(3, 240, 360, dtype=torch.uint8)
    after = before.clone()
    after[:, 160:170, 280:290] = 200
    restored = Restored(before, after, 0.0, 1.0)
    assert (restored.reduction, restored.crop.height, restored.crop.width) == (2, 240 // 6, 360 // 6)
    labelled = contact_sheet(restored)
    drawn = labelled[:, labelled.shape[1] - 120 - 8 - 120 :]
    assert drawn.shape == (3, 248, 180 + 8 + 180)
    assert int((drawn[:, 128:, 188:] == 200).sum()) == 3 * 9 * 100
    assert drawn[0, 82, 188 + 142] == 200  # the middle of what differs, in the whole frame
    assert drawn[0, 82, 142] == 0


def test_a_split_screen_shows_before_on_the_left():
    """With a white line between, and their names in the upper corners."""
    before, after = torch.full((3, 40, 200), 50, dtype=torch.uint8), torch.full((3, 40, 200), 100, dtype=torch.uint8)
    picture = split_screen(Restored(before, after, 0.0, 1.0), ("old", "new"))
    assert picture[0, -1].tolist() == [50] * 99 + [255] * 2 + [100] * 99
    for word, corner in (("old", picture[0, :26, :46]), ("new", picture[0, :26, -46:])):
        assert corner[6:-6, 6:-6].eq(255).equal(lettering(word, 2))
        assert set(corner.flatten().tolist()) == {0, 255}


def test_clips_keep_times_and_colors(tmp_path):
    """Read back: even sides, the times' distances, the colors to a few levels."""
    pictures = [(torch.full((3, 33, 48), 60 * n, dtype=torch.uint8), 5 + t) for n, t in enumerate((0.0, 0.1, 0.5))]
    assert write_clip(tmp_path / "c.mp4", pictures, Fraction(10)) == 3
    found = list(Footage.open(tmp_path / "c.mp4").pictures())
    assert [picture.seconds for picture in found] == pytest.approx([0, 0.1, 0.5])
    assert found[0].rgb.shape == (3, 32, 48)
    assert [int(picture.rgb.float().mean()) for picture in found] == pytest.approx([0, 60, 120], abs=2)
    assert Crop(1, 2, 3, 4).of(found[0].rgb).shape == (3, 3, 4)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def test_the_command_writes_pictures_and_videos_and_tells_the_time(footage, tmp_path, capsys):
    """Their paths go to standard output; existing files are not replaced without --overwrite."""
    save_model(random_network(), tmp_path / "m.safetensors")
    arguments = ["preview", footage.path, "--model", tmp_path / "m.safetensors", "-o", tmp_path / "out"]
    arguments += ["--at", "0.4", "--at", "0:00.8", "--video", "--seconds", "0.08", "--device", "cpu"]
    assert run(*arguments) == 0
    printed = capsys.readouterr()
    names = ["in_0m00.40s.png", "in_0m00.40s.mp4", "in_0m00.80s.png", "in_0m00.80s.mp4"]
    assert printed.out.split() == [str(tmp_path / "out" / name) for name in names]
    assert "for all 24 frames" in printed.err
    assert len(list(Footage.open(tmp_path / "out" / names[1]).pictures())) == 2
    assert Footage.open(tmp_path / "out" / names[0]).size == (2 * 128 + 8, 26 + 96 + 8 + 96)  # below their names
    assert run(*arguments) == 2
    assert "exists" in capsys.readouterr().err
    assert run("preview", footage.path, "--at", "99", "-o", tmp_path / "out", "-n", tmp_path / "m.safetensors") == 1


class Terminal(Console):
    """A terminal of 20 columns in true color."""

    def __init__(self, **options) -> None:
        super().__init__(force_terminal=True, width=20, color_system="truecolor", **options)


def test_terminals_show_half_blocks_or_kittys_graphics(monkeypatch, capsys):
    """And nothing where colors are not wanted."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("TERM_PROGRAM", raising=False)
    picture = torch.zeros(3, 40, 80, dtype=torch.uint8)
    picture[0, 20:] = 255
    show_picture(Terminal(), picture)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].count("▀") == 20
    assert "38;2;255;0;0" in lines[4]
    show_picture(Terminal(), picture, ("before", "after"))
    assert capsys.readouterr().out.splitlines()[0] == "  before    after"
    monkeypatch.setenv("TERM", "xterm-kitty")
    show_picture(Terminal(), picture)
    assert capsys.readouterr().out.startswith("\x1b_Ga=T,f=100,c=20,m=0;")
    show_picture(Terminal(no_color=True), picture)
    assert capsys.readouterr().out == ""
