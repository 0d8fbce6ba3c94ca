"""Resampling against hand-computed values, the benchmarks' own small frames, and first principles."""

from pathlib import Path

import av
import pytest
import torch
from torch import Tensor

from edvr_cli.image.resize import benchmark_lr, resize

DATA = Path("/work/shared/data")


def frames(path: Path) -> list[Tensor]:
    with av.open(str(path)) as container:
        return [
            torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1) for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("clip", ["calendar", "walk"])
@pytest.mark.skipif(not (DATA / "vid4").is_dir(), reason="the Vid4 clips are not on this machine")
def test_every_vid4_low_resolution_frame_is_reproduced_exactly(clip: str):
    """Bicubic ×1/4, rounded once, is how the published inputs were made."""
    truth, low = frames(DATA / "vid4/GT" / f"{clip}.mkv"), frames(DATA / "vid4/BIx4" / f"{clip}.mkv")
    assert len(truth) == len(low) > 40
    for index, (a, b) in enumerate(zip(truth, low, strict=True)):
        assert torch.equal(benchmark_lr(a), b), f"frame {index}"


@pytest.mark.skipif(not (DATA / "reds").is_dir(), reason="the REDS clip is not on this machine")
def test_every_reds_low_resolution_frame_is_reproduced_exactly():
    """REDS was rounded to 8 bits after the vertical pass as well."""
    for path in sorted((DATA / "reds/GT/000").glob("*.png")):
        truth, low = frames(path)[0], frames(DATA / "reds/BIx4/000" / path.name)[0]
        assert torch.equal(benchmark_lr(truth, round_between=True), low), path.name


def test_halving_an_impulse_gives_the_widened_bicubic_kernel():
    """By hand: k(x / 2) / 2 at the distances ±0.5, ±1.5, ±2.5 and ±3.5 from an output's center."""
    x = torch.zeros(1, 16, dtype=torch.float64)
    x[0, 8] = 128
    # k(0.25) = 0.8671875, k(0.75) = 0.2265625, k(1.25) = −0.0703125, k(1.75) = −0.0234375
    expected = torch.tensor([0, 0, -1.5, 14.5, 55.5, -4.5, 0, 0]).double()
    assert torch.equal(resize(x, (1, 8)), expected.view(1, 8))


def test_enlarging_by_two_gives_the_bicubic_weights_at_quarter_pixels():
    """By hand: k(0.25), k(0.75), k(1.25), k(1.75) around an impulse; the kernel is not widened."""
    x = torch.zeros(8, 1, dtype=torch.float64)
    x[4, 0] = 128
    taps = [-3.0, -9.0, 29.0, 111.0, 111.0, 29.0, -9.0, -3.0]
    assert torch.equal(resize(x, (16, 1))[5:13, 0], torch.tensor(taps).double())


def test_edges_are_mirrored():
    """A signal mirrored by hand, resized and cut is the signal resized."""
    x = torch.rand(3, 12, 20, dtype=torch.float64)
    wide = torch.cat((x.flip(-1), x, x.flip(-1)), dim=-1)
    for kernel in ("bicubic", "lanczos", "area"):
        assert torch.allclose(resize(x, (12, 10), kernel), resize(wide, (12, 30), kernel)[..., 10:20], atol=1e-12)


def test_area_is_the_mean_where_the_ratio_is_whole_and_the_overlap_elsewhere():
    """3 → 2 pixels: each output covers one and a half inputs."""
    x = torch.rand(2, 12, 9)
    assert torch.allclose(resize(x, (4, 3), "area"), torch.nn.functional.avg_pool2d(x, 3), atol=1e-6)
    line = torch.tensor([[3.0, 6.0, 12.0]])
    assert torch.allclose(resize(line, (1, 2), "area"), torch.tensor([[4.0, 10.0]]))
    assert torch.allclose(resize(line, (1, 6), "area"), line.repeat_interleave(2, dim=1))


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos", "area"])
@pytest.mark.parametrize("size", [(7, 5), (30, 300), (1, 1), (13, 21)])
def test_constants_stay_constant_and_the_axes_are_independent(kernel, size):
    """Weights sum to one at every position, and a transposed image gives the transposed result."""
    assert torch.allclose(resize(torch.full((2, 13, 21), 0.3), size, kernel), torch.tensor(0.3))
    x = torch.rand(13, 21, dtype=torch.float64)
    assert torch.allclose(resize(x, size, kernel), resize(x.T, size[::-1], kernel).T, atol=1e-12)


def test_without_antialiasing_the_kernel_is_not_widened():
    """×1/4 then reads four pixels around each center: an impulse elsewhere is not seen."""
    x = torch.zeros(1, 32)
    x[0, 3] = 1
    assert resize(x, (1, 8), antialias=False)[0].count_nonzero() == 1
    assert resize(x, (1, 8))[0].count_nonzero() > 2


def test_half_precision_is_computed_in_float32():
    """Only the result is rounded to bfloat16."""
    x = torch.rand(3, 40, 40).bfloat16()
    y = resize(x, (17, 23))
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, resize(x.float(), (17, 23)).bfloat16())


def test_gradients_flow_through():
    """Degradations of a training sample may be learned through."""
    x = torch.rand(1, 6, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: resize(t, (4, 11), "lanczos"), x)


def test_bad_arguments_raise_with_what_they_were():
    """Shape, dtype, size and kernel are checked at the boundary."""
    with pytest.raises(ValueError, match=r"\(4,\)"):
        resize(torch.rand(4), (2, 2))
    with pytest.raises(ValueError, match="uint8"):
        resize(torch.zeros(4, 4, dtype=torch.uint8), (2, 2))
    with pytest.raises(ValueError, match=r"\(0, 2\)"):
        resize(torch.rand(4, 4), (0, 2))
    with pytest.raises(ValueError, match="'box'"):
        resize(torch.rand(4, 4), (2, 2), "box")
    with pytest.raises(ValueError, match=r"\(3, 10, 8\)"):
        benchmark_lr(torch.zeros(3, 10, 8, dtype=torch.uint8))
