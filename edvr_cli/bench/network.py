"""Speed of the network: as published and in the engine, measured in turns, and the lower bound."""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.bench.flops import WorkCount, count_work
from edvr_cli.bench.hardware import Rates, Repeats, peak_memory, seconds, wait
from edvr_cli.bench.published import published_form
from edvr_cli.inference.engine import STAGES, StreamingEDVR
from edvr_cli.inference.options import InferenceOptions, Precision
from edvr_cli.inference.precision import dtype_for, name_of
from edvr_cli.network.edvr import EDVR, DeformConv, EDVRConfig
from edvr_cli.network.windows import Window, windows
from edvr_cli.system.gpu_errors import is_out_of_memory

__all__ = ["EngineResult", "NetworkResult", "PublishedResult", "clip", "random_network", "time_network"]

_SAMPLE_SIDE = 64  # side of the frame that work is counted on
_MAX_ROUNDS, _STAGE_ROUNDS = 9, 3
_MIN_SECONDS, _MAX_RUNS = 0.1, 20  # of one turn: a GPU is to be kept busy, not waited for after each frame


@dataclass(frozen=True)
class PublishedResult:
    """A whole window for every frame, NCHW, fp32, with the named deformable op; ``time`` None: ``why_not``.

    ``memory`` is what restoring a frame takes beyond the weights, in bytes; None where nobody counts.
    """

    op: str
    flops: float
    time: Repeats | None
    memory: int | None = None
    why_not: str = ""


@dataclass(frozen=True)
class EngineResult:
    """The engine at one precision, per frame of a running clip.

    ``flops`` and ``bytes`` are what direct convolutions that each read and write their maps once would take.
    ``floor`` is the longer of the two at the hardware's rates, in seconds: computing less (Winograd) or writing
    less (fusing) may go below it. ``parts`` are medians of seconds. ``memory`` is what the first window takes
    beyond the weights, in bytes; None where nobody counts. ``first`` is how many seconds it takes, with the
    compilation where the engine is ``compiled``. ``time`` None: ``why_not``.
    """

    precision: Precision
    flops: float
    bytes: float
    floor: float
    time: Repeats | None
    parts: dict[str, float]
    memory: int | None = None
    tile: int = 0
    why_not: str = ""
    compiled: bool = False
    first: float | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return f"engine, {self.precision}" + (", compiled" if self.compiled else "")


@dataclass(frozen=True)
class NetworkResult:
    """Both forms, measured in turns."""

    published: PublishedResult
    engines: list[EngineResult]


_Form = tuple[Precision, bool]  # and whether it is compiled


@dataclass
class _Candidate:
    """A form to be measured; ``run`` restores the next ``frames`` frames."""

    work: WorkCount
    run: Callable[[], object]
    frames: int = 1
    why_not: str = ""
    memory: int | None = None
    first: float | None = None
    repeats: tuple[float, ...] = ()

    @property
    def time(self) -> Repeats | None:
        return Repeats(self.repeats) if self.repeats else None


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
    """Frames (3, H, W) in [0, 1]: a smooth picture that moves by one pixel per frame, with fixed noise on it."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, -(-height // 16) + 1, -(-(width + count) // 16) + 1, generator=generator)
    scene = F.interpolate(coarse, scale_factor=16, mode="bicubic")[0, :, :height].clamp(0, 1)
    noise = torch.rand(3, height, width, generator=generator) * 0.1
    return [(scene[:, :, n : n + width] * 0.9 + noise).contiguous() for n in range(count)]


def time_network(
    model: EDVR, width: int, height: int, precisions: Sequence[Precision], rates: Rates, *, budget: float
) -> NetworkResult:
    """Time both forms of ``model`` on frames of ``width`` × ``height``; ``budget`` as for ``bench``.

    ``rates`` must know the product's in fp32 and in each of ``precisions``.
    """
    device = next(model.parameters()).device
    pair = _windows(model, width, height)
    forms: list[_Form] = [(precision, False) for precision in precisions]
    # Compiled kernels of ours are not compiled again; elsewhere one precision shows what it gives.
    automatic = name_of(dtype_for("auto", device))
    if device.type == "cuda" and automatic in precisions:
        forms.append((automatic, True))
    whole, op = published_form(model)
    published = _as_published(whole, pair, width * height)
    engines: dict[_Form, StreamingEDVR] = {}
    candidates: dict[_Form, _Candidate] = {}
    for precision, compiled in forms:
        engine = StreamingEDVR(copy.deepcopy(model), InferenceOptions(precision=precision, torch_compile=compiled))
        engines[precision, compiled] = engine
        known = candidates[precision, False].work if compiled else None  # it does the same, where nobody can look
        candidates[precision, compiled] = _as_engine(engine, pair, width, height, known)
    everyone = [("fp32", published), *((precision, c) for (precision, _), c in candidates.items())]
    for precision, candidate in everyone:
        estimate = candidate.work.flops / rates.product[precision]
        if estimate > budget:
            candidate.why_not = f"would take about {estimate:.0f} s per frame"

    with torch.inference_mode():
        _take_turns([candidate for _, candidate in everyone], device, budget)
        parts = {f: _time_stages(engines[f], c, budget) if c.repeats else {} for f, c in candidates.items()}
    return NetworkResult(
        PublishedResult(op, published.work.flops, published.time, published.memory, published.why_not),
        [
            EngineResult(
                precision,
                candidate.work.flops,
                candidate.work.bytes,
                max(candidate.work.flops / rates.product[precision], candidate.work.bytes / rates.copy),
                candidate.time,
                parts[precision, compiled],
                candidate.memory,
                engines[precision, compiled].tile_size if candidate.repeats else 0,
                candidate.why_not,
                compiled,
                candidate.first,
            )
            for (precision, compiled), candidate in candidates.items()
        ],
    )


def _windows(model: EDVR, width: int, height: int, count: int = 2) -> list[Window[Tensor]]:
    """Neighboring windows, two by default: in turns, each of those brings one frame that the other has not."""
    T = model.config.frames
    device = next(model.parameters()).device
    frames = ((frame.to(device), False) for frame in clip(T + count - 1, width, height))
    inner = [w for w in windows(frames, T, "replicate") if len(set(w.indices)) == T]
    assert len(inner) == count
    return inner


def _groups(model: EDVR, width: int, height: int, count: int) -> list[list[Window[Tensor]]]:
    """Two neighboring groups of ``count`` windows: in turns, each brings ``count`` frames that the other has not."""
    inner = _windows(model, width, height, 2 * count)
    return [inner[:count], inner[count:]]


def _as_published(whole: EDVR, pair: list[Window[Tensor]], pixels: int) -> _Candidate:
    sample = torch.stack(_windows(whole, _SAMPLE_SIDE, _SAMPLE_SIDE)[0].frames)[None]
    work = count_work(whole, lambda: whole(sample)) * (pixels / _SAMPLE_SIDE**2)
    turns = cycle(pair)
    return _Candidate(work, lambda: whole(torch.stack(next(turns).frames)[None]))


def _as_engine(
    engine: StreamingEDVR, pair: list[Window[Tensor]], width: int, height: int, work: WorkCount | None = None
) -> _Candidate:
    if work is None:
        first, second = _windows(engine.model.network, _SAMPLE_SIDE, _SAMPLE_SIDE)
        engine.prepare(_SAMPLE_SIDE, _SAMPLE_SIDE)
        engine.restore(first)  # so that all frames of the second but one are known
        network = nn.ModuleList(dict.fromkeys(engine.modules()))
        work = count_work(network, lambda: engine.restore(second)) * (width * height / _SAMPLE_SIDE**2)
    engine.prepare(height, width)
    # As many windows in one go as a video gets. The turns are its own: whoever got the same windows again would find
    # all features there.
    count = engine.windows_at_once
    turns = cycle([pair[:1], pair[1:]] if count == 1 else _groups(engine.model.network, width, height, count))
    return _Candidate(work, lambda: engine.restore_windows(next(turns)), frames=count)


def _take_turns(candidates: Sequence[_Candidate], device: torch.device, budget: float) -> None:
    """Measure times and memory, in turns.

    A candidate with a ``why_not`` is skipped; one that runs out of memory gets one.
    """
    running = []
    for candidate in candidates:
        if candidate.why_not:
            continue
        try:
            began = time.perf_counter()
            candidate.memory = peak_memory(candidate.run, device)  # the first run does not count
            wait(device)
            candidate.first = time.perf_counter() - began
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            candidate.why_not = "out of memory"
            continue
        running.append((candidate, _runs_per_turn(candidate, device)))
    spent = 0.0
    for _ in range(_MAX_ROUNDS):
        for candidate, runs in running:
            took = seconds(lambda c=candidate, n=runs: [c.run() for _ in range(n)], device)  # type: ignore[misc]
            candidate.repeats += (took / (runs * candidate.frames),)
            spent += took
        if spent > budget:
            break


def _runs_per_turn(candidate: _Candidate, device: torch.device) -> int:
    """How many runs to time at once: one on a CPU, where nothing is queued."""
    if device.type == "cpu":
        return 1
    return max(1, min(_MAX_RUNS, round(_MIN_SECONDS / seconds(candidate.run, device))))


def _time_stages(engine: StreamingEDVR, candidate: _Candidate, budget: float) -> dict[str, float]:
    """Median seconds per frame of a candidate's runs, by stage.

    It waits for the device between stages, so this is not part of the comparison.
    """
    rounds: dict[str, list[float]] = {name: [] for name in STAGES}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        wait(engine.device)
        start = time.perf_counter()
        yield
        wait(engine.device)
        rounds[name][-1] += time.perf_counter() - start  # a tiled frame comes here once a tile

    spent = 0.0
    with engine.observed(stage):
        while spent < budget / 2 and len(rounds[STAGES[0]]) < _STAGE_ROUNDS:
            for times in rounds.values():
                times.append(0.0)
            spent += seconds(candidate.run, engine.device)
    return {name: median(times) / candidate.frames for name, times in rounds.items()}
