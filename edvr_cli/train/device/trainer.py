"""One phase of training on the device: its steps, rollback when the loss rises, and the average of its weights."""

import copy
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from edvr_cli.network.edvr import EDVR
from edvr_cli.ops.selftest import check_gradients
from edvr_cli.system.hardware import multiplies_bfloat16
from edvr_cli.train.device.leak import leak
from edvr_cli.train.device.objective import displacement, offset_distance, restore_singles, restore_windows, sharpen
from edvr_cli.train.device.optimizer import StackedOptimizer
from edvr_cli.train.device.phase import Phase
from edvr_cli.train.device.sampler import DeviceBatch, Sampler
from edvr_cli.train.divergence_guard import DivergenceGuard, StepStats
from edvr_cli.train.objective import charbonnier, relative_loss

__all__ = ["train_phase"]

_LOOK_EVERY = 25  # steps between checks of the loss
_SPIKE = 3.0  # times the usual loss at which a phase goes back to earlier weights
_MAX_OFFSET = 50.0  # pixels, mean; the same happens beyond: a loss can look usual while alignment is lost
_TRUSTED = 4  # looks that tell what is usual
_KEPT = 4  # weights of so many looks: where the last ones have begun to lose the alignment, earlier ones have not
_WARM_UP = 4  # steps before one is recorded
_SAME = 0.02  # relative difference of losses up to which a recording counts as correct
_TRUNKS = ("feature_extraction.", "reconstruction.")


def train_phase(
    phase: Phase,
    model: EDVR,
    sampler: Sampler,
    *,
    record: bool = False,
    say: Callable[[str], None],
    keep: Callable[[EDVR], None] = lambda average: None,
) -> EDVR:
    """Train ``model`` for the phase's seconds and leave its last weights in it; returns the averaged network.

    ``keep`` is given the average so far every ``phase.keep_every`` seconds. ``record``: on a GPU, record a step once
    and replay it.
    """
    model.train().requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    leak(model, phase.leak)
    device = sampler.pool.truth.device
    dtype = torch.bfloat16 if multiplies_bfloat16(device) else torch.float32
    check_gradients(device, dtype, model.config.features, model.config.groups)
    steps = _Steps(phase, model, sampler)
    with _own_stream(device):
        _train(steps, record, say, keep)
    leak(model, 0.0)
    return steps.averaged()


def _train(steps: "_Steps", record: bool, say: Callable[[str], None], keep: Callable[[EDVR], None]) -> None:
    phase, model, step = steps.phase, steps.model, steps.run
    guard = DivergenceGuard(_MAX_OFFSET, _SPIKE, _TRUSTED)
    good = deque([_copied(model)], maxlen=_KEPT)
    began, count, seen = time.perf_counter(), 0, 0
    kept = began
    while True:
        done = count / phase.steps if phase.steps else (time.perf_counter() - began) / phase.seconds
        if done >= 1:
            break
        steps.prepare(count, done)
        if record and count == _WARM_UP:
            step = _recorded(steps, say)
        step()
        count += 1
        if count % _LOOK_EVERY:
            continue
        loss, pixels = (steps.losses / (count - seen)).tolist()
        say(
            f"{phase.name} {count:6d}  {time.perf_counter() - began:6.1f} s  loss {loss:.5f}  offset {pixels:.2f}  "
            f"refused {int(steps.optimizer.refused)}"
        )
        reading = StepStats(loss, pixels)
        if objection := guard.reason_to_reject(reading):
            say(f"{phase.name}: {objection}; back to earlier weights")
            # Further back each time, until the first that are kept.
            steps.go_back(good.pop() if len(good) > 1 else good[0])
        else:
            guard.add(reading)
            good.append(_copied(model))
        steps.losses.zero_()
        seen = count
        if phase.keep_every and time.perf_counter() - kept > phase.keep_every:
            keep(steps.averaged())
            kept = time.perf_counter()
    seconds = time.perf_counter() - began
    say(f"{phase.name}: {count} steps, {count * (phase.batch + phase.singles) / seconds:.1f} samples per second")


def _copied(model: EDVR) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


@contextmanager
def _own_stream(device: torch.device) -> Iterator[None]:
    """Work on a stream other than the default one, which no graph can be recorded on."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize(device)
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.Stream(device)):
        yield
    torch.cuda.synchronize(device)


class _Steps:
    """The steps of a phase. All that changes from step to step lies on the device, so that one can be recorded."""

    def __init__(self, phase: Phase, model: EDVR, sampler: Sampler) -> None:
        self.phase, self.model, self.sampler = phase, model, sampler
        self.singles = replace(sampler, frames=1, batch=phase.singles, motion=False) if phase.singles else None
        factors = {
            p: (phase.trunk_rate if name.startswith(_TRUNKS) else 1.0) * (phase.bias_rate if p.dim() == 1 else 1.0)
            for name, p in model.named_parameters()
        }
        self.optimizer = StackedOptimizer(factors, kind=phase.optimizer)
        self.parameters = list(model.parameters())
        self.average = _copied(model)
        device = self.parameters[0].device
        self.losses = torch.zeros(2, device=device)  # sums since the last look: loss, mean |offset|
        self.rate, self.supervision, self.share = (torch.zeros((), device=device) for _ in range(3))
        self.slowness = 1.0

    def prepare(self, count: int, done: float) -> None:
        """Set the rate and weights for step ``count``; ``done`` is the share of the phase that is over."""
        phase = self.phase
        shape = 1.0 if phase.schedule == "constant" else 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2
        self.rate.fill_(phase.rate * self.slowness * shape * min(1.0, (count + 1) / phase.warm_up))
        self.supervision.fill_(phase.supervision * (1 - done))
        self.share.fill_(1 - min(phase.average, (count + 1) / (count + 10)))

    def run(self) -> None:
        """One step."""
        total, loss, offset = self.loss()
        total.backward()
        self.optimizer.step(self.rate)
        change = torch._foreach_sub([p.detach() for p in self.parameters], self.average)
        torch._foreach_mul_(change, self.share)
        torch._foreach_add_(self.average, change)
        self.losses += torch.stack((loss.detach(), offset.detach()))

    def averaged(self) -> EDVR:
        """A new network with the average of the weights so far."""
        average = copy.deepcopy(self.model)
        leak(average, 0.0)
        torch._foreach_copy_([p.data for p in average.parameters()], self.average)
        return average.requires_grad_(False).eval()

    def renew_generator(self) -> None:
        """Draw from a new generator, where recording has spoiled the one in use."""
        fresh = torch.Generator(self.losses.device).manual_seed(self.sampler.generator.seed())
        for sampler in filter(None, (self.sampler, self.singles)):
            sampler.generator = fresh

    def go_back(self, good: list[Tensor]) -> None:
        """Return to ``good`` weights and continue at half the rate, without the momentum that led away."""
        torch._foreach_copy_([p.data for p in self.parameters], good)
        torch._foreach_copy_(self.average, good)
        self.optimizer.forget()
        self.slowness /= 2

    def loss(self) -> tuple[Tensor, Tensor, Tensor]:
        """The next samples: the loss to minimize, the restoration's part of it, and the mean |offset| in pixels."""
        phase, batch = self.phase, self.sampler.draw()
        with self._autocast():
            output, offsets = restore_windows(self.model, batch.window)
        losses, nothing = self._distances(output.float(), batch)
        if self.singles is not None:
            single = self.singles.draw()
            with self._autocast():
                output = restore_singles(self.model, single.window[:, 0])
            more = self._distances(output.float(), single)
            losses, nothing = torch.cat((losses, more[0])), torch.cat((nothing, more[1]))
        loss = losses.mean()
        size = torch.stack([displacement(o).abs().mean() for o in offsets.values()]).mean()
        total = relative_loss(losses, nothing, phase.slight) if phase.relative else loss
        if phase.supervision and batch.flow is not None:
            total = total + self.supervision * offset_distance(offsets, batch.window, batch.flow)
        return total, loss, size

    def _distances(self, output: Tensor, batch: DeviceBatch) -> tuple[Tensor, Tensor]:
        """Of each sample (B,): the distance of ``output`` from its targets, and, where it counts, the input's."""
        phase = self.phase
        truth = sharpen(batch.truth, phase.sharpen) if phase.sharpen else batch.truth
        losses = charbonnier(output, truth)
        nothing = charbonnier(batch.window[:, batch.window.shape[1] // 2], truth) if phase.relative else losses
        if batch.taught is not None:
            losses = losses.lerp(charbonnier(output, batch.taught), phase.taught)
        return losses, nothing

    def _autocast(self) -> torch.autocast:
        device = self.losses.device
        return torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device))


def _recorded(steps: _Steps, say: Callable[[str], None]) -> Callable[[], None]:
    """A step that replays a recording of one on the GPU: hundreds of launches become one.

    The host of a fast GPU takes twice as long to launch a step as the GPU to compute it. Steps run one by one where
    recording fails.
    """
    if steps.losses.device.type != "cuda":
        return steps.run
    graph = torch.cuda.CUDAGraph()
    try:
        graph.register_generator_state(steps.sampler.generator)
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            steps.run()
        if reason := _why_not_replayed(graph, steps):
            raise RuntimeError(reason)
    except RuntimeError as error:
        say(f"steps run one by one, since recording one failed: {error}")
        steps.renew_generator()
        return steps.run
    return graph.replay


def _why_not_replayed(graph: torch.cuda.CUDAGraph, steps: _Steps) -> str | None:
    """Why replaying ``graph`` is not the same as running steps, or None; the weights do not change.

    An operation that starts its kernels on a stream of its own is silently left out of a recording.
    """
    rate = steps.rate.clone()
    steps.rate.zero_()
    state = steps.sampler.generator.get_state()
    run = float(steps.loss()[1].detach())  # with gradients: other kernels compute without
    steps.sampler.generator.set_state(state)
    replayed = []
    for _ in range(2):
        before = float(steps.losses[0])
        graph.replay()
        replayed.append(float(steps.losses[0]) - before)
    steps.rate.copy_(rate)
    if not abs(replayed[0] - run) < _SAME * run:
        return f"its loss is {replayed[0]:.5f} where a step that is run has {run:.5f}"
    return "it draws the same samples each time" if replayed[0] == replayed[1] else None
