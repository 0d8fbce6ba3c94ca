"""Training with the footage on the device: what is cut fits together, steps are Muon's, phases end with weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edvr_cli.errors import InputError
from edvr_cli.image.resize import resize
from edvr_cli.models.checkpoint import load_model, save_model
from edvr_cli.network.edvr import EDVR, EDVRConfig
from edvr_cli.train.clips import Clip
from edvr_cli.train.degradation import clean, real
from edvr_cli.train.device import blurred_footage, trainer
from edvr_cli.train.device import footage as device_footage
from edvr_cli.train.device.blurred_footage import blur_tiles
from edvr_cli.train.device.leak import leak
from edvr_cli.train.device.objective import restore_singles
from edvr_cli.train.device.optimizer import StackedOptimizer
from edvr_cli.train.device.phase import Phase
from edvr_cli.train.device.phases import run_phases
from edvr_cli.train.device.pool import Pool, Shot, make_pool
from edvr_cli.train.device.sampler import Sampler
from edvr_cli.train.device.stills import move_stills, read_stills
from edvr_cli.train.device.validation import validate
from edvr_cli.train.objective import relative_loss
from edvr_cli.train.synthetic_pictures import line_art

SHIFT = 4  # truth pixels per frame that the test footage moves to the left: one input pixel


def footage(frames: int = 6, shots: int = 2) -> torch.Tensor:
    """Smooth noise moving one input pixel per frame: (shots · frames, 3, 96, 128) uint8."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(shots):
        coarse = torch.rand(1, 3, 14, 22, generator=generator) * 90 + 80
        wide = torch.nn.functional.interpolate(coarse, (96, 128 + SHIFT * frames), mode="bicubic")[0]
        found += [wide[..., SHIFT * n : SHIFT * n + 128] for n in range(frames)]
    return torch.stack(found).round().clamp(0, 255).byte()


@pytest.fixture(scope="module")
def pool() -> Pool:
    frames = footage()
    degraded = torch.full((1, len(frames), 3, 24, 32), 7, dtype=torch.uint8)
    # Each frame's content lies one pixel further left in the next one.
    calls = []

    def flow(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        calls.append(len(a))
        distance = (-2, -1, 1, 2)[len(calls) - 1]
        return torch.tensor([-1.0 * distance, 0.0]).view(1, 2, 1, 1).expand(len(a), 2, 24, 32)

    return make_pool(
        frames, degraded, [Shot(0, 6), Shot(6, 6)], torch.device("cpu"), flow=flow,
        teacher=lambda clip: torch.full((*clip.shape[:2], 3, 96, 128), 0.2),
    )  # fmt: skip


def sampler(pool: Pool, **options: object) -> Sampler:
    return Sampler(pool, torch.Generator().manual_seed(3), batch=16, patch=16, **options)  # type: ignore[arg-type]


def test_the_truth_lies_where_the_middle_frame_does(pool: Pool):
    """However a sample is mirrored and turned."""
    batch = sampler(pool).draw()
    small = resize(batch.truth, (16, 16))
    assert (small - batch.window[:, 2])[..., 3:-3, 3:-3].abs().max() < 1.01 / 255


def test_the_motion_turns_with_the_frames(pool: Pool):
    """Moving each neighbor by its motion gives the middle frame."""
    batch = sampler(pool).draw()
    assert batch.flow is not None
    flow = batch.flow.nan_to_num()
    row, column = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    checked = 0
    for b in range(16):
        for t in range(5):
            dy, dx = flow[b, t, :, 0, 0].round().long().tolist()
            if t == 2 or not batch.flow[b, t].isfinite().all():
                continue
            y, x = row + dy, column + dx
            inside = (y >= 0) & (y < 16) & (x >= 0) & (x < 16)
            moved = batch.window[b, t][:, y.clamp(0, 15), x.clamp(0, 15)]
            assert (moved - batch.window[b, 2]).abs()[:, inside].max() < 1.5 / 255
            checked += 1
    assert checked > 20


def test_compressed_samples_have_their_share(pool: Pool):
    assert not sampler(pool).draw().degraded.any()
    batch = sampler(pool, degraded=1.0, taught=True).draw()
    assert batch.degraded.all()
    assert (batch.window == 7 / 255).all()
    assert batch.taught is not None
    assert (batch.taught == 51 / 255).all()


def test_windows_stay_within_their_shot(pool: Pool):
    """The last frame of one shot never meets the first of the next."""
    drawn = sampler(pool)
    for _ in range(8):
        batch = drawn.draw()
        change = (batch.window[:, 1:] - batch.window[:, :-1]).abs().amax(dim=(1, 2, 3, 4))
        assert change.max() < 0.6


@pytest.mark.parametrize("frames", [torch.zeros(4, 3, 90, 128, dtype=torch.uint8), torch.zeros(4, 3, 96, 128)])
def test_footage_of_other_shapes_is_refused(frames: torch.Tensor):
    with pytest.raises(ValueError, match="sides that 32 divides"):
        make_pool(frames, None, [Shot(0, 4)], torch.device("cpu"))


def test_a_step_is_that_of_torchs_muon():
    """One kernel by itself, and two stacked ones, go where torch.optim.Muon takes them."""
    torch.manual_seed(0)
    kernels = [torch.nn.Parameter(torch.randn(8, 4, 3, 3).to(memory_format=torch.channels_last)) for _ in range(2)]
    matrices = [torch.nn.Parameter(k.detach().permute(0, 2, 3, 1).flatten(1).clone()) for k in kernels]
    ours = StackedOptimizer(dict.fromkeys(kernels, 1.0), clip=1e9)
    theirs = torch.optim.Muon(matrices, lr=0.01, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for kernel, matrix in zip(kernels, matrices, strict=True):
            kernel.grad = torch.randn_like(kernel)
            matrix.grad = kernel.grad.permute(0, 2, 3, 1).flatten(1).clone()
        ours.step(torch.tensor(0.01))
        theirs.step()
    for kernel, matrix in zip(kernels, matrices, strict=True):
        moved = kernel.permute(0, 2, 3, 1).flatten(1)
        assert (moved - matrix).abs().max() < 2e-3  # theirs works in bfloat16


def test_a_step_of_adam_is_torchs():
    torch.manual_seed(0)
    a = torch.nn.Parameter(torch.randn(7))
    b = torch.nn.Parameter(a.detach().clone())
    ours, theirs = StackedOptimizer({a: 0.5}, kind="adam", clip=1e9), torch.optim.Adam([b], 0.01, betas=(0.9, 0.99))
    for _ in range(4):
        a.grad = torch.randn(7)
        b.grad = a.grad.clone()
        ours.step(torch.tensor(0.02))
        theirs.step()
    assert torch.allclose(a, b, atol=1e-6)


def test_a_gradient_that_is_not_finite_moves_nothing():
    kernel = torch.nn.Parameter(torch.randn(4, 4, 3, 3).to(memory_format=torch.channels_last))
    bias = torch.nn.Parameter(torch.randn(4))
    before = kernel.detach().clone(), bias.detach().clone()
    optimizer = StackedOptimizer({kernel: 1.0, bias: 1.0})
    kernel.grad, bias.grad = torch.full_like(kernel, torch.nan), torch.ones(4)
    optimizer.step(torch.tensor(0.1))
    assert torch.equal(kernel, before[0])
    assert torch.equal(bias, before[1])
    assert int(optimizer.refused) == 1


@pytest.fixture(scope="module")
def stills() -> list[Clip]:
    rng = np.random.default_rng(2)
    return [Clip("drawn", np.stack([line_art(rng, 160) for _ in range(3)]))]


def test_blurred_tiles_are_of_their_sharp_frames(stills: list[Clip], monkeypatch: pytest.MonkeyPatch):
    """Some stay as sharp as the truth although they move; most lose contrast, and a codec takes more."""
    monkeypatch.setattr(blurred_footage, "_SHARP", 0.25)  # so that some are among fourteen
    tiles = blur_tiles(stills, versions=2, max_frames=14 * 9, seed=3)
    assert tiles.clean is not None
    assert tiles.degraded is not None
    assert tiles.truth.shape == tiles.clean.shape == (14 * 9, 3, 160, 160)
    assert [shot.length for shot in tiles.shots] == [9] * 14
    lost = (tiles.clean.float() - tiles.truth.float()).abs().mean(dim=(1, 2, 3)).view(14, 9).mean(dim=1)
    moved = (tiles.truth[1:].float() - tiles.truth[:-1].float()).abs().mean(dim=(1, 2, 3))[::9]
    sharp = lost == 0
    assert 0 < int(sharp.sum()) < 7
    assert moved[sharp].min() > 1
    contrast = [
        t.float().std(dim=(2, 3)).mean(dim=1).view(14, 9).mean(dim=1)[~sharp] for t in (tiles.clean, tiles.truth)
    ]
    assert bool((contrast[0] < contrast[1] + 0.5).all())
    assert contrast[0].mean() < 0.97 * contrast[1].mean()
    error = [(t.float() - tiles.clean.float()).abs().mean() for t in tiles.degraded]
    assert 0 < error[0] < error[1]


def test_some_stills_are_drawn(monkeypatch: pytest.MonkeyPatch):
    """From black footage come black tiles, and others."""
    black = [Clip("black", np.zeros((2, 3, 96, 96), np.uint8))]
    monkeypatch.setattr(blurred_footage, "_DRAWN", 0.2)
    tiles = blur_tiles(black, max_frames=12 * 9, seed=1)
    drawn = tiles.truth.flatten(1).any(dim=1).view(12, 9).any(dim=1)
    assert 0 < int(drawn.sum()) < 12


def test_a_blurred_tile_depends_on_its_number_alone(stills: list[Clip]):
    few, many = (blur_tiles(stills, max_frames=9 * count, seed=4) for count in (2, 3))
    assert torch.equal(few.truth, many.truth[:18])
    assert few.clean is not None
    assert many.clean is not None
    assert torch.equal(few.clean, many.clean[:18])
    other = blur_tiles(stills, max_frames=18, seed=5)
    assert not torch.equal(few.truth, other.truth)


def test_stills_move_and_are_compressed(tmp_path: Path):
    """Pictures of different sizes, large ones reduced; a tile depends on the seed and its number alone."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 140, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 1700, 3), dtype=np.uint8)).save(tmp_path / "b.png")
    stills = read_stills(tmp_path)
    assert [clip.frames.shape for clip in stills] == [(1, 3, 150, 140), (1, 3, 282, 1600)]
    one, other = (move_stills(stills, 128, versions=2, max_frames=60, workers=n) for n in (0, 1))
    assert [shot.length for shot in one.shots] == [20, 20, 20]
    assert torch.equal(one.truth, other.truth)
    assert torch.equal(one.degraded, other.degraded)
    for shot in one.shots:
        frames = one.truth[shot.first : shot.first + shot.length].float()
        assert (frames[1:] - frames[:-1]).abs().mean() > 1  # it moves
    assert (one.degraded[0].float() - clean(one.truth, 4)).abs().mean() < 25


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (1, [(1.0, "whole")]),
        (3, [(0.5, "whole"), (1.0, "alone"), (1.0, "whole")]),
        (4, [(0.5, "alone"), (0.5, "whole"), (1.0, "alone"), (1.0, "whole")]),
    ],
)
def test_versions_take_turns_between_a_codec_alone_and_the_whole_chain(versions, expected, monkeypatch):
    """From mild to strong; a codec alone leaves no frame as it was."""
    kinds = []

    def recorded(run, rng, *, scale, strength, chain):
        kinds.append((strength, "whole" if chain is None else "alone"))
        small = real(run, rng, scale=scale, strength=strength, chain=chain)
        if chain is not None:
            distance = (small.float() - clean(run, scale).float()).abs().mean(dim=(1, 2, 3))
            assert (distance > 0.3).all()
            assert (distance < 25).all()
        return small

    monkeypatch.setattr(device_footage, "real", recorded)
    made = device_footage.compressed(footage(8, 1)[..., :96], 2, versions, np.random.default_rng(0))
    assert kinds == expected
    assert made.shape == (versions, 6, 3, 24, 24)


def test_a_folder_without_pictures_of_a_tiles_size_is_refused(tmp_path: Path):
    Image.new("RGB", (200, 60)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="no still has 128 pixels on its shorter side"):
        move_stills(read_stills(tmp_path), 128)
    (tmp_path / "a.png").rename(tmp_path / "a.y4m")
    with pytest.raises(InputError, match="holds no pictures"):
        read_stills(tmp_path)


def test_footage_is_joined_shot_by_shot():
    """Frames, versions and where shots begin."""
    frames = np.random.default_rng(0).integers(0, 256, (7, 3, 128, 128), dtype=np.uint8)
    one, other = (device_footage.cut_tiles([Clip("a", frames[:n])], versions=1) for n in (5, 7))
    both = device_footage.joined(one, other)
    assert both.shots == [(0, 5), (5, 7)]
    assert torch.equal(both.truth[5:], other.truth)
    assert torch.equal(both.degraded[:, :5], one.degraded)


def test_small_stills_make_small_tiles_and_tiny_ones_a_message():
    small = [Clip("small", np.zeros((1, 3, 70, 90), np.uint8))]
    assert blur_tiles(small, max_frames=9).truth.shape[-1] == 64
    with pytest.raises(InputError, match="64×64"):
        blur_tiles([Clip("tiny", np.zeros((1, 3, 40, 90), np.uint8))], max_frames=9)


def test_a_deblurring_model_is_trained_on_blur(stills: list[Clip], tmp_path: Path):
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    config = EDVRConfig(
        features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4, predeblur=True, hr_in=True
    )
    save_model(EDVR(config), start)
    tiles = blur_tiles(stills, versions=1, max_frames=18)
    pool = make_pool(tiles.truth, tiles.degraded, tiles.shots, torch.device("cpu"), clean=tiles.clean)
    assert pool.scale == 1
    drawn = Sampler(pool, torch.Generator().manual_seed(0), batch=4, patch=48, degraded=0.5, motion=False).draw()
    assert drawn.truth.shape == (4, 3, 48, 48)
    # The truth of a window is its middle frame's: nearer to it than to the others.
    away = (drawn.window - drawn.truth[:, None]).abs().mean(dim=(0, 2, 3, 4))
    assert away.argmin() == 2
    phase = Phase("sharp", str(start), 1, steps=2, batch=2, patch=48, task="deblur", relative=True, degraded=0.5)
    run_phases([phase], pool, tmp_path, say=lambda _: None)
    assert load_model(tmp_path / "sharp.safetensors").config.hr_in


def test_phases_follow_one_another_and_leave_models(pool: Pool, tmp_path: Path):
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    tiny = EDVR(EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4))
    save_model(tiny, start)
    said: list[str] = []
    run_phases(
        [
            Phase("one", str(start), 1, steps=3, batch=2, patch=16, supervision=0.1, taught=0.5, keep=False),
            Phase("two", "one", 1, steps=3, batch=2, patch=16, degraded=0.5, sharpen=0.5, schedule="constant"),
        ],
        pool, tmp_path, validation=pool, record=True, say=said.append,
    )  # fmt: skip
    assert not (tmp_path / "one.safetensors").exists()
    model = load_model(tmp_path / "two.safetensors").network
    assert model.config == tiny.config
    assert any(not torch.equal(a, b) for a, b in zip(model.parameters(), tiny.parameters(), strict=True))
    assert set(validate(model, pool)) == {"clean", "copies", "version 1"}
    assert any("samples per second" in line for line in said)


def test_a_phase_that_is_stopped_leaves_its_weights(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The average is written during the phase, and differs from the first weights."""
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    tiny = EDVR(EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4))
    save_model(tiny, start)
    monkeypatch.setattr(trainer, "_LOOK_EVERY", 1)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            raise KeyboardInterrupt

    phase = Phase("stopped", str(start), 1, steps=9, batch=2, patch=16, keep_every=1e-9)
    with pytest.raises(KeyboardInterrupt):
        run_phases([phase], pool, tmp_path, say=say)
    model = load_model(tmp_path / "stopped.safetensors").network
    assert any(not torch.equal(a, b) for a, b in zip(model.parameters(), tiny.parameters(), strict=True))


@pytest.mark.parametrize("deblurs", [False, True])
def test_a_single_frame_is_restored_as_a_window_of_copies(deblurs: bool):
    torch.manual_seed(0)
    config = EDVRConfig(
        features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4, predeblur=deblurs, hr_in=deblurs
    )
    model = EDVR(config)
    for layer in model.pcd_align.dcn_pack.values():
        torch.nn.init.normal_(layer.conv_offset.weight, std=0.1)
    frame = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        whole = model(frame.unsqueeze(1).expand(-1, 5, -1, -1, -1).contiguous())
        assert (restore_singles(model, frame) - whole).abs().max() < 1e-5


def test_singles_are_trained_on_beside_windows(pool: Pool, tmp_path: Path):
    """They count in the loss like windows, and a phase with them runs."""
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    save_model(EDVR(EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4)), start)
    losses = []
    for singles in (0, 5):
        drawn = Sampler(pool, torch.Generator().manual_seed(3), batch=2, patch=16, taught=True)
        model = load_model(start).network.train().requires_grad_(True)
        phase = Phase("singles", str(start), 1, batch=2, singles=singles, patch=16, taught=0.5)
        total, loss, _ = trainer._Steps(phase, model, drawn).loss()
        total.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        losses.append(float(loss.detach()))
    assert losses[0] != losses[1]
    said: list[str] = []
    run_phases([Phase("both", str(start), 1, steps=1, batch=2, singles=5, patch=16)], pool, tmp_path, say=said.append)
    assert "1 steps" in said[-1]


def test_biases_have_a_rate_of_their_own(pool: Pool, tmp_path: Path):
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    tiny = EDVR(EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4))
    save_model(tiny, start)
    run_phases(
        [Phase("still", str(start), 1, steps=2, batch=2, patch=16, bias_rate=0.0)], pool, tmp_path, say=lambda _: None
    )
    before, after = (load_model(path).network for path in (start, tmp_path / "still.safetensors"))
    assert torch.equal(before.conv_last.bias, after.conv_last.bias)
    assert not torch.equal(before.conv_last.weight, after.conv_last.weight)


def test_a_dead_channel_gets_a_gradient_where_blocks_leak():
    """The output stays as it is; without the leak its weights have none."""
    torch.manual_seed(0)
    model = EDVR(EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4))
    model.reconstruction[0].conv1.bias.data[3] = -100.0
    frame = torch.rand(1, 3, 16, 16)
    gradients, outputs = [], []
    for share in (0.0, 0.1):
        if share:
            leak(model, share)
        output = restore_singles(model, frame)
        model.zero_grad()
        output.square().mean().backward()
        gradient = model.reconstruction[0].conv1.weight.grad
        assert gradient is not None
        gradients.append(gradient.clone())
        outputs.append(output.detach())
    assert torch.allclose(outputs[0], outputs[1], atol=1e-6)
    assert not gradients[0][3].any()
    assert gradients[1][3].any()


def test_blocks_leak_during_a_phase_alone(pool: Pool, tmp_path: Path):
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    save_model(EDVR(EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4)), start)
    drawn = Sampler(pool, torch.Generator().manual_seed(3), batch=2, patch=16)
    network = load_model(start).network
    phase = Phase("leaks", str(start), 1, steps=1, batch=2, patch=16, leak=0.1)
    average = trainer.train_phase(phase, network, drawn, say=lambda _: None)
    for model in (network, average):
        assert not any("forward" in vars(module) for module in model.modules())


def test_samples_with_little_to_gain_count_less():
    """Sharp ones counted fully teach a network to do nothing."""
    losses, nothing = torch.tensor([0.02, 0.004]), torch.tensor([0.02, 0.001])
    fully, less = relative_loss(losses, nothing), relative_loss(losses, nothing, slight=0.005)
    blurred, sharp = 0.02 * 0.02 / 0.025 / 2, 0.02 * 0.004 / 0.006 / 2
    assert float(less) == pytest.approx(blurred + sharp)
    assert float(fully) > float(less)


def test_lost_alignment_sends_a_phase_back(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The loss can look usual: what offsets far outside gather is nothing."""
    torch.manual_seed(0)
    lost = EDVR(EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4))
    lost.pcd_align.dcn_pack["l1"].conv_offset.bias.data[:36] = 400.0
    save_model(lost, tmp_path / "lost.safetensors")
    monkeypatch.setattr(trainer, "_LOOK_EVERY", 1)
    said: list[str] = []
    phase = Phase("back", str(tmp_path / "lost.safetensors"), 1, steps=1, batch=2, patch=16)
    run_phases([phase], pool, tmp_path, say=said.append)
    assert any("back to earlier weights" in line for line in said)


def test_weights_that_have_begun_to_lose_the_alignment_are_left_behind(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The last weights kept can be beyond help. On an H200, a phase then returned to such weights until it ended."""
    said: list[str] = []
    monkeypatch.setattr(trainer, "_LOOK_EVERY", 1)
    lost = 8  # the step after which the offsets are large, whatever comes

    real, seen = trainer._Steps.loss, []

    def loss(steps):
        total, loss, offset = real(steps)
        first = float(steps.parameters[0].detach().flatten()[0])
        seen.append(first)
        spoiled = len(seen) > lost and first in seen[lost - 2 : lost]  # also the weights of the look before
        return total, loss, offset.detach() * 0 + (60.0 if len(seen) == lost or spoiled else 0.1)

    monkeypatch.setattr(trainer._Steps, "loss", loss)
    phase = Phase("back", "edvr-s-x4", 1, steps=16, batch=2, patch=16, rate=1e-5, warm_up=1)
    run_phases([phase], pool, tmp_path, say=said.append)
    objections = [line for line in said if "back to earlier weights" in line]
    assert 1 < len(objections) < 5
    assert "offset 0.10" in said[-2]


def test_a_network_with_dead_blocks_is_revived_before_it_is_trained(pool: Pool, tmp_path: Path):
    torch.manual_seed(0)
    dead = EDVR(EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4))
    dead.reconstruction[0].conv1.bias.data.fill_(-100.0)
    save_model(dead, tmp_path / "dead.safetensors")
    said: list[str] = []
    run_phases(
        [Phase("alive", str(tmp_path / "dead.safetensors"), 1, steps=1, batch=2, patch=16)],
        pool,
        tmp_path,
        say=said.append,
    )
    assert "channels in residual blocks did nothing and got new weights" in said[0]
    revived = load_model(tmp_path / "alive.safetensors").network.reconstruction[0].conv1.bias
    assert float(revived.min()) > -50


def test_tiles_are_compressed_with_frames_before_them(monkeypatch: pytest.MonkeyPatch):
    """As many as each version draws, none where the clip begins; what is kept is of the tile's own frames."""
    lengths: list[int] = []

    def undamaged(frames, rng, *, scale, strength, chain):
        lengths.append(len(frames))
        return clean(frames, scale)

    monkeypatch.setattr(device_footage, "real", undamaged)
    clip = Clip("still", torch.randint(0, 256, (45, 3, 128, 128), dtype=torch.uint8).numpy())
    footage = device_footage.cut_tiles([clip], versions=4)
    assert sorted(shot.length for shot in footage.shots) == [5, 20, 20]
    assert footage.degraded is not None
    assert all(torch.equal(version, clean(footage.truth, 4)) for version in footage.degraded)
    assert lengths.count(20) >= 4  # the clip's first tile
    assert max(lengths) > 20


def test_tiles_do_not_depend_on_the_processes_that_make_them():
    """A seed means the same on every machine; and one tile is made however few frames are allowed."""
    frames = np.random.default_rng(0).integers(0, 256, (12, 3, 128, 160), dtype=np.uint8)
    one, other = (
        device_footage.cut_tiles([Clip("still", frames)], versions=2, max_frames=3, workers=n) for n in (0, 1)
    )
    assert [shot.length for shot in one.shots] == [12]
    assert torch.equal(one.truth, other.truth)
    assert torch.equal(one.degraded, other.degraded)
