"""Measuring one video against another: figures, sizes, times, and the command."""

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.metrics
import torch

from edvr_cli.cli import main
from edvr_cli.errors import EdvrError, InputError
from edvr_cli.image.metrics import luma, psnr, ssim
from edvr_cli.quality.compare import compare
from edvr_cli.quality.footage import Footage, to_size
from edvr_cli.size import Size
from edvr_cli.system import charts as chart
from edvr_cli.train.synthetic_pictures import line_art
from edvr_cli.video.vmaf import vmaf_available
from edvr_cli.video.writing.png_jpeg import png
from tests.support.clips import make_clip
from tests.support.errors import raises

W, H = 64, 48
LOSSY = {"preset": "ultrafast", "qp": "40", "g": "6"}


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def folder_of(path: Path, frames: list[torch.Tensor]) -> Path:
    path.mkdir()
    for n, frame in enumerate(frames):
        (path / f"{n:03}.png").write_bytes(png(frame))
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """A clip ``a``, a bad copy ``b`` and a worse one ``c``."""
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "a.mkv", width=W, height=H, frames=8)
    make_clip(folder / "b.mkv", width=W, height=H, frames=8, options=LOSSY)
    make_clip(folder / "c.mkv", width=W, height=H, frames=8, options=LOSSY | {"qp": "48"})
    return folder


@pytest.mark.parametrize("channels", ["rgb", "y"])
def test_psnr_and_ssim_agree_with_scikit_image(channels):
    """To 1e-4 and better, on drawings with noise."""
    rng = np.random.default_rng(3)
    for _ in range(3):
        truth = torch.from_numpy(line_art(rng, 61))[:, :53]
        noisy = (truth.float() + 12 * torch.from_numpy(rng.standard_normal(truth.shape)).float()).clamp(0, 255).byte()
        x, y = (luma(t[None]) if channels == "y" else t[None].double() for t in (noisy, truth))
        a, b = (t[0].permute(1, 2, 0).numpy() for t in (x, y))
        assert float(psnr(x, y)) == pytest.approx(
            skimage.metrics.peak_signal_noise_ratio(b, a, data_range=255), abs=1e-4
        )
        expected = skimage.metrics.structural_similarity(
            b, a, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2
        )
        assert float(ssim(x, y)) == pytest.approx(expected, abs=1e-4)


def test_every_frame_of_a_video_is_measured(clips):
    """Against figures computed from its decoded pictures."""
    a, b = (Footage.open(clips / name) for name in ("a.mkv", "b.mkv"))
    found = compare(b, a)
    expected = [
        skimage.metrics.peak_signal_noise_ratio(y.rgb.numpy(), x.rgb.numpy(), data_range=255)
        for x, y in zip(a.pictures(), b.pictures(), strict=True)
    ]
    assert found.values("psnr") == pytest.approx(expected, abs=1e-4)
    assert found.unmatched == (0, 0)
    assert found.worst("psnr").psnr == min(expected)
    assert [frame.index for frame in found.frames] == list(range(8))


@pytest.mark.skipif(not vmaf_available(), reason="this platform's FFmpeg binary has no libvmaf")
def test_vmaf_is_high_for_the_same_and_falls_with_quality(clips):
    """One value a frame, also where sides are odd."""
    a, b, c = (Footage.open(clips / f"{name}.mkv") for name in "abc")
    same, good, bad = (compare(image, a).mean("vmaf") for image in (a, b, c))
    assert same > 95
    assert same > good > bad
    odd = compare(b, a, size=Size(51, 37))
    assert len(odd.values("vmaf")) == 8


def test_equal_videos_are_equal(clips):
    """Infinite PSNR, SSIM 1."""
    a = Footage.open(clips / "a.mkv")
    found = compare(a, a, vmaf=False)
    assert found.mean("psnr") == float("inf")
    assert found.mean("ssim") == pytest.approx(1)


def test_sizes_are_brought_together_as_it_is_stated(tmp_path):
    """The larger of both by default, the smaller or a given one on request."""
    truth = [torch.from_numpy(line_art(np.random.default_rng(n), 48)) for n in range(2)]
    large = Footage.open(folder_of(tmp_path / "large", truth))
    small = Footage.open(folder_of(tmp_path / "small", [to_size(t, Size(24, 24)) for t in truth]))
    found = compare(small, large, vmaf=False)
    assert found.size == (48, 48)
    enlarged = to_size(to_size(truth[0], Size(24, 24)), Size(48, 48))
    assert found.frames[0].psnr == pytest.approx(float(psnr(enlarged[None], truth[0][None])))
    assert compare(small, large, size="smaller", vmaf=False).mean("psnr") == float("inf")
    assert compare(small, large, size=Size(36, 30), vmaf=False).size == (36, 30)


def test_other_shapes_are_an_error(clips, tmp_path):
    """Videos of different shapes are not resized unless a size is given."""
    make_clip(tmp_path / "wide.mkv", width=96, height=48, frames=2)
    with raises(InputError, r"64×48.*96×48", hint="size"):
        compare(Footage.open(clips / "a.mkv"), Footage.open(tmp_path / "wide.mkv"))


def test_frames_are_matched_by_time(tmp_path):
    """Half the rate: every second frame has a partner; another start counts from the first frame."""
    make_clip(tmp_path / "full.mkv", width=W, height=H, frames=10, rate=Fraction(50))
    make_clip(tmp_path / "half.mkv", width=W, height=H, frames=5, rate=Fraction(25))
    ticks = {"time_base": Fraction(1, 1000), "rate": Fraction(50)}
    late = [3000 + 20 * n for n in range(10)]
    make_clip(tmp_path / "late.mkv", width=W, height=H, frames=10, pts=late, **ticks)
    full, half, later = (Footage.open(tmp_path / f"{name}.mkv") for name in ("full", "half", "late"))
    found = compare(half, full, vmaf=False)
    assert [frame.index for frame in found.frames] == [0, 2, 4, 6, 8]
    assert found.unmatched == (0, 5)
    assert compare(later, full, vmaf=False).mean("psnr") == float("inf")


def test_a_part_is_compared_from_where_it_begins(clips, tmp_path, capsys):
    """--start counts in the truth."""
    whole = list(Footage.open(clips / "a.mkv").pictures())
    part = Footage.open(clips / "a.mkv", Fraction(3, 25))
    assert torch.equal(next(part.pictures()).rgb, whole[3].rgb)
    assert next(part.pictures()).seconds == pytest.approx(0)
    folder = folder_of(tmp_path / "part", [picture.rgb for picture in whole[3:]])
    assert run("compare", clips / "a.mkv", folder, "--start", "0.12", "--no-vmaf") == 0
    assert "equal" in capsys.readouterr().out


def test_a_dropped_frame_shifts_nothing(tmp_path):
    """A frame that one file lacks has no partner; those after it keep theirs."""
    pictures = [torch.full((3, H, W), 20 * n, dtype=torch.uint8) for n in range(6)]

    def write(name: str, kept: list[int]) -> Footage:
        with av.open(str(tmp_path / name), "w") as output:
            stream = output.add_stream("ffv1", 25)
            stream.width, stream.height, stream.pix_fmt = W, H, "bgr0"
            stream.codec_context.time_base = Fraction(1, 1000)
            for n in kept:
                frame = av.VideoFrame.from_ndarray(pictures[n].permute(1, 2, 0).contiguous().numpy(), format="rgb24")
                frame.pts, frame.time_base = 40 * n, Fraction(1, 1000)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return Footage.open(tmp_path / name)

    found = compare(write("gap.mkv", [0, 1, 3, 4, 5]), write("all.mkv", list(range(6))), vmaf=False)
    assert [frame.index for frame in found.frames] == [0, 1, 3, 4, 5]
    assert found.mean("psnr") == float("inf")


def test_pictures_are_upright(tmp_path):
    """A clip that is turned for display equals its turned pictures."""
    make_clip(tmp_path / "turned.mp4", width=W, height=H, frames=2, rotation=(90.0, False, False))
    make_clip(tmp_path / "plain.mp4", width=W, height=H, frames=2)
    turned, plain = (Footage.open(tmp_path / f"{name}.mp4") for name in ("turned", "plain"))
    assert turned.size == (H, W)
    a, b = next(turned.pictures()).rgb, next(plain.pictures()).rgb
    assert torch.equal(a, torch.rot90(b, turned.info.rotation // 90, (1, 2)))
    assert a.shape == (3, W, H)


def test_the_command_prints_a_table_or_json_or_csv(clips, capsys):
    """Results to standard output; both A and B against --ref."""
    assert run("compare", clips / "b.mkv", clips / "c.mkv", "--ref", clips / "a.mkv", "--frames", 3) == 0
    table = capsys.readouterr().out
    assert table.index("b.mkv against a.mkv: 3 frames at 64×48") < table.index("c.mkv against a.mkv")
    assert "SSIM Y" in table
    assert run("compare", clips / "a.mkv", clips / "b.mkv", "--json", "--no-vmaf", "--frames", 2) == 0
    found = json.loads(capsys.readouterr().out)
    (comparison,) = found["comparisons"]
    assert found["size"] == [64, 48]
    assert comparison["matched"] == len(comparison["frames"]) == 2
    assert comparison["mean"]["vmaf"] is None
    assert run("compare", clips / "a.mkv", clips / "b.mkv", "--csv", "--no-vmaf", "--frames", 2) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["frame"] for row in rows] == ["0", "1"]
    assert float(rows[0]["psnr"]) == pytest.approx(comparison["frames"][0]["psnr"], abs=1e-5)


def test_the_command_fails_below_min_psnr(clips, capsys):
    """After it has printed what it found."""
    arguments = ("compare", clips / "a.mkv", clips / "b.mkv", "--no-vmaf", "--frames", 2, "--min-psnr")
    assert run(*arguments, 10) == 0
    assert run(*arguments, 90) == 1
    printed = capsys.readouterr()
    assert "PSNR RGB" in printed.out
    assert "less than --min-psnr 90" in printed.err


def test_the_plot_and_the_pictures_are_written_once(clips, tmp_path, capsys):
    """And not over existing files."""
    arguments = ("compare", clips / "a.mkv", clips / "b.mkv", "--frames", 3, "--no-vmaf")
    arguments += ("--plot", tmp_path / "p.png", "--pictures", tmp_path / "pictures")
    assert run(*arguments) == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert Footage.open(tmp_path / "pictures").size == (2 * W, H)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["best.png", "worst.png"]
    assert run(*arguments) == 2
    assert "p.png exists" in capsys.readouterr().err


def test_a_chart_without_matplotlib_names_the_extra(tmp_path, monkeypatch):
    """Nothing is drawn, nothing is left."""
    monkeypatch.setattr(chart, "find_spec", lambda name: None)
    with pytest.raises(EdvrError, match=r"pip install 'edvr-cli\[plot\]'"):
        chart.write_chart(tmp_path / "c.png", [], across="x")
    monkeypatch.undo()
    with pytest.raises(EdvrError, match=r"\.png, \.svg or \.pdf"):
        chart.write_chart(tmp_path / "c.mp4", [chart.Panel("nothing", {})], across="x")


def test_what_cannot_be_compared_is_said(clips, tmp_path, capsys):
    """A missing file, an empty folder, a size that is none."""
    assert run("compare", clips / "a.mkv", tmp_path / "none.mkv") == 2
    assert "none.mkv" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run("compare", clips / "a.mkv", tmp_path / "empty") == 1
    assert str(tmp_path / "empty") in capsys.readouterr().err
    assert run("compare", clips / "a.mkv", clips / "b.mkv", "--size", "big") == 2
