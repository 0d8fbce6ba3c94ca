"""PSNR and SSIM against their definitions, computed the slow way, and the published bicubic figures."""

import math
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from edvr_cli.image.metrics import luma, psnr, ssim
from edvr_cli.image.resize import resize

VID4 = Path("/work/shared/data/vid4")


def test_psnr_is_ten_log_peak_squared_over_error():
    """One step of difference everywhere is 48.13 dB; halving all error squares adds 3.01 dB."""
    a = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)
    b = a.clone()
    b[0] += 1
    b[1, :, :4] += 1
    assert psnr(b, a).tolist() == pytest.approx([48.1308, 51.1411], abs=1e-4)


def test_psnr_of_equal_images_is_infinite():
    """And not an error."""
    a = torch.rand(1, 3, 8, 8) * 255
    assert psnr(a, a).tolist() == [math.inf]


def test_luma_has_matlabs_range_and_weights():
    """Black is 16, white 235, pure green 16 + 128.553."""
    colors = torch.tensor([[0, 0, 0], [255, 255, 255], [0, 255, 0]]).view(3, 3, 1, 1)
    assert luma(colors).flatten().tolist() == pytest.approx([16, 235, 144.553])


def test_ssim_equals_the_definition_computed_window_by_window():
    """Gaussian-weighted means, variances and covariance of each 11×11 window, in plain numpy loops."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(0, 256, (1, 1, 14, 13), generator=generator)
    b = (a + torch.randint(-40, 40, a.shape, generator=generator)).clamp(0, 255)
    x, y = a[0, 0].double().numpy(), b[0, 0].double().numpy()
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    scores = []
    for i in range(4):
        for j in range(3):
            p, q = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            c1, c2 = 2.55**2, 7.65**2
            scores.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    assert ssim(a, b).item() == pytest.approx(np.mean(scores), abs=1e-9)


def test_ssim_is_one_for_equal_images_and_symmetric():
    """Two properties of the definition."""
    a, b = torch.rand(2, 3, 3, 20, 24) * 255
    assert torch.allclose(ssim(a, a), torch.ones(3, dtype=torch.float64))
    assert torch.allclose(ssim(a, b), ssim(b, a))


def test_a_batch_gives_what_its_images_give_alone():
    """No image sees another."""
    a, b = torch.rand(2, 3, 3, 20, 24) * 255
    for metric in (psnr, ssim):
        alone = torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(3)])
        assert torch.allclose(metric(a, b), alone, atol=1e-12)


def test_wrong_shapes_raise_with_what_they_were():
    """Shapes that differ, too few axes, too small for the window, not three channels."""
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 9\)"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
    with pytest.raises(ValueError, match=r"\(3, 16, 16\)"):
        ssim(torch.zeros(3, 16, 16), torch.zeros(3, 16, 16))
    with pytest.raises(ValueError, match="11×11"):
        ssim(torch.zeros(1, 3, 16, 10), torch.zeros(1, 3, 16, 10))
    with pytest.raises(ValueError, match=r"\(1, 1, 8, 8\)"):
        luma(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(("clip", "published"), [("calendar", 20.39), ("walk", 26.10)])
@pytest.mark.skipif(not VID4.is_dir(), reason="the Vid4 clips are not on this machine")
def test_bicubic_reaches_its_published_psnr_on_vid4(clip: str, published: float):
    """The tables' first row, 20.39 and 26.10: 8-bit, luma, no border crop. Every fifth frame stands for all here."""
    scores = []
    with av.open(str(VID4 / "GT" / f"{clip}.mkv")) as gt, av.open(str(VID4 / "BIx4" / f"{clip}.mkv")) as lr:
        pairs = zip(gt.decode(video=0), lr.decode(video=0), strict=True)
        for high, low in islice(pairs, 0, None, 5):
            truth, small = (torch.from_numpy(f.to_ndarray(format="rgb24")).permute(2, 0, 1)[None] for f in (high, low))
            image = resize(small.float(), tuple(truth.shape[-2:])).round().clamp(0, 255)
            scores.append(psnr(luma(image), luma(truth)).item())
    assert np.mean(scores) == pytest.approx(published, abs=0.02)
