"""Parts that time: the hardware's rates, the kernels, the engine against the published form, and where time goes."""

import copy
import os
import platform
from dataclasses import asdict, astuple
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import cycle
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiler

from benchmarks.gpu_drill.drill import Drill, Results, show
from benchmarks.gpu_drill.inputs import SLOPE, TYPES, deform_arguments, inner_windows, network, tf32
from edvr_cli.bench.flops import count_work
from edvr_cli.bench.published import published_form
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.memory_plan import peak_memory
from edvr_cli.inference.options import InferenceOptions, Precision
from edvr_cli.network.windows import Window
from edvr_cli.ops.deform_conv import missing_kernel
from edvr_cli.ops.deform_conv_reference import split_packed
from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton, grouped
from edvr_cli.ops.triton.tiles import Tiles, tiles_on


def machine(drill: Drill, found: Results) -> None:
    """What it was measured on."""
    for name in ("torch", "triton", "torchvision", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    found |= {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
    found["missing kernel"] = missing_kernel(drill.device)
    if drill.cuda:
        properties = torch.cuda.get_device_properties(drill.device)
        found["gpu"] = properties.name
        found["capability"] = f"{properties.major}.{properties.minor}"
        found["multiprocessors"] = properties.multi_processor_count
        found["memory GiB"] = round(properties.total_memory / 2**30, 1)
        found["cuda"], found["cudnn"] = torch.version.cuda, torch.backends.cudnn.version()
    for key, value in found.items():
        show(key, value)


def rates(drill: Drill, found: Results) -> None:
    """What the hardware reaches: matrix products, copies, launches."""
    side = 8192 if drill.cuda else 256
    with torch.inference_mode():
        for word, dtype in TYPES.items():
            a, b = (torch.randn(side, side, device=drill.device).to(dtype) for _ in range(2))
            found[f"{word} TFLOP/s"] = round(2 * side**3 / drill.time(partial(torch.matmul, a, b), 0.2, 40) / 1e12, 2)
            if word == "fp32" and drill.cuda:
                with tf32(True):
                    found["tf32 TFLOP/s"] = round(
                        2 * side**3 / drill.time(partial(torch.matmul, a, b), 0.2, 40) / 1e12, 2
                    )
        source = torch.zeros(1 << (27 if drill.cuda else 20), device=drill.device)
        target = torch.empty_like(source)
        found["copy GB/s"] = round(2 * source.nbytes / drill.time(lambda: target.copy_(source), 0.2) / 1e9, 1)
        x, w = (torch.zeros(s, device=drill.device).half() for s in ((1, 64, 32, 32), (64, 64, 3, 3)))
        if drill.cuda:
            launch = drill.time_queueing(lambda: [F.conv2d(x, w, padding=1) for _ in range(100)]) / 100
            found["launch of conv2d us"] = round(launch * 1e6, 2)
    show("rates", found)


def deform_time(drill: Drill, found: Results) -> None:
    """The deformable kernel against torchvision's operation, both replayed from CUDA graphs."""
    shapes = [(1, 32, 9, 11)] if drill.dry else [
        (5, 64, 180, 320), (5, 32, 180, 320), (5, 64, 45, 80), (5, 128, 180, 320), (1, 64, 720, 1280),
    ]  # fmt: skip
    for N, C, H, W in shapes:
        row: Results = {}
        for word in ("fp16", "fp32") if drill.cuda else ("fp32",):
            if drill.left < 5:
                break
            sets = [deform_arguments(N, C, H, W, TYPES[word], drill.device, seed=seed) for seed in range(2)]
            with torch.inference_mode():
                ours = drill.time_on_device([partial(deform_conv2d_packed_triton, *given, SLOPE) for given in sets], 3)
                row[word] = {"ms": round(ours * 1e3, 4), "TFLOP/s": round(18 * C * C * N * H * W / ours / 1e12, 2)}
                row[word]["grouping ms"] = round(drill.time_on_device([partial(grouped, sets[0][0], 8)], 3) * 1e3, 4)
                if find_spec("torchvision") and drill.cuda:
                    plain = [tuple(t.contiguous() for t in given) for given in sets]
                    theirs = drill.time_on_device([partial(_by_torchvision, *given) for given in plain], 3, 1)
                    row[word] |= {"torchvision ms": round(theirs * 1e3, 4), "times": round(theirs / ours, 2)}
        found[f"{N}x{C}x{H}x{W}"] = row
        show(f"{N}x{C}x{H}x{W}", row)
        drill.clean()


def _by_torchvision(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    from torchvision.ops import deform_conv2d  # noqa: PLC0415 (not a dependency)

    offset, mask = split_packed(packed, 3)
    return F.leaky_relu(deform_conv2d(x, offset, weight, bias, padding=1, mask=mask.sigmoid()), SLOPE)


def sweep(drill: Drill, found: Results) -> None:
    """Tiles of the deformable kernel: what ``choose_tiles`` should say."""
    if not drill.cuda:
        return
    tries = {
        (torch.float16, 64): [
            (64, 64, 64, 4, 1), (128, 64, 64, 8, 1), (64, 64, 64, 8, 1), (64, 32, 64, 4, 1), (32, 64, 64, 4, 1),
            (128, 32, 64, 8, 1), (64, 64, 64, 4, 1, True), (32, 32, 64, 4, 1), (64, 128, 64, 8, 1),
        ],
        (torch.float16, 32): [
            (64, 32, 32, 4, 1), (64, 64, 32, 4, 1), (128, 32, 32, 8, 1), (32, 64, 32, 4, 1), (32, 32, 32, 4, 1),
            (64, 16, 32, 4, 1), (128, 64, 32, 8, 1),
        ],
        (torch.float16, 128): [
            (64, 64, 128, 8, 1), (128, 64, 128, 8, 1), (64, 64, 128, 4, 1), (64, 32, 128, 8, 1), (32, 64, 128, 4, 1),
            (64, 64, 128, 8, 1, True),
        ],
        (torch.float32, 64): [
            (32, 32, 64, 4, 1), (64, 32, 64, 4, 1), (64, 32, 64, 8, 1), (64, 64, 64, 8, 1), (32, 64, 64, 4, 1),
        ],
    }  # fmt: skip
    for (dtype, C), shapes in tries.items():
        given = deform_arguments(5, C, 180, 320, dtype, drill.device)
        chosen = tiles_on(drill.device, 5 * 180 * 320, given[2], 8)
        rows = {}
        for tiles in dict.fromkeys([chosen, *(Tiles(*shape) for shape in shapes[: 4 if drill.quick else None])]):
            if drill.left < 4:
                break
            call = partial(deform_conv2d_packed_triton, *given, SLOPE, tiles=tiles)
            try:
                with torch.inference_mode():
                    rows[str(astuple(tiles))] = round(drill.time_on_device([call], 3, 2) * 1e3, 4)
            except Exception as error:
                rows[str(astuple(tiles))] = f"{type(error).__name__}: {str(error)[:80]}"
        found[f"{str(dtype)[6:]} C={C}"] = {"chosen": str(astuple(chosen)), "ms": rows}
        show(f"{str(dtype)[6:]} C={C}", found[f"{str(dtype)[6:]} C={C}"])


def fps(drill: Drill, found: Results) -> None:
    """The engine at each size against the published form: rates, time to queue a frame, forecast and peak of memory."""
    cases = [("S", 36, 28)] if drill.dry else [
        ("M", 320, 180), ("S", 320, 180), ("M", 640, 360), ("L", 320, 180), ("S", 640, 360), ("L", 640, 360),
        ("S", 1280, 720), ("M", 1280, 720), ("S", 1920, 1080), ("M", 1920, 1080), ("L", 1280, 720),
    ]  # fmt: skip
    for name, width, height in cases:
        if drill.left < 6:
            break
        model = network(name, drill.device)
        row: Results = {"GFLOP": round(flops_per_pixel(name, drill) * width * height / 1e9, 1)}
        words = ("fp16",) if width > 640 or drill.quick else ("fp16", "bf16", "fp32")
        for word in words if drill.cuda else ("fp32",):
            drill.clean()
            row[word] = _engine_row(drill, model, word, width, height)
            row[word]["TFLOP/s"] = round(row["GFLOP"] / row[word]["ms"], 1)
        if width <= 640 and drill.left > 5:
            drill.clean()
            whole, row_op = published_form(model)
            turns = cycle([torch.stack(w.frames)[None] for w in inner_windows(2, width, height, drill.device)])
            with torch.inference_mode():
                seconds = drill.time(lambda whole=whole, turns=turns: whole(next(turns)), 0.3)  # type: ignore[misc]
            row["published"] = {"ms": round(seconds * 1e3, 2), "op": row_op}
            for word in words:
                if word in row:
                    row[word]["times published"] = round(seconds * 1e3 / row[word]["ms"], 2)
        found[f"{name} {width}x{height}"] = row
        show(f"{name} {width}x{height}", row)
        drill.save()


def _engine_row(drill: Drill, model: nn.Module, word: str, width: int, height: int) -> Results:
    engine = StreamingEDVR(copy.deepcopy(model), InferenceOptions(precision=word))  # type: ignore[arg-type]
    engine.prepare(height, width)
    B = engine.windows_at_once
    held = torch.cuda.memory_allocated() if drill.cuda else 0
    turns = groups(B, width, height, drill.device)
    began = perf_counter()
    engine.restore_windows(next(turns))
    drill.wait()
    first = perf_counter() - began
    peak = torch.cuda.max_memory_allocated() - held if drill.cuda else 0
    forecast = peak_memory(engine._plan, engine.config, height, width, engine.options.tile_pad, engine.dtype.itemsize)
    engine.restore_windows(next(turns))
    seconds = drill.time(lambda: engine.restore_windows(next(turns)), 0.4) / B
    queueing = drill.time_queueing(lambda: engine.restore_windows(next(turns)), 3) / B
    return {
        "ms": round(seconds * 1e3, 3),
        "fps": round(1 / seconds, 2),
        "to queue ms": round(queueing * 1e3, 2),
        "windows": B,
        "tile": engine.tile_size,
        "first s": round(first, 2),
        "forecast MiB": forecast >> 20,
        "peak MiB": peak >> 20,
    }


def groups(B: int, width: int, height: int, device: torch.device) -> "cycle[list[Window[Tensor]]]":
    """Two groups of B windows in turns: each brings B frames that the other has not."""
    stream = inner_windows(2 * B, width, height, device)
    return cycle([stream[:B], stream[B:]])


_FLOPS: dict[str, float] = {}


def flops_per_pixel(name: str, drill: Drill) -> float:
    """Operations per input pixel and frame in the engine, as direct convolutions."""
    if name not in _FLOPS:
        side = 32 if drill.dry else 64
        engine = StreamingEDVR(network(name, drill.device), InferenceOptions(precision="fp32", tile=0))
        first, second = inner_windows(2, side, side, drill.device)
        engine.restore(first)
        work = count_work(nn.ModuleList(dict.fromkeys(engine.modules())), lambda: engine.restore(second))
        _FLOPS[name] = work.flops / side**2
    return _FLOPS[name]


def searched(drill: Drill, found: Results) -> None:
    """The engine as it is, and after cuDNN has tried its kernels for each convolution instead of choosing by rules."""
    cases = [("S", 36, 28)] if drill.dry else [("S", 320, 180), ("S", 1280, 720), ("M", 640, 360), ("L", 320, 180)]
    word = "fp16" if drill.cuda else "fp32"
    cudnn = torch.backends.cudnn
    for name, width, height in cases:
        if drill.left < 6:
            break
        model = network(name, drill.device)
        row: Results = {}
        before = cudnn.benchmark
        for tries in (False, True):
            drill.clean()
            cudnn.benchmark = tries
            try:
                timed = _engine_row(drill, model, word, width, height)
            finally:
                cudnn.benchmark = before
            row["tried" if tries else "by rules"] = {key: timed[key] for key in ("ms", "first s")}
        found[f"{name} {width}x{height}"] = row
        show(f"{name} {width}x{height}", row)


def end_to_end(drill: Drill, found: Results) -> None:
    """A video, decoded, restored and encoded, against the engine alone on the same frames; left out without PyAV."""
    if find_spec("av") is None:
        found["left out"] = "PyAV is not installed"
        return
    from edvr_cli.bench.video import time_video  # noqa: PLC0415 (needs PyAV)

    cases = [("S", 36, 28, 6)] if drill.dry else [("M", 320, 180, 300), ("S", 320, 180, 300), ("M", 640, 360, 80)]
    for name, width, height, count in cases:
        if drill.left < 12:
            break
        model = network(name, drill.device)
        word: Precision = "fp16" if drill.cuda else "fp32"
        result = time_video(model, width, height, word, frames=count)
        assert result is not None
        row = asdict(result) | {"share of the engine's speed": round(result.network / result.end_to_end, 3)}
        found[f"{name} {width}x{height}"] = row
        show(f"{name} {width}x{height}", row)
        drill.save()


def profile(drill: Drill, found: Results) -> None:
    """Kernels by the time that they take of a frame."""
    for name, width, height in [("S", 36, 28)] if drill.dry else [("M", 640, 360), ("S", 320, 180), ("L", 320, 180)]:
        if drill.left < 4:
            break
        engine = StreamingEDVR(
            network(name, drill.device), InferenceOptions(precision="fp16" if drill.cuda else "fp32")
        )
        engine.prepare(height, width)
        turns = groups(engine.windows_at_once, width, height, drill.device)
        for _ in range(3):
            engine.restore_windows(next(turns))
        drill.wait()
        frames = engine.windows_at_once * 2
        with profiler(activities=[ProfilerActivity.CUDA if drill.cuda else ProfilerActivity.CPU]) as recorded:
            for _ in range(2):
                engine.restore_windows(next(turns))
            drill.wait()
        rows = []
        for event in recorded.key_averages():
            spent = getattr(event, "self_device_time_total", 0) if drill.cuda else event.self_cpu_time_total
            if spent:
                rows.append((round(spent / frames / 1e3, 4), round(event.count / frames, 2), event.key[:150]))
        rows.sort(reverse=True)
        found[f"{name} {width}x{height}"] = {
            "ms per frame": round(sum(row[0] for row in rows), 3),
            "launches per frame": round(sum(row[1] for row in rows), 1),
            "kernels": rows[:24],
        }
        show(
            f"{name} {width}x{height}",
            f"{sum(r[0] for r in rows):.2f} ms, {sum(r[1] for r in rows):.0f} launches per frame",
        )
        for ms, count, key in rows[:14]:
            show(f"{ms:8.3f} ms {count:6.1f}", key[:100])
