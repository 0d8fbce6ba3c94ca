"""Footage becomes samples: decoded once, and each sample a function of seed and step alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edvr_cli.errors import InputError
from edvr_cli.image.resize import benchmark_lr
from edvr_cli.train import samples as data
from edvr_cli.train.clips import Clip, build_cache
from edvr_cli.train.recipe import NetworkSize, Recipe
from edvr_cli.train.samples import Batch, Samples, batches
from edvr_cli.train.synthetic_pictures import line_art
from edvr_cli.video.clip_folders import read_frames, sources_in
from tests.support.clips import make_clip

TINY = Recipe(size=NetworkSize(8, 1, 1, 8), batch=4, patch=16, steps=8, align=2)


def footage(frames: int = 8, side: int = 176) -> list[Clip]:
    """A drawn still that slides by."""
    still = line_art(np.random.default_rng(0), side + 4 * frames)
    return [Clip("still", np.stack([still[:, :side, 4 * n : 4 * n + side] for n in range(frames)]))]


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("degradation", ["clean", "real"])
@pytest.mark.parametrize("task", ["sr", "deblur"])
def test_samples_have_the_shapes_the_network_takes(task, degradation):
    """Windows at input size, truth at output size, motion at input size, known for the synthetic ones."""
    recipe = replace(TINY, task=task, degradation=degradation)
    batch = Samples(footage(), recipe).batch(recipe.align)
    assert batch.window.shape == (4, 5, 3, 16, 16)
    assert batch.truth.shape == (4, 3, 16 * recipe.scale, 16 * recipe.scale)
    assert batch.flow.shape == (4, 5, 2, 16, 16)
    assert batch.window.dtype == batch.truth.dtype == torch.uint8
    assert batch.known.tolist() == ([True] * 4 if task == "deblur" else [True, True, False, False])
    assert torch.equal(batch.flow[:, 2], torch.zeros_like(batch.flow[:, 2]))


def test_alignment_alone_is_trained_on_known_motion():
    """Footage whose motion nobody knows must not teach that nothing moves."""
    samples = Samples(footage(), TINY)
    assert all(samples.batch(0).known)
    assert all(Samples(footage(), replace(TINY, skeleton=1)).batch(2).known)


def test_the_middle_of_a_clean_window_is_the_truth_made_small():
    """Of synthetic and filmed samples alike."""
    batch = Samples(footage(), TINY).batch(3)
    assert torch.equal(benchmark_lr(batch.truth), batch.window[:, 2])


def test_a_window_is_compressed_with_frames_before_it(monkeypatch: pytest.MonkeyPatch):
    """So that not every sample is the beginning of a codec's group of pictures; the truth stays that of the window."""
    seen: list[torch.Tensor] = []

    def undamaged(truth, rng, *, scale, strength):
        seen.append(truth)
        return benchmark_lr(truth, scale=scale)

    monkeypatch.setattr(data, "real", undamaged)
    recipe = replace(TINY, degradation="real", known=0.0, batch=12)
    batch = Samples(footage(20), recipe).batch(recipe.align)
    lengths = {len(truth) for truth in seen}
    assert min(lengths) >= 5
    assert max(lengths) > 8
    assert batch.window.shape[:2] == (12, 5)
    assert torch.equal(benchmark_lr(batch.truth)[..., 8:-8, 8:-8], batch.window[:, 2, :, 8:-8, 8:-8])
    assert all(len(truth) == 5 for truth in (Samples(footage(5), recipe).batch(3), seen[-1])[1:])  # no more there are


def test_a_blur_that_is_recorded_keeps_its_sharp_truth(monkeypatch):
    """With ``real``, inputs of a deblurring network also have noise and compression, which the truth lacks."""
    samples = Samples(footage(), replace(TINY, task="deblur", degradation="real", ramp=0))
    recorded = samples.batch(1)
    monkeypatch.setattr(data, "simulate_camera", lambda frames, rng, strength: frames.round().byte())
    bare = samples.batch(1)
    assert torch.equal(recorded.truth, bare.truth)
    assert not torch.equal(recorded.window, bare.window)


def test_a_step_always_has_the_same_samples_whoever_makes_them():
    """In order or not, in this process or in workers; another seed has others."""
    samples = Samples(footage(), TINY)
    alone = [samples.batch(step) for step in (2, 3, 4)]
    for workers in (0, 2):
        made = list(batches(samples, 2, 5, workers=workers))
        assert len(made) == 3
        assert all(same(a, b) for a, b in zip(made, alone, strict=True))
    assert not same(alone[0], alone[1])
    assert not same(Samples(footage(), replace(TINY, seed=1)).batch(2), alone[0])


def test_known_motion_is_where_the_pixels_went():
    """Windows sampled at their flow come closer to their middle frames, by far."""
    batch = Samples(footage(), replace(TINY, patch=32, batch=8, known=1.0, ramp=1, speed=1.5)).batch(5)
    window, axis = batch.window.float(), torch.arange(32.0)
    y, x = axis[:, None] + batch.flow[:, :, 0], axis + batch.flow[:, :, 1]
    grid = (torch.stack((x, y), dim=-1) * 2 + 1) / 32 - 1
    warped = torch.nn.functional.grid_sample(
        window.flatten(0, 1), grid.flatten(0, 1), "bicubic", padding_mode="border", align_corners=False
    ).view_as(window)
    before, after = ((w - window[:, 2:3])[..., 6:-6, 6:-6].abs().mean() for w in (window, warped))
    assert after < before / 2


def test_motion_and_degradation_grow_over_the_ramp():
    """Easy samples come first."""
    recipe = replace(TINY, ramp=100, speed=3.0)
    assert recipe.speed_at(0) == pytest.approx(1.0)
    assert recipe.speed_at(100) == recipe.speed_at(1000) == 3.0
    assert recipe.strength_at(0) == pytest.approx(1 / 3)
    assert recipe.strength_at(200) == 1.0


def test_footage_too_small_for_the_patch_is_an_error_that_says_so():
    """Before training begins, not in a worker."""
    with pytest.raises(InputError, match="256 pixels"):
        Samples(footage(), replace(TINY, patch=64))


def test_videos_and_folders_of_frames_are_decoded_once_smaller(tmp_path):
    """A second call reads the cache; changed footage is decoded again."""
    source, cache = tmp_path / "footage", tmp_path / "cache"
    source.mkdir()
    make_clip(source / "a.mp4", width=288, height=272, frames=7)
    told: list[str] = []
    clips = build_cache(sources_in(source), cache, on_clip=told.append)
    assert told == ["a.mp4"]
    assert [clip.source for clip in clips] == ["a.mp4"]
    assert clips[0].frames.shape == (7, 3, 201, 213)
    files = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    again = build_cache(sources_in(source), cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == files
    assert np.array_equal(again[0].frames, clips[0].frames)
    make_clip(source / "a.mp4", width=288, height=272, frames=9)
    assert len(build_cache(sources_in(source), cache)[0].frames) == 9


def test_folders_of_images_are_sources_too(tmp_path):
    """Their frames are the images in order of name."""
    from edvr_cli.video.writing.png_jpeg import png

    folder = tmp_path / "set" / "clip"
    folder.mkdir(parents=True)
    pictures = [torch.full((3, 64, 80), 40 * n, dtype=torch.uint8) for n in range(3)]
    for n, picture in enumerate(pictures):
        (folder / f"{n:03}.png").write_bytes(png(picture))
    assert sources_in(tmp_path / "set") == [folder]
    frames = list(read_frames(folder))
    assert [frame.shape for frame in frames] == [(3, 64, 80)] * 3
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 40, 80]


def test_footage_that_cannot_be_used_is_named(tmp_path):
    """Nothing there, nothing that decodes, nothing large enough."""
    with pytest.raises(InputError, match="neither videos nor"):
        sources_in(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        sources_in(tmp_path / "absent")
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken\.mp4"):
        build_cache(sources_in(tmp_path), tmp_path / "cache")
    (tmp_path / "broken.mp4").unlink()
    make_clip(tmp_path / "small.mp4", width=96, height=64, frames=6)
    with pytest.raises(InputError, match="too small"):
        build_cache(sources_in(tmp_path), tmp_path / "cache")
