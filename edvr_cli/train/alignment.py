"""Train a network to align, which the restoration loss alone does not achieve on a small budget.

Three means, each measured in ``docs/lab/training.md``: start the offset branches from filters that compare a frame's
change in time with its slope in space (that is where motion shows), bring their activations to unit scale, and train
them on scenes whose motion is known before anything else is trained.

Shapes: B batch, T frames, P pairs of neighbor and reference = B · (T − 1), C features, G groups, K taps,
h w a level's size.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.network.edvr import EDVR, DeformConv

__all__ = [
    "alignment_loss",
    "alignment_parameters",
    "aligns",
    "mean_offset",
    "prepare",
    "recorded_offsets",
    "supervision_loss",
    "texture",
]

_SLOPE = 0.1
_DIRECTIONS = 4
_COMPARING = 4 * _DIRECTIONS  # channels of offset_conv1: two sums and two differences a direction
_BLUR = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
_ACROSS = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
_DIAGONAL = torch.tensor([[-2.0, -1, 0], [-1, 0, 1], [0, 1, 2]]) / 8
_FLAT = 0.03  # contrast of the reference below which its pixels say little about motion


def alignment_parameters(model: EDVR) -> list[nn.Parameter]:
    """Parameters of the alignment stage: the pyramid's coarser levels and every branch that leads to offsets."""
    names = ("conv_l2", "conv_l3", "pcd_align.offset_conv", "pcd_align.dcn_pack")
    return [p for name, p in model.named_parameters() if name.startswith(names)]


def aligns(model: EDVR) -> bool:
    """Whether offsets depend on the input; those of a new network are zero everywhere."""
    return bool(_convolution(model, "pcd_align.dcn_pack.l1.conv_offset").weight.any())


def alignment_loss(model: EDVR, window: Tensor, flow: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean distance in pixels between the offsets and the known motion, summed over levels in full-size pixels.

    window (B, T, 3, H, W) in [0, 1], flow (B, T, 2, H, W) (dy, dx) in its pixels. All taps share one displacement
    here, that of the mean over their rows of ``conv_offset``: they start equal, so they stay equal. Level 1
    features are not trained. Textured pixels count most; ``weight`` (B, T, 1, H, W) says how much each flow counts
    besides, all of it by default.
    """
    B, T = window.shape[:2]
    others = [t for t in range(T) if t != model.config.reference]
    pyramid = [level.unflatten(0, (B, T)) for level in _extract(model, window.flatten(0, 1))]
    neighbor = [level[:, others].flatten(0, 1) for level in pyramid]
    reference = [_repeated(level[:, model.config.reference], len(others)) for level in pyramid]
    truth = _at_features(model, flow)[:, others].flatten(0, 1)
    counts = _repeated(texture(_like(window[:, model.config.reference], pyramid[0])), len(others))
    if weight is not None:
        counts = counts * _weight_at_features(model, weight)[:, others].flatten(0, 1)
    loss = window.new_zeros(())
    for level, offset_features in enumerate(_offset_features(model, neighbor, reference)):
        conv = _convolution(model, f"pcd_align.dcn_pack.l{level + 1}.conv_offset")
        G2K = conv.weight.shape[0] // 3 * 2
        kernel = conv.weight[:G2K].unflatten(0, (-1, 2)).mean(dim=0)
        bias = None if conv.bias is None else conv.bias[:G2K].view(-1, 2).mean(dim=0)
        offset = F.conv2d(offset_features, kernel, bias, padding=1)
        loss = loss + 2**level * _distance(offset.float(), *_at_level(truth, counts, level))
    return loss


def supervision_loss(
    model: EDVR,
    offsets: dict[str, list[Tensor]],
    window: Tensor,
    flow: Tensor,
    known: Tensor,
    weight: Tensor | None = None,
) -> Tensor:
    """The same distance for the offsets of a forward pass, of the samples whose motion is ``known`` (B,).

    ``offsets`` are those of :func:`recorded_offsets`; the mean over groups and taps counts, so that taps are free to
    spread around it. ``weight`` (B, T, 1, H, W) says how much each flow counts, by default equally. Zero where no
    motion is known.
    """
    loss = window.new_zeros(())
    if not bool(known.any()):
        return loss
    truth = _at_features(model, flow[known])
    counts = torch.ones_like(truth[:, :, :1]) if weight is None else _weight_at_features(model, weight[known])
    for level in range(model.config.levels):
        frames = offsets[f"pcd_align.dcn_pack.l{level + 1}.conv_offset"]
        for t, offset in enumerate(frames):
            if t == model.config.reference:
                continue
            mean = _displacements(offset[known]).mean(dim=1)
            distance = _distance(mean, *_at_level(truth[:, t], counts[:, t], level))
            loss = loss + 2**level * distance / (len(frames) - 1)
    return loss


@contextmanager
def recorded_offsets(model: EDVR) -> Iterator[dict[str, list[Tensor]]]:
    """Collect the output of every ``conv_offset``: by its name, one (B, 3·G·K, h, w) per frame."""
    found: dict[str, list[Tensor]] = {}
    hooks = []
    for name, module in model.named_modules():
        if name.endswith("conv_offset"):
            keep = found.setdefault(name, [])
            hooks.append(module.register_forward_hook(lambda _m, _i, output, keep=keep: keep.append(output)))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def mean_offset(offsets: dict[str, list[Tensor]]) -> float:
    """Mean |offset| in pixels over everything recorded, which the divergence guard watches."""
    parts = [_displacements(o.detach()).abs().mean() for frames in offsets.values() for o in frames]
    return float(torch.stack(parts).mean()) if parts else 0.0


@torch.no_grad()
def prepare(model: EDVR, window: Tensor) -> None:
    """Initialize the alignment of a network that does not align yet, so that training it works; nothing else changes.

    window (B, T, 3, H, W) in [0, 1]: a batch to measure features on. The coarser levels become smoothed copies of
    the first, the deformable convolutions plain sampling at the offset, and the offset branches comparisons of
    brightness in time and space, each channel of unit deviation.
    """
    config = model.config
    C, reference = config.features, config.reference
    for name in ("l2", "l3") if config.levels == 3 else ():
        _centered(getattr(model, f"conv_{name}_1"), _BLUR)
        _centered(getattr(model, f"conv_{name}_2"))
    for module in model.modules():
        if isinstance(module, DeformConv):
            # The mask starts at a half: twice the middle tap is then the neighbor's own features, moved.
            module.weight.mul_(0.1)
            module.weight[range(C), range(C), 1, 1] += 2
            module.bias.zero_()
            nn.init.zeros_(module.conv_offset.weight)
            _clear_bias(module.conv_offset)
    for level in range(1, config.levels):
        _centered(_convolution(model, f"pcd_align.feat_conv.l{level}"), inputs=slice(0, C))
    brightness = _like(window.flatten(0, 1), None if not config.hr_in else 4).mean(dim=1, keepdim=True)
    pyramid = _extract(model, window.flatten(0, 1))
    T = config.frames
    offset: Tensor | None = None
    for level in range(config.levels, 0, -1):
        name, features = f"l{level}", pyramid[level - 1]
        frames = features.unflatten(0, (-1, T))
        pairs = torch.cat((frames[:, reference - 1], frames[:, reference]), dim=1)
        first, second = (_convolution(model, f"pcd_align.offset_conv{n}.{name}") for n in (1, 2))
        _compare(first, _direction_of(features, F.avg_pool2d(brightness, 2 ** (level - 1))))
        _unit(first, pairs)
        own = _lrelu(first(pairs))
        inputs = own if offset is None else torch.cat((own, _up(offset) * 2), dim=1)
        _combine(second)
        _unit(second, inputs)
        offset = _lrelu(second(inputs))
        if level < config.levels:
            third = _convolution(model, f"pcd_align.offset_conv3.{name}")
            nn.init.kaiming_normal_(third.weight, a=_SLOPE)
            kept = range(min(3 * _DIRECTIONS, C))
            third.weight[: len(kept)] *= 0.1
            third.weight[kept, kept, 1, 1] += 1
            _clear_bias(third)
            _unit(third, offset)
            offset = _lrelu(third(offset))


def _convolution(model: EDVR, name: str) -> nn.Conv2d:
    module = model.get_submodule(name)
    assert isinstance(module, nn.Conv2d)  # the names above are the network's own
    return module


def _clear_bias(conv: nn.Conv2d) -> None:
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _extract(model: EDVR, frames: Tensor) -> list[Tensor]:
    """:meth:`EDVR.extract` with no gradient to the first level."""
    with torch.no_grad():
        deblurs = model.config.predeblur
        level1 = model.conv_1x1(model.predeblur(frames)) if deblurs else _lrelu(model.conv_first(frames))
        level1 = model.feature_extraction(level1)
    if model.config.levels == 1:
        return [level1]
    level2 = _lrelu(model.conv_l2_2(_lrelu(model.conv_l2_1(level1))))
    return [level1, level2, _lrelu(model.conv_l3_2(_lrelu(model.conv_l3_1(level2))))]


def _offset_features(model: EDVR, neighbor: list[Tensor], reference: list[Tensor]) -> list[Tensor]:
    """What ``conv_offset`` gets at each level, finest first: :meth:`PCDAlignment.align` without its sampling."""
    alignment = model.pcd_align
    found: list[Tensor] = []
    for level in range(len(neighbor), 0, -1):
        name = f"l{level}"
        own = _lrelu(alignment.offset_conv1[name](torch.cat((neighbor[level - 1], reference[level - 1]), dim=1)))
        if not found:
            found.append(_lrelu(alignment.offset_conv2[name](own)))
            continue
        both = torch.cat((own, _up(found[0]) * 2), dim=1)
        found.insert(0, _lrelu(alignment.offset_conv3[name](_lrelu(alignment.offset_conv2[name](both)))))
    return found


def _direction_of(features: Tensor, brightness: Tensor) -> Tensor:
    """The combination (C,) of feature channels that is closest to brightness, by ridge regression."""
    x = features.permute(0, 2, 3, 1).flatten(0, 2).float()
    x, y = x - x.mean(dim=0), brightness.flatten() - brightness.mean()
    ridge = 1e-3 * len(x) * x.var() * torch.eye(x.shape[1], device=x.device)
    return torch.linalg.solve(x.T @ x + ridge, x.T @ y)


def _compare(conv: nn.Conv2d, direction: Tensor) -> None:
    """Sums and differences of the change from reference to neighbor and of the slope, along four directions.

    |a + b| − |a − b| is 2 sign(a b) min(|a|, |b|): with these and a LeakyReLU, the next convolution has a robust
    product of change and slope, the numerator of every gradient-based motion estimate. Half of the channels.
    """
    C = conv.weight.shape[1] // 2
    nn.init.kaiming_normal_(conv.weight, a=_SLOPE)
    _clear_bias(conv)
    half = conv.weight.shape[0] // 2
    conv.weight[:half, C:] = -conv.weight[:half, :C]  # the others, too, begin as differences and as means
    conv.weight[half:, C:] = conv.weight[half:, :C]
    change = direction.view(C, 1, 1) * _BLUR.to(direction)
    across, diagonal = _ACROSS.to(direction), _DIAGONAL.to(direction)
    for n, slope in enumerate((across, across.T, diagonal, diagonal.flip(1))):
        for m, (a, b) in enumerate(((1, 1), (-1, -1), (1, -1), (-1, 1))):
            row = 4 * n + m
            if row < conv.weight.shape[0]:
                space = b * direction.view(C, 1, 1) * slope / 2
                conv.weight[row, :C] = a * change + space
                conv.weight[row, C:] = -a * change + space


def _combine(conv: nn.Conv2d) -> None:
    """The products of :func:`_compare`, of both signs, and their size, smoothed: three quarters of 16 channels."""
    nn.init.kaiming_normal_(conv.weight, a=_SLOPE)
    _clear_bias(conv)
    conv.weight[: 3 * _DIRECTIONS] *= 0.1
    blur = _BLUR.to(conv.weight)
    for n in range(_DIRECTIONS):
        for row, signs in (
            (n, (1, 1, -1, -1)),
            (_DIRECTIONS + n, (-1, -1, 1, 1)),
            (2 * _DIRECTIONS + n, (1, 1, 1, 1)),
        ):
            for m, sign in enumerate(signs):
                if row < conv.weight.shape[0] and 4 * n + m < conv.weight.shape[1]:
                    conv.weight[row, 4 * n + m] = sign * blur


def _centered(conv: nn.Conv2d, kernel: Tensor | None = None, *, inputs: slice = slice(None)) -> None:
    """Near to ``kernel`` (default: the identity) on each channel, with a little of the random start left."""
    conv.weight.mul_(0.15)
    _clear_bias(conv)
    channels = range(conv.weight.shape[0])
    part = conv.weight[:, inputs]
    if kernel is None:
        part[channels, channels, 1, 1] += 1
    else:
        part[channels, channels] += kernel.to(part)


def _unit(conv: nn.Conv2d, inputs: Tensor) -> None:
    """Scale every output channel to unit deviation on ``inputs``; one that hardly varies is not amplified."""
    deviation = conv(inputs).std(dim=(0, 2, 3))
    conv.weight.div_(torch.maximum(deviation, 0.1 * deviation.mean()).view(-1, 1, 1, 1))


def _displacements(packed: Tensor) -> Tensor:
    """(B, 3·G·K, h, w) → offsets (B, G·K, 2, h, w), float32."""
    return packed[:, : packed.shape[1] // 3 * 2].float().unflatten(1, (-1, 2))


def _distance(offset: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean distance in pixels of the level; offset and truth (P, 2, h, w), weight (P, 1, h, w)."""
    distance = ((offset - truth).square().sum(dim=1, keepdim=True) + 1e-4).sqrt()
    return (distance * weight).sum() / weight.sum().clamp(min=1e-6)  # no weight: no loss


def _at_level(flow: Tensor, weight: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """Flow and its weight on a coarser level, in that level's pixels."""
    size = 2**level
    return F.avg_pool2d(flow, size) / size, F.avg_pool2d(weight, size)


def _at_features(model: EDVR, flow: Tensor) -> Tensor:
    """Flow (B, T, 2, H, W) in the first level's pixels: those of the input, or four times as large when ``hr_in``."""
    if not model.config.hr_in:
        return flow
    return F.avg_pool2d(flow.flatten(0, 1), 4).unflatten(0, flow.shape[:2]) / 4


def _weight_at_features(model: EDVR, weight: Tensor) -> Tensor:
    """The weight (B, T, 1, H, W) of a flow at the size of the first level."""
    return F.avg_pool2d(weight.flatten(0, 1), 4).unflatten(0, weight.shape[:2]) if model.config.hr_in else weight


def texture(frame: Tensor) -> Tensor:
    """How much motion shows at each pixel of (B, 3, h, w): (B, 1, h, w), 0.05 on flat ground to about 1."""
    y = F.pad(frame.float().mean(dim=1, keepdim=True), (0, 1, 0, 1), mode="replicate")
    slope = (y[..., 1:, :-1] - y[..., :-1, :-1]).square() + (y[..., :-1, 1:] - y[..., :-1, :-1]).square()
    contrast = F.avg_pool2d(slope, 5, stride=1, padding=2).sqrt()
    return contrast / (contrast + _FLAT) + 0.05


def _like(frames: Tensor, other: Tensor | int | None) -> Tensor:
    """Frames at the size of the features: a quarter where the network brings them down itself."""
    factor = other if isinstance(other, int) else 1 if other is None else frames.shape[-1] // other.shape[-1]
    return F.avg_pool2d(frames, factor) if factor > 1 else frames


def _repeated(maps: Tensor, times: int) -> Tensor:
    """(B, ...) → (B · times, ...), each ``times`` in a row."""
    return maps.repeat_interleave(times, dim=0)


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
