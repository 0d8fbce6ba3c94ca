"""Teachers: BasicVSR's network, its optical flow, and its checkpoints."""

from pathlib import Path

import pytest
import torch

from edvr_cli.errors import ModelError
from edvr_cli.models.checkpoint import save_model
from edvr_cli.train.teacher.basicvsr import BasicVSR
from edvr_cli.train.teacher.checkpoint import load_teacher
from edvr_cli.train.teacher.flow import SPyNet, warp
from tests.support.networks import random_network


def random_teacher(seed: int = 0, *, features: int = 16, blocks: int = 2, tail: int = 8) -> BasicVSR:
    """A small BasicVSR with random weights, ready to teach."""
    torch.manual_seed(seed)
    return BasicVSR(features, blocks, tail).eval().requires_grad_(False)


def teacher_file(path: Path, teacher: BasicVSR) -> Path:
    """A checkpoint as BasicSR writes it."""
    torch.save({"params": teacher.state_dict()}, path)
    return path


def test_a_checkpoint_decides_the_teachers_size(tmp_path):
    """Features, blocks and tail come from the file; the loaded network computes the same."""
    teacher = random_teacher(features=24, blocks=3, tail=12)
    loaded = load_teacher(teacher_file(tmp_path / "teacher.pth", teacher))
    frames = torch.rand(1, 3, 3, 16, 20)
    assert torch.equal(loaded(frames), teacher(frames))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_checkpoints_of_other_networks_are_refused(tmp_path):
    """An EDVR, and a teacher with a part missing or of the wrong shape."""
    save_model(random_network(), tmp_path / "edvr.safetensors")
    with pytest.raises(ModelError, match="not a BasicVSR checkpoint"):
        load_teacher(tmp_path / "edvr.safetensors")
    state = random_teacher().state_dict()
    for change in (
        {"fusion.bias": None},
        {"fusion.bias": torch.zeros(3)},
        {"conv_hr.weight": None},
        {"conv_hr.weight": torch.zeros(())},
        {"forward_trunk.main.0.weight": torch.zeros(0, 3, 3, 3)},
        {"more.weight": torch.zeros(3)},
    ):
        damaged = {k: v for k, v in {**state, **change}.items() if v is not None}
        torch.save({"params": damaged}, tmp_path / "damaged.pth")
        with pytest.raises(ModelError, match="does not fit"):
            load_teacher(tmp_path / "damaged.pth")


def test_the_middle_of_a_window_equals_the_middle_of_the_clip():
    """The shorter way to one frame gives what the whole pass gives."""
    teacher, window = random_teacher(), torch.rand(2, 5, 3, 16, 20)
    features, restored = teacher.middle(window)
    assert restored.shape == (2, 3, 64, 80)
    assert torch.allclose(restored, teacher(window)[:, 2], atol=1e-5)
    assert torch.allclose(features, teacher.propagate(window)[:, 2], atol=1e-5)


def test_features_travel_in_both_directions():
    """The first and the last frame of a clip change the restored middle."""
    teacher, window = random_teacher(), torch.rand(1, 3, 3, 16, 16)
    before = teacher(window)[:, 1]
    for t in (0, 2):
        changed = window.clone()
        changed[:, t] = 0
        assert not torch.allclose(teacher(changed)[:, 1], before, atol=1e-4)


def test_warping_moves_maps_by_whole_pixels():
    """A flow of (dx, dy) fetches the value that lies dx to the right and dy below."""
    maps = torch.arange(30.0).view(1, 1, 5, 6)
    flow = torch.tensor([2.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 5, 6)
    assert torch.allclose(warp(maps, flow)[..., :4, :4], maps[..., 1:, 2:], atol=1e-4)
    assert torch.equal(warp(maps, flow)[..., 4, :], torch.zeros(1, 1, 6))
    assert torch.allclose(warp(maps, flow, padding="border")[..., 4, 5], maps[..., 4, 5])
    assert warp(maps.bfloat16(), flow).dtype == torch.bfloat16


def constant_flow_network(x: float, y: float) -> SPyNet:
    """A SPyNet whose coarsest level alone finds something: (x, y) in its own pixels."""
    network = SPyNet().requires_grad_(False)
    for parameter in network.parameters():
        parameter.zero_()
    network.basic_module[0].basic_module[-1].bias.copy_(torch.tensor([x, y]))
    return network


@pytest.mark.parametrize(("size", "enlargement"), [((64, 96), 1), ((32, 64), 2), ((16, 48), 4), ((64, 70), 1)])
def test_small_frames_are_enlarged_and_their_flow_is_given_in_their_own_pixels(size, enlargement):
    """A pixel of the coarsest level is 32 of the enlarged frame, whose sides are brought to multiples of 32."""
    frame = torch.rand(2, 3, *size)
    flow = constant_flow_network(1.0, -0.5)(frame, frame)
    width = size[1]
    whole_width = -(-width * enlargement // 32) * 32
    assert flow.shape == (2, 2, *size)
    assert torch.allclose(flow[:, 0], torch.tensor(32.0 * width / whole_width), rtol=1e-4)
    assert torch.allclose(flow[:, 1], torch.tensor(-16.0 / enlargement), rtol=1e-4)


def test_half_precision_keeps_positions_exact():
    """The network computes in its own precision; flows stay float32 and results keep the frames' precision."""
    teacher = random_teacher()
    window = torch.rand(1, 3, 3, 16, 16)
    exact = teacher(window)
    half = teacher.bfloat16()
    restored = half(window.bfloat16())
    assert restored.dtype == torch.bfloat16
    assert torch.allclose(restored.float(), exact, atol=0.05)
    assert half.flow(window[:, 0], window[:, 1]).dtype == torch.float32
