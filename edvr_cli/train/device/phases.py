"""Phases of training on one device, each with its network, data and rate, within a given number of seconds.

Shapes: B samples, T frames, h w input pixels.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.edvr import EDVR, ResBlock
from edvr_cli.train.device.optimizer import StackedOptimizer
from edvr_cli.train.device.pool import Pool
from edvr_cli.train.device.sampler import DeviceBatch, Sampler
from edvr_cli.weights import load_model, save_model

__all__ = ["Phase", "run_phases", "validate"]

_EPSILON = 1e-3  # of the Charbonnier loss
_LOOK_EVERY = 25  # steps between two looks at the loss
_EXPLODED = 3.0  # times the usual loss that sends a phase back to its last good weights
_TRUNKS = ("feature_extraction.", "reconstruction.")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Phase:
    """What one phase trains."""

    name: str
    start: str  # a model file, or the name of an earlier phase, whose last weights are gone on from
    seconds: float
    rate: float = 5e-4
    trunk_rate: float = 1.0  # factor of the rate for the residual blocks
    schedule: Literal["constant", "cosine"] = "cosine"
    optimizer: Literal["muon", "adam"] = "muon"
    degraded: float = 0.0  # share of compressed samples
    supervision: float = 0.0  # weight of the offsets' distance from the known motion, fading to nothing
    taught: float = 0.0  # weight of the teacher's frames as target, of one; the truth has the rest
    sharpen: float = 0.0  # strength of an unsharp mask on the truth
    batch: int = 16
    patch: int = 64
    average: float = 0.998  # of the weights, per step
    warm_up: int = 50  # steps
    keep: bool = True  # whether the average is written
    steps: int = 0  # for a dry run: so many steps instead of the time


def run_phases(
    phases: Sequence[Phase],
    pool: Pool,
    folder: Path,
    *,
    validation: Pool | None = None,
    seed: int = 0,
    fuse: bool = False,
    say: Say = print,
) -> None:
    """Train every phase in turn and write its averaged weights to ``folder`` as ``<name>.safetensors``.

    ``fuse`` compiles the residual blocks, which takes about half a minute and pays in longer runs. Raises ModelError
    for a start that is no EDVR network.
    """
    device = pool.truth.device
    ended: dict[str, EDVR] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for number, phase in enumerate(phases):
        model = copy.deepcopy(ended[phase.start]) if phase.start in ended else load_model(phase.start, device)
        generator = torch.Generator(device).manual_seed(seed * 1000 + number)
        sampler = Sampler(
            pool, generator, frames=model.config.frames, batch=phase.batch, patch=phase.patch,
            degraded=phase.degraded, taught=phase.taught > 0, motion=phase.supervision > 0,
        )  # fmt: skip
        trainer = _Trainer(phase, model, sampler, fuse=fuse, say=say)
        average = trainer.run()
        ended[phase.name] = model.cpu()
        if phase.keep:
            save_model(average, folder / f"{phase.name}.safetensors", name=phase.name, task="sr")
        if validation is not None:
            say(f"{phase.name}: {validate(average, validation)}")
        del trainer, average


@torch.no_grad()
def validate(model: EDVR, pool: Pool, *, most: int = 6) -> dict[str, float]:
    """PSNR of the luma in dB, mean of a few frames: clean, with copies of the frame, and per version."""
    model = model.eval()
    T, middle = model.config.frames, model.config.reference
    starts = [shot.first + n for shot in pool.shots for n in range(0, shot.length - T + 1, max(1, shot.length // most))]
    index = torch.tensor([[start + t for t in range(T)] for start in starts], device=pool.truth.device)
    found: dict[str, float] = {}
    for number, version in enumerate(pool.versions):
        ways = {"clean": index, "copies": index[:, middle, None].expand_as(index)} if number == 0 else {"": index}
        for label, chosen in ways.items():
            scores = []
            for row, of_truth in zip(chosen, index[:, middle], strict=True):
                with torch.autocast(pool.truth.device.type, torch.bfloat16):
                    output, _ = _restore(model, version[row][None].float() / 255)
                restored = (output[0].float() * 255).round().clamp(0, 255)
                scores.append(_luma_psnr(restored, pool.truth[of_truth].float()))
            found[label or f"version {number}"] = round(float(torch.stack(scores).mean()), 3)
    return found


@dataclass
class _Trainer:
    phase: Phase
    model: EDVR
    sampler: Sampler
    fuse: bool
    say: Say
    offsets: dict[str, Tensor] = field(default_factory=dict)

    def run(self) -> EDVR:
        """Train for the phase's time; returns the averaged network, and leaves the last weights in ``model``."""
        phase, model = self.phase, self.model.train().requires_grad_(True)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.fuse:
            _fuse_blocks(model)
        factors = {p: phase.trunk_rate if name.startswith(_TRUNKS) else 1.0 for name, p in model.named_parameters()}
        optimizer = StackedOptimizer(factors, kind=phase.optimizer)
        mean = [p.detach().clone() for p in model.parameters()]
        good, usual, slow_down = [p.detach().clone() for p in model.parameters()], math.inf, 1.0
        began, step, seen, losses = time.perf_counter(), 0, 0, torch.zeros(2, device=mean[0].device)
        while True:
            done = step / phase.steps if phase.steps else (time.perf_counter() - began) / phase.seconds
            if done >= 1:
                break
            batch = self.sampler.draw()
            total, loss, offset = self._loss(batch, done)
            total.backward()
            optimizer.step(self._rate(step, done) * slow_down)
            step += 1
            torch._foreach_lerp_(
                mean, [p.detach() for p in model.parameters()], 1 - min(phase.average, step / (step + 9))
            )
            losses += torch.stack((loss.detach(), offset.detach()))
            if step % _LOOK_EVERY:
                continue
            now, pixels = (losses / (step - seen)).tolist()
            self.say(
                f"{phase.name} {step:6d}  {time.perf_counter() - began:6.1f} s  loss {now:.5f}  offset {pixels:.2f}  "
                f"refused {int(optimizer.refused)}"
            )
            if not now < _EXPLODED * usual:
                self.say(f"{phase.name}: the loss is {now / usual:.1f} times the usual; back to the last good weights")
                torch._foreach_copy_([p.data for p in model.parameters()], good)
                torch._foreach_copy_(mean, good)
                slow_down /= 2
            elif now < 1.3 * usual:
                torch._foreach_copy_(good, [p.data for p in model.parameters()])
                usual = now if math.isinf(usual) else 0.8 * usual + 0.2 * now
            losses.zero_()
            seen = step
        _unfuse_blocks(model)
        seconds = time.perf_counter() - began
        self.say(f"{phase.name}: {step} steps, {step * phase.batch / seconds:.1f} samples per second")
        average = copy.deepcopy(model)
        torch._foreach_copy_([p.data for p in average.parameters()], mean)
        return average.requires_grad_(False).eval()

    def _loss(self, batch: DeviceBatch, done: float) -> tuple[Tensor, Tensor, Tensor]:
        """What is descended, the restoration's part of it, and the mean |offset| in pixels."""
        phase = self.phase
        truth = _sharpened(batch.truth, phase.sharpen) if phase.sharpen else batch.truth
        with torch.autocast(batch.window.device.type, torch.bfloat16):
            output, offsets = _restore(self.model, batch.window)
        loss = _charbonnier(output, truth)
        if batch.taught is not None:
            loss = loss.lerp(_charbonnier(output, batch.taught), phase.taught)
        size = torch.stack([_displacement(o).abs().mean() for o in offsets.values()]).mean()
        total, weight = loss, phase.supervision * (1 - done)
        if weight > 0 and batch.flow is not None:
            total = total + weight * _offset_distance(offsets, batch.window, batch.flow)
        return total, loss, size

    def _rate(self, step: int, done: float) -> float:
        phase = self.phase
        shape = 1.0 if phase.schedule == "constant" else 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2
        return phase.rate * shape * min(1.0, (step + 1) / phase.warm_up)


def _restore(model: EDVR, window: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """:meth:`EDVR.forward` with all frames aligned at once, and the raw offsets (B·T, 3·G·K, h, w) of each level."""
    B, T = window.shape[:2]
    found: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(f"pcd_align.dcn_pack.{name}.conv_offset").register_forward_hook(
            lambda _m, _i, output, name=name: found.__setitem__(name, output)
        )
        for name in model.pcd_align.dcn_pack
    ]
    try:
        frames = window.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        pyramid = model.extract(frames)
        reference = [
            level.unflatten(0, (B, T))[:, model.config.reference].repeat_interleave(T, dim=0) for level in pyramid
        ]
        aligned = model.pcd_align(pyramid, reference)
    finally:
        for hook in hooks:
            hook.remove()
    return model.rebuild(model.fuse(aligned.unflatten(0, (B, T))), window[:, model.config.reference]), found


def _displacement(packed: Tensor) -> Tensor:
    """(N, 3·G·K, h, w) → the mean displacement (N, 2, h, w) over groups and taps, (dy, dx), float32."""
    return packed[:, : packed.shape[1] // 3 * 2].float().unflatten(1, (-1, 2)).mean(dim=1)


def _offset_distance(offsets: dict[str, Tensor], window: Tensor, flow: Tensor) -> Tensor:
    """Mean distance of the offsets from the known motion in full-size pixels, summed over the levels.

    A pixel counts where the motion is known, and by how much better moving the neighbor by it explains the reference
    than leaving it: occlusions and flat ground do not count.
    """
    weight = _usefulness(window, flow).flatten(0, 1)
    known = flow.nan_to_num().flatten(0, 1)
    total = window.new_zeros(())
    for name, packed in offsets.items():
        level = int(name[1:]) - 1
        size = 2**level
        truth, share = F.avg_pool2d(known, size) / size, F.avg_pool2d(weight, size)
        distance = ((_displacement(packed) - truth).square().sum(dim=1, keepdim=True) + 1e-4).sqrt()
        total = total + size * (distance * share).sum() / (share.sum() + 1.0)
    return total


@torch.no_grad()
def _usefulness(window: Tensor, flow: Tensor) -> Tensor:
    """(B, T, 1, h, w): 0 where the motion is unknown or explains nothing, up to 1 on texture that it explains."""
    B, T, _, h, w = window.shape
    middle = window[:, T // 2, None].expand_as(window).flatten(0, 1)
    frames, motion = window.flatten(0, 1), flow.flatten(0, 1)
    row, column = (torch.arange(n, device=window.device, dtype=torch.float32) + 0.5 for n in (h, w))
    y = (motion[:, 0] + row[:, None]) * (2 / h) - 1
    x = (motion[:, 1] + column) * (2 / w) - 1
    inside = (y.abs() < 1) & (x.abs() < 1)
    grid = torch.stack((x, y), dim=-1).nan_to_num()
    moved = F.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    left = F.avg_pool2d((moved - middle).abs().mean(dim=1, keepdim=True), 5, stride=1, padding=2)
    luma = middle.mean(dim=1, keepdim=True)
    contrast = F.avg_pool2d(luma.square(), 5, stride=1, padding=2) - F.avg_pool2d(luma, 5, stride=1, padding=2).square()
    contrast = contrast.clamp(min=0).sqrt()
    explained = (1 - left / (contrast + 1e-3)).clamp(0, 1)
    known = motion.isfinite().all(dim=1, keepdim=True) & inside[:, None]
    weight = contrast / (contrast + 0.03) * explained * known
    return weight.unflatten(0, (B, T))


def _charbonnier(output: Tensor, truth: Tensor) -> Tensor:
    return ((output.float() - truth).square() + _EPSILON**2).sqrt().mean()


def _sharpened(truth: Tensor, strength: float) -> Tensor:
    """``truth`` (B, 3, H, W) with an unsharp mask of 3 pixels' deviation added ``strength`` times."""
    at = torch.arange(-9, 10, device=truth.device, dtype=torch.float32)
    kernel = torch.exp(-at.square() / (2 * 3.0**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 19)
    soft = F.conv2d(F.pad(truth, (9, 9, 9, 9), mode="reflect"), kernel[..., None], groups=3)
    soft = F.conv2d(soft, kernel[:, :, None], groups=3)
    return (truth + strength * (truth - soft)).clamp(0, 1)


def _luma_psnr(restored: Tensor, truth: Tensor) -> Tensor:
    weights = torch.tensor([65.481, 128.553, 24.966], device=truth.device).view(3, 1, 1) / 255
    error = ((restored - truth) * weights).sum(dim=0)[8:-8, 8:-8].square().mean()
    return 10 * torch.log10(255**2 / error)


def _fuse_blocks(model: EDVR) -> None:
    for blocks in (model.feature_extraction, model.reconstruction):
        for block in blocks:
            block.forward = _compiled_block.__get__(block)


def _unfuse_blocks(model: EDVR) -> None:
    for module in model.modules():
        vars(module).pop("forward", None)


def _block(x: Tensor, weight1: Tensor, bias1: Tensor | None, weight2: Tensor, bias2: Tensor | None) -> Tensor:
    y = F.relu(F.conv2d(x, weight1, bias1, padding=1))
    return x + F.conv2d(y, weight2, bias2, padding=1)


@lru_cache
def _compiled() -> Callable[..., Tensor]:
    """:func:`_block` in one piece; made on first use, since compilers take seconds to import."""
    return torch.compile(_block, dynamic=False)


def _compiled_block(block: ResBlock, x: Tensor) -> Tensor:
    first, second = block.conv1, block.conv2
    return _compiled()(x, first.weight, first.bias, second.weight, second.bias)
