"""The network against golden outputs and the public checkpoints' parameter names."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from edvr_cli.network.edvr import EDVR, TAIL_REACH, EDVRConfig
from tests.support.networks import TINY, random_network

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden tensors are not on this machine")

LARGE = {"features": 128, "reconstruction_blocks": 40}
PUBLIC = {
    "M": EDVRConfig(),
    "M_woTSA": EDVRConfig(tsa=False),
    "L": EDVRConfig(**LARGE),
    "L_predeblur": EDVRConfig(**LARGE, predeblur=True),
    "L_deblur": EDVRConfig(**LARGE, predeblur=True, hr_in=True),
}
PARAMETERS = {
    "M": 3_300_131,
    "M_woTSA": 2_996_259,
    "L": 20_633_827,
    "L_predeblur": 23_306_851,
    "L_deblur": 23_602_019,
}


@golden
@pytest.mark.parametrize("name", ["tsa", "wotsa"])
@pytest.mark.parametrize("grad", [False, True], ids=["inference", "training"])
def test_outputs_equal_an_independent_implementation(name, grad):
    """Both ways through the deformable op, against outputs computed in float64 elsewhere."""
    tensors = np.load(GOLDEN / f"{name}.npz")
    stated = ast.literal_eval(str(tensors["config"]))
    config = EDVRConfig(
        features=stated["num_feat"],
        extraction_blocks=stated["num_extract_block"],
        reconstruction_blocks=stated["num_reconstruct_block"],
        tsa=stated["with_tsa"],
    )
    model = EDVR(config)
    model.load_state_dict(torch.load(GOLDEN / f"{name}.pth", weights_only=True)["params"])
    with torch.set_grad_enabled(grad):
        y = model(torch.from_numpy(tensors["x"]))
    assert (y.detach() - torch.from_numpy(tensors["y"])).abs().max() < 1e-5


@golden
@pytest.mark.parametrize("name", PUBLIC)
def test_parameters_are_named_and_shaped_as_in_the_public_checkpoints(name):
    """Names, shapes and order."""
    with torch.device("meta"):
        model = EDVR(PUBLIC[name])
    ours = [f"{key} {tuple(value.shape)}" for key, value in model.state_dict().items()]
    assert ours == (GOLDEN / f"keys_{name}.txt").read_text().splitlines()


@pytest.mark.parametrize("name", PUBLIC)
def test_the_published_sizes_have_the_published_parameter_counts(name):
    """Needs no file."""
    with torch.device("meta"):
        model = EDVR(PUBLIC[name])
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("changes", "size", "scale"),
    [
        ({}, (12, 20), 4),
        ({"frames": 7}, (8, 8), 4),
        ({"tsa": False}, (8, 12), 4),
        ({"predeblur": True}, (8, 12), 4),
        ({"predeblur": True, "hr_in": True}, (32, 48), 1),
        ({"features": 24, "groups": 6, "tail": 12}, (8, 8), 4),
        ({"cascade": False}, (8, 8), 4),
        ({"levels": 1}, (8, 8), 4),
    ],
)
def test_every_configuration_restores_a_window(changes, size, scale):
    """The output has the stated shape and is finite."""
    model = random_network(**changes)
    y = model(torch.rand(2, model.config.frames, 3, *size))
    assert y.shape == (2, 3, size[0] * scale, size[1] * scale)
    assert y.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, (1, 5, 3, 10, 12)),
        ({}, (1, 3, 3, 8, 8)),
        ({}, (1, 5, 1, 8, 8)),
        ({}, (5, 3, 8, 8)),
        ({}, (1, 5, 3, 0, 8)),
        ({"predeblur": True, "hr_in": True}, (1, 5, 3, 24, 16)),
    ],
)
def test_other_shapes_raise_with_the_shape_received(changes, shape):
    """One sentence a caller can act on."""
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        random_network(**changes)(torch.zeros(shape))


def test_the_output_depends_on_every_frame_of_the_window():
    """Alignment and fusion are wired to all of them."""
    model = random_network()
    window = torch.rand(1, 5, 3, 8, 8)
    y = model(window)
    for t in range(TINY.frames):
        changed = window.clone()
        changed[:, t] += 0.1
        assert (model(changed) - y).abs().max() > 1e-6


@pytest.mark.parametrize("changes", [{}, {"predeblur": True, "hr_in": True}], ids=["sr", "deblur"])
def test_the_tail_reaches_no_further_than_it_says(changes):
    """The engine cuts the tail into strips on the strength of it."""
    model = random_network(**changes)
    inward = 4 if model.config.hr_in else 1
    x, frame = torch.rand(1, 16, 24, 8), torch.rand(1, 3, 24 * inward, 8 * inward)
    y = model.upsample(x, frame)
    x[:, :, :8], frame[:, :, : 8 * inward] = 9, 9
    changed = (model.upsample(x, frame) != y).any(dim=(0, 1, 3)).nonzero().max()
    assert changed < (8 + TAIL_REACH) * 4


@pytest.mark.parametrize("changes", [{}, {"levels": 1}, {"cascade": False}, {"predeblur": True, "hr_in": True}])
def test_every_parameter_gets_a_gradient(changes):
    """Nothing is disconnected from the loss."""
    model = random_network(**changes).requires_grad_(True)
    model(torch.rand(1, 5, 3, 16, 16)).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
