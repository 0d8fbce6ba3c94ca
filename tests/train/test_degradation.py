"""What becomes of true frames: the exact downscale, the real chain, codecs, known motion and motion blur."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edvr_cli.image.resize import benchmark_lr
from edvr_cli.train.degradation import Degradation, clean, compress, real, simulate_camera
from edvr_cli.train.motion_paths import Path, random_path
from edvr_cli.train.synthetic_motion import Scene
from edvr_cli.train.synthetic_pictures import line_art
from edvr_cli.video.quality_scales import CODECS
from edvr_cli.video.recompress import recompress


def picture(side: int = 160, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(line_art(np.random.default_rng(seed), side))


def moving(frames: int = 5, side: int = 128) -> torch.Tensor:
    """A window of a still that moves by three pixels a frame: (T, 3, side, side) uint8."""
    still = picture(side + 16)
    return torch.stack([still[:, 8:-8, 3 * t : side + 3 * t] for t in range(frames)])


def test_the_clean_recipe_is_the_benchmarks_downscale():
    """To the last bit; the benchmarks' own frames are held against it in test_resample."""
    truth = moving()
    assert torch.equal(clean(truth), benchmark_lr(truth))


def test_the_real_chain_is_decided_by_its_generator():
    """The same seed gives the same frames, another seed others."""
    truth = moving()
    first, again, other = (real(truth, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (5, 3, 32, 32)
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_blur_and_scaling_are_those_of_one_camera():
    """Equal true frames stay equal where neither noise nor a codec tells them apart."""
    still = picture(64).expand(5, -1, -1, -1).contiguous()
    chain = Degradation(blur_chance=1, noise_chance=0, compression_chance=0, copy_chance=0)
    for seed in range(6):
        small = real(still, np.random.default_rng(seed), chain=chain)
        assert all(torch.equal(small[0], frame) for frame in small[1:])


def test_noise_is_new_in_each_frame():
    """And about as strong as asked for."""
    still = torch.full((5, 3, 128, 128), 128, dtype=torch.uint8)
    chain = Degradation(blur_chance=0, noise_chance=1, noise_sigma=8, compression_chance=0, copy_chance=0)
    small = real(still, np.random.default_rng(3), chain=chain).float()
    assert 0 < small.std() < 8
    assert (small[0] - small[1]).abs().mean() > 0.1


def test_strength_makes_it_worse():
    """On average, from a bare downscale at 0 to all of the chain at 1."""
    truth = moving()
    reference = clean(truth).float()

    def damage(strength: float) -> float:
        results = [real(truth, np.random.default_rng(seed), strength=strength).float() for seed in range(12)]
        return float(torch.stack([(r - reference).abs().mean() for r in results]).mean())

    none, half, full = damage(0), damage(0.5), damage(1)
    assert none < half < full


ALONE = Degradation(
    blur_chance=0, noise_chance=0, compression_chance=0, copy_chance=0, halo_chance=0, interlace_chance=0
)


def test_an_earlier_copy_leaves_its_artifacts_and_the_size():
    """Compressed at another size: worse than a bare downscale, as large as that."""
    truth = moving()
    bare = real(truth, np.random.default_rng(1), chain=ALONE)
    copied = real(truth, np.random.default_rng(1), chain=replace(ALONE, copy_chance=1))
    assert copied.shape == bare.shape
    assert 0.5 < (copied.float() - bare.float()).abs().mean() < 40


def test_sharpening_overshoots_at_edges_and_nowhere_else():
    """A step from 80 to 160 overshoots on both sides."""
    step = torch.full((5, 3, 128, 128), 80, dtype=torch.uint8)
    step[..., 64:] = 160
    bare = real(step, np.random.default_rng(4), chain=ALONE).float()
    halo = real(step, np.random.default_rng(4), chain=replace(ALONE, halo_chance=1)).float()
    assert halo.min() < bare.min() - 1
    assert halo.max() > bare.max() + 1
    assert torch.equal(halo[..., :8], bare[..., :8])


def test_fields_of_moving_pictures_are_combed_and_still_ones_are_not():
    """Odd rows carry something of the next frame; the last frame has none."""
    chain = replace(ALONE, interlace_chance=1)
    truth = moving()
    bare, combed = (real(truth, np.random.default_rng(2), chain=c).float() for c in (ALONE, chain))
    difference = (combed - bare).abs().mean(dim=(1, 3))  # (T, rows)
    assert difference[:-1, 1::2].mean() > 0.5
    assert difference[:, ::2].max() == 0
    assert difference[-1].max() == 0
    still = truth[:1].expand(5, -1, -1, -1).contiguous()
    assert torch.equal(*(real(still, np.random.default_rng(2), chain=c) for c in (ALONE, chain)))


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_keeps_shape_and_content_and_worse_quality_is_worse(codec):
    """Every codec, on odd and small sizes too, and the same input always gives the same output."""
    frames = moving()[:, :, :45, :61]
    good, bad = (recompress(frames, codec, quality) for quality in ((15, 45) if codec != "mpeg4" else (2, 25)))
    assert good.shape == frames.shape
    errors = [(out.float() - frames.float()).abs().mean() for out in (good, bad)]
    assert errors[0] < errors[1] < 40
    assert torch.equal(bad, recompress(frames, codec, 45 if codec != "mpeg4" else 25))


def test_artefacts_are_temporal():
    """Frames of one group of pictures lean on each other: alone, the third is another picture."""
    frames = moving()
    assert not torch.equal(recompress(frames, "h264", 35)[2], recompress(frames[2:3], "h264", 35)[0])


def test_random_compression_takes_only_the_codecs_it_is_given():
    """Left out is left out."""
    frames = moving(3, 64)
    alone = compress(frames, np.random.default_rng(5), codecs=("mpeg4",))
    rng = np.random.default_rng(5)
    rng.integers(1)
    assert torch.equal(alone, recompress(frames, "mpeg4", round(2 + 10 * rng.random())))


def test_a_recording_keeps_its_size_and_is_as_bad_as_its_strength():
    """A deblurring network's input: nothing at 0, then noise and compression at their chances."""
    frames = moving(side=64)
    assert torch.equal(simulate_camera(frames, np.random.default_rng(0), strength=0), frames)
    noisy = simulate_camera(frames, np.random.default_rng(1), chain=Degradation(noise_chance=1, compression_chance=0))
    assert noisy.shape == frames.shape
    assert 0 < (noisy.float() - frames.float()).abs().mean() < 8
    chain = Degradation(noise_chance=0, compression_chance=1, codecs=("mpeg4",))
    rng = np.random.default_rng(2)
    rng.random(2)  # the two chances
    assert torch.equal(
        simulate_camera(frames, np.random.default_rng(2), chain=chain), compress(frames, rng, codecs=("mpeg4",))
    )


def test_bad_arguments_raise_with_what_they_were():
    """At the boundary, with shape, strength or quality."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"\(5, 3, 30, 32\)"):
        real(torch.zeros(5, 3, 30, 32, dtype=torch.uint8), rng)
    with pytest.raises(ValueError, match="strength"):
        real(torch.zeros(5, 3, 32, 32, dtype=torch.uint8), rng, strength=2)
    with pytest.raises(ValueError, match="'av2'"):
        recompress(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "av2", 20)
    with pytest.raises(ValueError, match="99"):
        recompress(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "h264", 99)
    with pytest.raises(ValueError, match="float32"):
        recompress(torch.zeros(1, 3, 32, 32), "h264", 20)


def test_flow_says_where_the_pixels_of_the_reference_are():
    """By hand: a camera that moves the layer's point by (+3, −2) moves the picture's content the other way."""
    scene = Scene(picture().float() / 255, Path(velocity=(3.0, -2.0)))
    times = torch.tensor([-1.0, 0.0, 2.0])
    flow = scene.flow(times, 64)
    assert torch.allclose(flow[0], torch.tensor([-2.0, 3.0]).view(2, 1, 1).expand(2, 64, 64), atol=1e-4)
    assert torch.allclose(flow[2], torch.tensor([4.0, -6.0]).view(2, 1, 1).expand(2, 64, 64), atol=1e-4)
    frames = scene.render(times, 64)
    assert torch.allclose(frames[1], scene.background[:, 48:-48, 48:-48], atol=1e-5)
    # dy = 4, dx = −6 at time 2: frame 2 at (y + 4, x − 6) is the reference at (y, x).
    assert torch.allclose(frames[2][:, 24:44, 14:34], frames[1][:, 20:40, 20:40], atol=1e-4)


def test_flow_aligns_turning_and_zooming_scenes_with_an_object_in_front():
    """Sampling a frame at the flow gives the reference again, save where something is covered."""
    rng = np.random.default_rng(0)
    side = torch.linspace(-1, 1, 224)
    mask = (0.35 - torch.hypot(side[:, None], side[None])).mul(200).clamp(0, 1)[None]
    smooth = [torch.nn.functional.avg_pool2d(picture(224, seed).float()[None] / 255, 5, 1, 2)[0] for seed in (1, 2)]
    scene = Scene(smooth[0], random_path(rng, 4), smooth[1], mask, random_path(rng, 4))
    times = torch.tensor([-2.0, 0.0, 1.0])
    frames, flow = scene.render(times, 128), scene.flow(times, 128)
    axis = torch.arange(128.0)
    for n in (0, 2):
        y, x = axis[:, None] + flow[n, 0], axis[None] + flow[n, 1]
        grid = torch.stack((2 * x + 1, 2 * y + 1), dim=-1) / 128 - 1
        warped = torch.nn.functional.grid_sample(frames[n : n + 1], grid[None], align_corners=False)[0]
        inner = (slice(None), slice(12, -12), slice(12, -12))
        before = (frames[n] - frames[1]).abs()[inner].median(dim=0).values.mean()
        after = (warped - frames[1]).abs()[inner].median(dim=0).values.mean()
        assert after < before / 3


def test_motion_blur_is_a_mean_in_linear_light_around_the_truth():
    """Nothing moves: nothing changes. A bright bar that moves is smeared to both sides alike, its light kept."""
    still = picture().float() / 255
    assert torch.allclose(
        Scene(still, Path()).expose(torch.zeros(1), 64, shutter=1, positions=9)[0], still[:, 48:-48, 48:-48], atol=1e-3
    )
    line = torch.zeros(3, 160, 160)
    line[:, :, 68:92] = 1
    scene = Scene(line, Path(velocity=(8.0, 0.0)))
    sharp, blurred = scene.render(torch.zeros(1), 64)[0], scene.expose(torch.zeros(1), 64, shutter=1, positions=33)[0]
    light = blurred.pow(2.2)
    assert torch.allclose(light, light.flip(-1), atol=1e-3)
    assert light.sum() == pytest.approx(float(sharp.pow(2.2).sum()), rel=0.02)
    # Each edge has become a ramp of eight pixels.
    assert ((light[0, 32] > 0.02) & (light[0, 32] < 0.98)).sum() in range(14, 19)


def test_a_slow_blur_is_made_of_fewer_instants_and_looks_the_same():
    """Instants a pixel apart give the picture that many more give, and a still one is rendered as it is."""
    still = picture().float() / 255
    scene = Scene(still, Path(velocity=(3.0, -2.0)))
    many, few = (scene.expose(torch.zeros(1), 64, shutter=1, positions=33, spacing=s)[0] for s in (0.0, 1.0))
    assert 0 < (many - few).abs().mean() < 1 / 255
    once = Scene(still, Path()).expose(torch.zeros(1), 64, shutter=1, positions=33, spacing=1.0)[0]
    assert torch.allclose(once, still[:, 48:-48, 48:-48], atol=1e-3)
