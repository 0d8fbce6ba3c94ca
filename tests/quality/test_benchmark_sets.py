"""The published protocols: what is measured on what, and the command that prints it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edvr_cli.cli import main
from edvr_cli.errors import InputError
from edvr_cli.image.metrics import luma, psnr, ssim
from edvr_cli.image.resize import benchmark_lr, resize
from edvr_cli.models.checkpoint import save_model
from edvr_cli.network.model import Model
from edvr_cli.quality.benchmark_sets import EvaluationOptions, evaluate, mean_score
from edvr_cli.train.synthetic_pictures import line_art
from edvr_cli.video.vmaf import vmaf_available
from edvr_cli.video.writing.png_jpeg import png
from tests.support.networks import random_network


def make_set(folder: Path, frames: list[torch.Tensor], names: tuple[str, ...] = ("clip",)) -> Path:
    """A folder of clips, each a folder of the same images."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for n, frame in enumerate(frames):
            (folder / name / f"{n:03}.png").write_bytes(png(frame))
    return folder


@pytest.fixture
def frames() -> list[torch.Tensor]:
    """Six frames of a drawing that slides by."""
    still = torch.from_numpy(line_art(np.random.default_rng(2), 80))
    return [still[:, :64, 2 * n : 2 * n + 48].contiguous() for n in range(6)]


def test_bicubic_is_scored_frame_by_frame_on_eight_bit_values(tmp_path, frames):
    """Equal to the protocol written out: exact inputs, rounding, means over frames."""
    (score,) = evaluate(make_set(tmp_path, frames), None, "bicubic")
    expected = []
    for frame in frames:
        output = resize(benchmark_lr(frame).float(), (64, 48)).round().clamp(0, 255)[None]
        pairs = (output, frame[None]), (luma(output), luma(frame[None]))
        expected.append([float(metric(*pair)) for pair in pairs for metric in (psnr, ssim)])
    assert (score.clip, score.frames) == ("clip", 6)
    assert [score.psnr, score.ssim, score.psnr_y, score.ssim_y] == pytest.approx(np.mean(expected, axis=0).tolist())


def test_given_inputs_are_used_and_must_match(tmp_path, frames):
    """Clips are paired by name; one that is missing is named."""
    truth = make_set(tmp_path / "truth", frames, ("a", "b"))
    low = make_set(tmp_path / "low", [benchmark_lr(frame) for frame in frames], ("a", "b"))
    assert list(evaluate(truth, low, "lanczos")) == list(evaluate(truth, None, "lanczos"))
    partial = make_set(tmp_path / "partial", [benchmark_lr(frame) for frame in frames], ("a",))
    with pytest.raises(InputError, match="has no b"):
        list(evaluate(truth, partial, "lanczos"))


def test_inputs_are_rounded_once_or_twice(tmp_path, frames):
    """Vid4's way and REDS's give other inputs, so other scores."""
    truth = make_set(tmp_path, frames)
    once, twice = (
        next(evaluate(truth, None, "bicubic", EvaluationOptions(rounding=r))).psnr for r in ("once", "twice")
    )
    assert once != twice
    assert once == pytest.approx(twice, abs=0.1)


def test_compressed_inputs_score_worse(tmp_path, frames):
    """The clip goes through the codec at input size."""
    truth = make_set(tmp_path, frames)
    (clean,), (squeezed,) = (
        list(evaluate(truth, None, "bicubic", EvaluationOptions(compression=c))) for c in (None, ("h264", 40))
    )
    assert squeezed.psnr < clean.psnr


def test_a_network_sees_the_window_or_copies_of_its_reference(tmp_path, frames):
    """On a clip that stands still both are the same; on one that moves they differ."""
    model = Model.of(random_network())
    for folder, clip, equal in (("still", frames[:1] * 3, True), ("moving", frames, False)):
        truth = make_set(tmp_path / folder, clip)
        (window,), (copies,) = (list(evaluate(truth, None, model, EvaluationOptions(copies=c))) for c in (False, True))
        assert window.frames == copies.frames == len(clip)
        assert (window.psnr == pytest.approx(copies.psnr, abs=1e-6)) is equal


def test_turned_copies_count_where_asked_for(tmp_path, frames):
    """As the engine averages them."""
    truth, model = make_set(tmp_path / "truth", frames), Model.of(random_network())
    plain, mean = (next(iter(evaluate(truth, None, model, EvaluationOptions(tta=turns)))) for turns in (1, 4))
    assert mean.psnr_y != plain.psnr_y


def test_flicker_is_zero_for_a_constant_error_and_counts_what_changes(tmp_path, frames):
    """The same wrong picture over a still truth does not flicker."""
    still = make_set(tmp_path / "still", frames[:1] * 3)
    moving = make_set(tmp_path / "moving", frames)
    assert next(evaluate(still, None, "bicubic")).flicker == 0
    assert next(evaluate(moving, None, "bicubic")).flicker > 0


def test_means_are_over_clips():
    """Not over frames: a short clip weighs as much as a long one."""
    from edvr_cli.quality.benchmark_sets import ClipScore

    scores = [ClipScore("a", 10, 20, 0.5, 22, 0.6, 1), ClipScore("b", 2, 30, 0.7, 32, 0.8, 3)]
    assert mean_score(scores) == ClipScore("mean", 12, 25, pytest.approx(0.6), 27, pytest.approx(0.7), 2)


def test_sides_that_the_scale_does_not_divide_are_an_error(tmp_path, frames):
    """No silent crop."""
    truth = make_set(tmp_path, [frame[:, :62].contiguous() for frame in frames])
    with pytest.raises(InputError, match="48×62"):
        list(evaluate(truth, None, "bicubic"))


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def test_the_command_prints_a_table_or_json(tmp_path, frames, capsys):
    """Scores to standard output, progress to standard error."""
    truth = make_set(tmp_path / "truth", frames, ("a", "b"))
    assert run("eval", truth, "--model", "bicubic", "--json") == 0
    printed = capsys.readouterr()
    scores = json.loads(printed.out)
    assert [score["clip"] for score in scores] == ["a", "b", "mean"]
    assert scores[2]["psnr_y"] == pytest.approx(scores[0]["psnr_y"])
    assert "a: " in printed.err
    save_model(random_network(), tmp_path / "m.safetensors")
    assert run("eval", truth, "--model", tmp_path / "m.safetensors", "--frames", 2, "--device", "cpu") == 0
    assert "PSNR Y" in capsys.readouterr().out


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    """An empty set is 1, a bad option 2."""
    assert run("eval", tmp_path, "--model", "bicubic") == 1
    assert "neither videos nor" in capsys.readouterr().err
    assert run("eval", tmp_path, "--model", "bicubic", "--compress", "h264") == 2
    assert "h264:23" in capsys.readouterr().err


def test_vmaf_is_measured_where_asked_for(tmp_path, frames):
    """FFmpeg's figure, the mean over the frames; the truth itself scores near 100."""
    if not vmaf_available():
        pytest.skip("this FFmpeg has no libvmaf")
    truth = make_set(tmp_path, frames)
    (blurred,) = evaluate(truth, None, "bicubic", EvaluationOptions(vmaf=True))
    (same,) = evaluate(truth, truth, "bicubic", EvaluationOptions(vmaf=True))
    assert blurred.vmaf < same.vmaf
    assert same.vmaf > 95
    assert mean_score([blurred, same]).vmaf == pytest.approx((blurred.vmaf + same.vmaf) / 2)
