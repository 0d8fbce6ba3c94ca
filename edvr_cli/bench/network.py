"""The network alone: as published and as the engine runs it, the work it is made of, and the floor under it."""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import cycle
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.bench.hardware import Rates, Timing, peak_memory, reset_peak_memory, seconds, wait
from edvr_cli.edvr import EDVR, DeformConv, EDVRConfig
from edvr_cli.engine import PARTS, StreamingEDVR
from edvr_cli.ops.deform_conv import deform_conv2d_packed_reference, split_packed
from edvr_cli.precision import Precision
from edvr_cli.window import Window, windows

__all__ = ["EngineResult", "NetworkResult", "PublishedResult", "clip", "random_network", "time_network"]

_SAMPLE = 64  # side of the frame that work is counted on
_MOST_ROUNDS, _PART_ROUNDS = 9, 3


@dataclass(frozen=True)
class PublishedResult:
    """A whole window for every frame, NCHW, fp32, with the named deformable op; ``time`` None: ``why_not``."""

    op: str
    flops: float
    time: Timing | None
    memory: int | None = None
    why_not: str = ""


@dataclass(frozen=True)
class EngineResult:
    """The engine at one precision, per frame of a running clip.

    ``flops`` and ``bytes`` are what direct convolutions that each read and write their maps once would take.
    ``floor`` is the longer of the two at the hardware's rates, in seconds: computing less (Winograd) or writing
    less (fusing) may go below it. ``parts`` are medians of seconds. ``time`` None: ``why_not``.
    """

    precision: Precision
    flops: float
    bytes: float
    floor: float
    time: Timing | None
    parts: dict[str, float]
    memory: int | None = None
    tile: int = 0
    why_not: str = ""


@dataclass(frozen=True)
class NetworkResult:
    """Both forms in one run, taking turns."""

    published: PublishedResult
    engines: list[EngineResult]


def random_network(config: EDVRConfig) -> EDVR:
    """A network whose deformable convolutions sample a pixel or two away, differently at each pixel."""
    torch.manual_seed(0)
    model = EDVR(config).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, DeformConv):
            nn.init.normal_(module.conv_offset.weight, std=0.02)
            assert module.conv_offset.bias is not None
            nn.init.normal_(module.conv_offset.bias)
    return model


def clip(count: int, width: int, height: int) -> list[Tensor]:
    """Frames (3, H, W) in [0, 1]: a smooth picture that moves by a pixel a frame, with fixed noise on it."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, -(-height // 16) + 1, -(-(width + count) // 16) + 1, generator=generator)
    scene = F.interpolate(coarse, scale_factor=16, mode="bicubic")[0, :, :height].clamp(0, 1)
    noise = torch.rand(3, height, width, generator=generator) * 0.1
    return [(scene[:, :, n : n + width] * 0.9 + noise).contiguous() for n in range(count)]


def time_network(
    model: EDVR, width: int, height: int, precisions: Sequence[Precision], rates: Rates, *, budget: float
) -> NetworkResult:
    """Time both forms of ``model`` on frames of ``width`` × ``height``; ``budget`` as for ``bench``."""
    device = next(model.parameters()).device
    config = model.config
    run = cycle(_windows(model, width, height))
    whole, op = _published(model)
    scale_up = width * height / _SAMPLE**2
    published_flops = _count(whole, lambda: whole(torch.zeros(1, config.frames, 3, _SAMPLE, _SAMPLE, device=device)))[0]
    published_flops *= scale_up
    contestants: dict[str, Callable[[], object]] = {}
    published_rate = rates.product.get("fp32") or max(rates.product.values())
    reasons = {"published": _too_slow(published_flops / published_rate, budget)}
    if not reasons["published"]:

        def as_published() -> None:
            whole(torch.stack(next(run).frames)[None].to(device))

        contestants["published"] = as_published

    work: dict[str, tuple[float, float]] = {}
    engines: dict[str, StreamingEDVR] = {}
    for precision in precisions:
        engine = engines[precision] = StreamingEDVR(copy.deepcopy(model), precision=precision)
        flops, moved = _engine_work(engine)
        work[precision] = flops * scale_up, moved * scale_up
        reasons[precision] = _too_slow(work[precision][0] / rates.product[precision], budget)
        if not reasons[precision]:
            engine.prepare(height, width)
            contestants[precision] = lambda engine=engine: engine.restore(next(run))  # type: ignore[misc]

    with torch.inference_mode():
        times, memory = _take_turns(contestants, device, budget, reasons)
        results = []
        for precision in precisions:
            flops, moved = work[precision]
            repeats = times.get(precision)
            results.append(
                EngineResult(
                    precision,
                    flops,
                    moved,
                    max(flops / rates.product[precision], moved / rates.copy),
                    repeats,
                    _time_parts(engines[precision], run, budget) if repeats else {},
                    memory.get(precision),
                    engines[precision].tile_size if repeats else 0,
                    reasons[precision],
                )
            )
    published = PublishedResult(
        op, published_flops, times.get("published"), memory.get("published"), reasons["published"]
    )
    return NetworkResult(published, results)


def _windows(model: EDVR, width: int, height: int) -> list[Window[Tensor]]:
    """Two neighboring windows: in turns, each brings one frame that the other has not."""
    T = model.config.frames
    device = next(model.parameters()).device
    frames = ((frame.to(device), False) for frame in clip(T + 1, width, height))
    inner = [w for w in windows(frames, T, "replicate") if len(set(w.indices)) == T]
    assert len(inner) == 2
    return inner


def _published(model: EDVR) -> tuple[EDVR, str]:
    """A copy of ``model`` as BasicSR runs it, and the name of its deformable op."""
    model = copy.deepcopy(model)
    if find_spec("torchvision") is not None:
        name, op = "torchvision", _torchvision_op
    else:
        name, op = "grid_sample", deform_conv2d_packed_reference
    for module in model.modules():
        if isinstance(module, DeformConv):
            module.forward = partial(_with_op, module, op)  # type: ignore[method-assign]
    return model, name


def _with_op(
    module: DeformConv, op: Callable[..., Tensor], x: Tensor, offset_features: Tensor, negative_slope: float = 1.0
) -> Tensor:
    return op(x, module.conv_offset(offset_features), module.weight, module.bias, negative_slope)


def _torchvision_op(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
    from torchvision.ops import deform_conv2d  # noqa: PLC0415 (not a dependency)

    offset, mask = split_packed(packed, weight.shape[-1])
    return F.leaky_relu(deform_conv2d(x, offset, weight, bias, padding=1, mask=mask.sigmoid()), slope)


def _engine_work(engine: StreamingEDVR) -> tuple[float, float]:
    """FLOPs and bytes of one frame of ``_SAMPLE``² pixels, all but one of its window being known."""
    first, second = _windows(engine.model, _SAMPLE, _SAMPLE)
    engine.prepare(_SAMPLE, _SAMPLE)
    engine.restore(first)
    network = nn.ModuleList(dict.fromkeys(engine.modules()))
    return _count(network, lambda: engine.restore(second))


@torch.inference_mode()
def _count(network: nn.Module, work: Callable[[], object]) -> tuple[float, float]:
    """FLOPs and bytes of the convolutions of ``network`` in ``work``: each reads and writes its maps once."""
    flops = moved = 0.0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        nonlocal flops, moved
        taps = module.kernel_size[0] ** 2 if isinstance(module, nn.Conv2d) else 9
        flops += 2.0 * y.numel() * taps * inputs[0].shape[1]
        maps = (*(x for x in inputs if isinstance(x, Tensor)), y)
        moved += sum(x.numel() * x.element_size() for x in maps)

    kinds = nn.Conv2d, DeformConv, *_stand_ins()
    handles = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, kinds)]
    try:
        work()
    finally:
        for handle in handles:
            handle.remove()
    return flops, moved


def _stand_ins() -> tuple[type[nn.Module], ...]:
    if find_spec("numba") is None:
        return ()
    from edvr_cli.ops.winograd_cpu import WinogradConv2d  # noqa: PLC0415 (numba is optional)

    return (WinogradConv2d,)


def _too_slow(estimate: float, budget: float) -> str:
    return f"would take some {estimate:.0f} s a frame" if estimate > budget else ""


def _take_turns(
    contestants: dict[str, Callable[[], object]], device: torch.device, budget: float, reasons: dict[str, str]
) -> tuple[dict[str, Timing], dict[str, int | None]]:
    """Times and memory peaks, by name. Who runs out of memory drops out, with the reason in ``reasons``."""
    memory: dict[str, int | None] = {}
    for name, work in list(contestants.items()):
        reset_peak_memory(device)
        try:
            work()  # compiles, tunes, allocates: not timed
        except torch.OutOfMemoryError:
            reasons[name] = "out of memory"
            del contestants[name]
            continue
        memory[name] = peak_memory(device)
    repeats: dict[str, list[float]] = {name: [] for name in contestants}
    spent = 0.0
    for _ in range(_MOST_ROUNDS):
        for name, work in contestants.items():
            repeats[name].append(seconds(work, device))
            spent += repeats[name][-1]
        if spent > budget:
            break
    return {name: Timing(tuple(times)) for name, times in repeats.items()}, memory


def _time_parts(engine: StreamingEDVR, run: Iterator[Window[Tensor]], budget: float) -> dict[str, float]:
    """Medians of seconds a frame, by part. It waits for the device between parts, so this is no part of the race."""
    rounds: dict[str, list[float]] = {name: [] for name in PARTS}

    @contextmanager
    def part(name: str) -> Iterator[None]:
        wait(engine.device)
        start = time.perf_counter()
        yield
        wait(engine.device)
        rounds[name][-1] += time.perf_counter() - start  # a tiled frame comes here once a tile

    engine.part = part
    spent = 0.0
    while spent < budget / 2 and len(rounds[PARTS[0]]) < _PART_ROUNDS:
        for times in rounds.values():
            times.append(0.0)
        spent += seconds(lambda: engine.restore(next(run)), engine.device)
    return {name: median(times) for name, times in rounds.items()}
