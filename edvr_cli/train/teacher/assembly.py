"""An EDVR put together in closed form from a BasicVSR network and a small EDVR that aligns.

The teacher's trunk extracts deep features and restores from them, the small network's offset branches are rebuilt on
these features by least squares, and so are the layers in between. The result restores, and gains from time, before
any training: docs/lab/training.md has its figures.

Shapes: B windows, T frames, C features, S features of the small network, G groups, K taps, h w pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.errors import ModelError
from edvr_cli.network.edvr import EDVR, SLOPE, EDVRConfig, TSAFusion
from edvr_cli.train.teacher.basicvsr import BasicVSR
from edvr_cli.train.teacher.flow import warp
from edvr_cli.train.teacher.regression import ConvRegression
from edvr_cli.train.teacher.transplant import transplant
from edvr_cli.train.teacher.widening import channel_places, copy_widened

__all__ = ["adopt_alignment", "assemble", "why_not_assembled"]

_MARGIN = 8  # pixels at a patch's edges, where what lies outside the patch is missing

_RESERVE = 1.1  # times the most negative value seen

Report = dict[str, float]
"""What each layer found by least squares explains of its truth: R² by the layer's name."""


@torch.no_grad()
def assemble(teacher: BasicVSR, small: EDVR, model: EDVR, windows: Sequence[Tensor]) -> Report:
    """Set all of ``model`` from ``teacher``, a network as deep as it, and ``small``, a network that aligns.

    ``windows`` (B, T, 3, h, w) in [0, 1], of footage degraded as the teacher knows it, are what least squares sees;
    they and the three networks are on one device.
    Returns R² per layer found so. Raises ModelError where the three do not fit together.
    """
    if reason := why_not_assembled(teacher, small.config, model.config):
        raise ModelError(f"no network can be assembled from this teacher and the small network: {reason}")
    transplant(teacher, model)
    features = [model.extract(window.flatten(0, 1))[0] for window in windows]
    found = adopt_alignment(small, model, windows, features)
    found |= _fit_cascade(teacher, model, windows, features)
    found |= _fit_fusion(teacher, model, windows, features)
    return found | _fit_tail(teacher, model, windows, features)


def why_not_assembled(teacher: BasicVSR, small: EDVRConfig, model: EDVRConfig) -> str | None:
    """Why :func:`assemble` cannot build ``model``'s dimensions, or None."""
    depth = len(teacher.forward_trunk.main[2])  # type: ignore[arg-type]  # a Sequential
    fixed = {
        "features": (model.features, teacher.features),
        "extraction blocks": (model.extraction_blocks, depth),
        "reconstruction blocks": (model.reconstruction_blocks, depth),
        "tail": (model.tail, teacher.conv_hr.weight.shape[0]),
    }
    for what, (own, others) in fixed.items():
        if own != others:
            return f"it needs {others} {what}, not {own}"
    for name in ("frames", "groups", "levels", "cascade"):
        if getattr(small, name) != getattr(model, name):
            return f"{name} is {getattr(small, name)} and {getattr(model, name)}"
    if model.predeblur or small.predeblur or model.levels != 3 or not model.cascade or not model.tsa:
        return "both must be ×4 networks with three levels, the cascade and attention"
    if small.features > model.features:
        return f"its {small.features} features do not fit into {model.features}"
    return None


@torch.no_grad()
def adopt_alignment(
    small: EDVR, model: EDVR, windows: Sequence[Tensor], features: Sequence[Tensor] | None = None
) -> Report:
    """Give ``model`` the offsets of ``small``, as far as its own features determine them linearly.

    Levels 2 and 3 become the small network's in as many channels. Level 1 moves a neighbor's features by the mean
    displacement over groups and taps, unblended. ``features`` are ``model``'s of the flattened ``windows``, where
    they are known. Returns R² of the layers found by least squares.
    """
    half = ConvRegression(3, stride=2), ConvRegression(3), ConvRegression(3)
    first = _conv(small, "pcd_align.offset_conv1.l1")
    S, C, groups = small.config.features, model.config.features, model.config.groups
    for n, window in enumerate(windows):
        frames = window.flatten(0, 1)
        own = model.extract(frames)[0] if features is None else features[n]
        others = small.feature_extraction(small.conv_first(frames, SLOPE))
        half[0].add(own, small.conv_l2_1(others))
        for regression, part in zip(half[1:], (slice(0, S), slice(S, 2 * S)), strict=True):
            regression.add(own, F.conv2d(others, first.weight[:, part], padding=1))
    places = channel_places(S, C, groups)
    copied = ("conv_l2_2", "conv_l3_1", "conv_l3_2", "pcd_align.")
    copy_widened(small, model, lambda key: key.startswith(copied))
    weight, bias, explained = half[0].solve()
    model.conv_l2_1.weight[places], _bias(model.conv_l2_1)[places] = weight, bias
    report = {"conv_l2_1": explained}
    target = _conv(model, "pcd_align.offset_conv1.l1")
    _bias(target)[places] = _bias(first)
    for name, regression, part in zip(("neighbor", "reference"), half[1:], (slice(0, C), slice(C, 2 * C)), strict=True):
        weight, bias, explained = regression.solve()
        target.weight[places, part] = weight
        _bias(target)[places] += bias
        report[f"offset_conv1.l1, {name}"] = explained
    _sample_at_mean(model)
    return report


def _sample_at_mean(model: EDVR) -> None:
    """Let level 1 fetch a neighbor's features at the mean displacement, and put them out unchanged."""
    dcn = model.pcd_align.dcn_pack["l1"]
    conv = dcn.conv_offset
    assert isinstance(conv, nn.Conv2d)
    split = conv.weight.shape[0] // 3 * 2  # offsets, then masks
    for value in (conv.weight, _bias(conv)):
        mean = value[:split].unflatten(0, (-1, 2)).mean(dim=0, keepdim=True)
        value[:split] = mean.expand(split // 2, *mean.shape[1:]).flatten(0, 1)
        value[split:] = 0
    C = model.config.features
    _middle_tap(dcn.weight, 2.0)  # type: ignore[arg-type]  # the mask of nothing is a half
    dcn.bias.zero_()  # type: ignore[operator]
    feat = _conv(model, "pcd_align.feat_conv.l1")
    feat.weight.zero_()
    _middle_tap(feat.weight[:, :C], 1.0)
    nn.init.zeros_(_bias(feat))


def _fit_cascade(teacher: BasicVSR, model: EDVR, windows: Sequence[Tensor], features: Sequence[Tensor]) -> Report:
    """Let the cascade prepare aligned features for the trunk's first convolution, where they stand.

    That convolution needs two things, one of a neighbor's features and one of the frame, which the reference's
    features determine nearly. Both are more channels than there are, but vary in fewer directions; those are put out.
    The activation must pass all: a bias of each channel's most negative value is added, and stays in the output.
    """
    dcn = model.pcd_align.cas_dcnpack
    first = teacher.forward_trunk.main[0]
    assert isinstance(first, nn.Conv2d)  # as it was built
    begin = first.weight
    regression = ConvRegression(3, margin=_MARGIN)
    for window, maps in zip(windows, features, strict=True):
        regression.add(maps, F.conv2d(window.flatten(0, 1), begin[:, :3], padding=1))
    frame, _, explained = regression.solve()
    wanted = torch.cat((begin[:, 3:], frame))
    directions = _directions([F.conv2d(maps, wanted, padding=1) for maps in features], model.config.features)
    kernel = torch.einsum("wo,wikl->oikl", directions, wanted)
    for parameter in dcn.conv_offset.parameters():
        nn.init.zeros_(parameter)
    least = torch.stack([F.conv2d(maps, kernel, padding=1).amin(dim=(0, 2, 3)) for maps in features]).amin(dim=0)
    dcn.weight.copy_(2 * kernel)
    dcn.bias.copy_(-_RESERVE * least.clamp(max=0))
    return {"frame": explained}


def _directions(maps: Sequence[Tensor], count: int) -> Tensor:
    """The ``count`` directions in which channels vary most, (C, count), of maps (N, C, h, w)."""
    points = [part.movedim(1, 0).flatten(1).double() for part in maps]
    total = sum(part.shape[1] for part in points)
    mean = torch.stack([part.sum(dim=1) for part in points]).sum(dim=0) / total
    square = torch.stack([part @ part.T for part in points]).sum(dim=0) / total
    return torch.linalg.eigh(square - mean[:, None] * mean)[1][:, -count:].float()


def _fit_fusion(teacher: BasicVSR, model: EDVR, windows: Sequence[Tensor], features: Sequence[Tensor]) -> Report:
    """Let the fusion put out what the trunk begins with: the frame, and features of the frame before, moved by flow."""
    config, fusion = model.config, model.fusion
    assert isinstance(fusion, TSAFusion)  # as why_not_assembled demands
    regression = ConvRegression(1, margin=_MARGIN)
    begin = teacher.forward_trunk.main[0]
    r = config.reference
    for window, maps in zip(windows, features, strict=True):
        B, T = window.shape[:2]
        reference, before = window[:, r], window[:, r - 1]
        carried = warp(maps.unflatten(0, (B, T))[:, r - 1], teacher.flow(reference, before))
        regression.add(_aligned(model, maps, B).flatten(1, 2), begin(torch.cat((reference, carried), dim=1)))
    weight, bias, explained = regression.solve()
    for conv in (fusion.temporal_attn1, fusion.spatial_attn5, fusion.spatial_attn_add2):
        # Attention that is the same everywhere: a half in time, one in space, nothing added.
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(_bias(conv))
    fusion.feat_fusion.weight.copy_(2 * weight)
    _bias(fusion.feat_fusion).copy_(bias)
    return {"feat_fusion": explained}


def _fit_tail(teacher: BasicVSR, model: EDVR, windows: Sequence[Tensor], features: Sequence[Tensor]) -> Report:
    """Fold the teacher's joining of both directions into the first layer of the tail."""
    regression = ConvRegression(3, margin=_MARGIN)
    for window, maps in zip(windows, features, strict=True):
        restored = model.reconstruction(model.fuse(_aligned(model, maps, len(window))))
        regression.add(restored, teacher.upconv1(teacher.middle(window)[0]))
    weight, bias, explained = regression.solve()
    model.upconv1.weight.copy_(weight)
    _bias(model.upconv1).copy_(bias)
    return {"upconv1": explained}


def _aligned(model: EDVR, level1: Tensor, windows: int) -> Tensor:
    """Aligned features (B, T, C, h, w) of frames whose first level (B·T, C, h, w) is known."""
    level2 = model.conv_l2_2(model.conv_l2_1(level1, SLOPE), SLOPE)
    level3 = model.conv_l3_2(model.conv_l3_1(level2, SLOPE), SLOPE)
    pyramid = [level.unflatten(0, (windows, -1)) for level in (level1, level2, level3)]
    reference = [level[:, model.config.reference] for level in pyramid]
    frames = range(model.config.frames)
    return torch.stack([model.pcd_align([level[:, t] for level in pyramid], reference) for t in frames], dim=1)


def _middle_tap(weight: Tensor, value: float) -> None:
    channels = range(weight.shape[0])
    weight.zero_()
    weight[channels, channels, 1, 1] = value


def _conv(model: EDVR, name: str) -> nn.Conv2d:
    module = model.get_submodule(name)
    assert isinstance(module, nn.Conv2d)  # the names are the network's own
    return module


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None  # EDVR's layers have one
    return conv.bias
