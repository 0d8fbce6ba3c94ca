"""Networks put together from trained parts in closed form."""

from dataclasses import replace

import pytest
import torch

from edvr_cli.errors import ModelError
from edvr_cli.network.edvr import EDVR
from edvr_cli.train.alignment import recorded_offsets
from edvr_cli.train.teacher.assembly import adopt_alignment, assemble
from edvr_cli.train.teacher.regression import ConvRegression
from edvr_cli.train.teacher.transplant import transplant
from edvr_cli.train.teacher.widening import widen
from tests.support.networks import TINY, random_network
from tests.train.test_teacher import random_teacher

DEEP = replace(TINY, extraction_blocks=2, reconstruction_blocks=2)


def network(seed: int = 1, **changes: object) -> EDVR:
    torch.manual_seed(seed)
    return EDVR(replace(DEEP, **changes)).eval().requires_grad_(False)


def windows(count: int = 3, seed: int = 2) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.rand(1, 5, 3, 32, 32) for _ in range(count)]


@pytest.mark.parametrize("stride", [1, 2])
def test_regression_finds_a_convolution_again(stride):
    """Weight, bias and the share that they explain, whatever the padding does at the edges."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(5, 4, 3, stride, padding=1).requires_grad_(False)
    regression = ConvRegression(3, stride=stride)
    for maps in torch.randn(3, 2, 5, 16, 20):
        regression.add(maps, conv(maps))
    weight, bias, explained = regression.solve()
    assert torch.allclose(weight, conv.weight, atol=1e-3)
    assert torch.allclose(bias, conv.bias, atol=1e-3)
    assert explained == pytest.approx(1, abs=1e-4)


def test_regression_says_how_little_it_explains():
    """Of noise that has nothing to do with the inputs, next to nothing."""
    torch.manual_seed(0)
    regression = ConvRegression(1)
    regression.add(torch.randn(1, 3, 40, 40), torch.randn(1, 2, 40, 40) + 5)
    assert regression.solve()[2] == pytest.approx(0, abs=0.02)


def test_a_network_as_deep_as_the_teacher_gets_its_whole_trunk():
    """Its features are the trunk's of a single frame, its tail the teacher's."""
    teacher, model = random_teacher(), network()
    copied = transplant(teacher, model)
    frame = torch.rand(2, 3, 16, 20)
    assert torch.allclose(model.extract(frame)[0], teacher.forward_trunk(frame, torch.zeros(2, 16, 16, 20)), atol=1e-5)
    features = torch.randn(2, 16, 16, 20)
    assert torch.allclose(model.upsample(features, frame), teacher.upsample(features, frame), atol=1e-5)
    parts = {"conv_first", "feature_extraction", "reconstruction", "upconv1", "upconv2", "conv_hr", "conv_last"}
    assert {name.split(".")[0] for name in copied} == parts


def test_a_shallow_network_gets_the_first_and_the_last_blocks():
    """The features' from the backward trunk, the reconstruction's from the forward trunk."""
    teacher, model = random_teacher(blocks=3), network(extraction_blocks=1, reconstruction_blocks=2)
    transplant(teacher, model)
    first, last = teacher.backward_trunk.main, teacher.forward_trunk.main[2]
    assert torch.equal(model.conv_first.weight, first[0].weight[:, :3])
    assert torch.equal(model.feature_extraction[0].conv1.weight, first[2][0].conv1.weight)
    assert torch.equal(model.reconstruction[1].conv2.bias, last[2].conv2.bias)


def test_what_does_not_fit_is_left_alone():
    """A network with other features takes the last layers of the tail and nothing else."""
    teacher, model = random_teacher(features=24), network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copied = transplant(teacher, model)
    assert set(copied) == {f"{name}.{part}" for name in ("conv_hr", "conv_last") for part in ("weight", "bias")}
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items() if key not in copied)


def test_offsets_are_taken_over_where_features_determine_them():
    """A wider network with the small one's features samples at its mean displacements, whatever tap and group."""
    small = random_network(seed=3, tsa=False)
    model = network(features=32, tail=16, tsa=False)
    widen(small, model)
    for name, parameter in model.named_parameters():
        if name.startswith(("pcd_align", "conv_l2_1")):
            parameter.normal_(std=0.05)  # what is to be found again
    explained = adopt_alignment(small, model, windows())
    assert min(explained.values()) > 0.99
    (window,) = windows(1, seed=4)
    with recorded_offsets(small) as theirs, recorded_offsets(model) as own:
        small(window)
        model(window)
    key, inner = "pcd_align.dcn_pack.l1.conv_offset", (..., slice(6, -6), slice(6, -6))
    for t in range(5):
        split = small.config.groups * 9 * 2
        mean = theirs[key][t][:, :split].unflatten(1, (-1, 2)).mean(dim=1, keepdim=True)
        found = own[key][t][:, :split].unflatten(1, (-1, 2))
        assert torch.allclose(found[inner], mean.expand_as(found)[inner], atol=0.05 * float(mean.abs().mean()))
        assert torch.equal(own[key][t][:, split:], torch.zeros_like(own[key][t][:, split:]))


def test_an_assembled_network_restores_as_its_teacher_does():
    """Far closer to the teacher's output than the transplanted parts alone, on frames not used for it."""
    teacher, small = random_teacher(), random_network(seed=3, features=8)
    bare, model = network(), network()
    transplant(teacher, bare)
    explained = assemble(teacher, small, model, windows(6))
    assert set(explained) == {
        "conv_l2_1", "offset_conv1.l1, neighbor", "offset_conv1.l1, reference", "frame", "feat_fusion", "upconv1",
    }  # fmt: skip
    (window,) = windows(1, seed=5)
    expected = teacher.middle(window)[1]
    errors = [(other(window) - expected).abs().mean() for other in (model, bare)]
    assert errors[0] < errors[1] / 2


@pytest.mark.parametrize(
    ("model", "small", "reason"),
    [
        ({"features": 32}, {}, "16 features, not 32"),
        ({"extraction_blocks": 3}, {}, "2 extraction blocks, not 3"),
        ({"tsa": False}, {}, "attention"),
        ({}, {"cascade": False}, "cascade is False and True"),
        ({}, {"features": 32}, "32 features do not fit into 16"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(model, small, reason):
    """With the first reason."""
    with pytest.raises(ModelError, match=reason):
        assemble(random_teacher(), random_network(**small), network(**model), windows(1))
