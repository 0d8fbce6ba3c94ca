"""Parts that compare: kernels with float64, the engine with the network, tiles and groups with whole frames."""

import copy
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu_drill.drill import Drill, Results, show
from benchmarks.gpu_drill.inputs import (
    SLOPE,
    TYPES,
    deform_arguments,
    exact_network,
    inner_windows,
    network,
    relative,
    tf32,
)
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.ops.attention import gate, weigh_by_likeness
from edvr_cli.ops.conv import _finished
from edvr_cli.ops.deform_conv import deform_conv2d_packed, implementation, training_kernel
from edvr_cli.ops.deform_conv_fallback import deform_conv2d_torchvision
from edvr_cli.ops.deform_conv_reference import deform_conv2d_packed_reference, split_packed
from edvr_cli.ops.selftest import check_gradients
from edvr_cli.ops.triton.attention import gated_triton, weighed_triton
from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton
from edvr_cli.ops.triton.epilogue import epilogue_triton


def deform(drill: Drill, found: Results) -> None:
    """The deformable kernel against float64, for every type: at most twice plain torch's error."""
    cases = [(1, 32, 9, 11, 3.0)] if drill.dry else [
        (1, 32, 13, 21, 3.0), (1, 64, 13, 21, 40.0), (1, 128, 33, 47, 3.0), (5, 64, 45, 80, 2.0), (2, 64, 1, 40, 2.0),
        (2, 32, 180, 320, 2.0), (2, 64, 180, 320, 200.0), (1, 128, 180, 320, 2.0), (1, 48, 33, 47, 2.0),
    ]  # fmt: skip
    bad = 0
    for N, C, H, W, reach in cases:
        for word, dtype in TYPES.items():
            if drill.dry and word == "bf16":
                continue  # an interpreter before Triton 3.9 multiplies it as integers
            if drill.quick and ((word == "bf16" and C != 64) or C == 48):
                continue
            given = deform_arguments(N, C, H, W, dtype, drill.device, reach=reach)
            with tf32(False):
                result = deform_conv2d_packed_triton(*given, SLOPE)
                exact = deform_conv2d_packed_reference(*(t.double() for t in given), SLOPE)
                error, plain = relative(result, exact), relative(deform_conv2d_packed_reference(*given, SLOPE), exact)
            bad += not error <= 2 * plain
            found[f"{N}x{C}x{H}x{W} {word}"] = {"error": error, "plain": plain, "ok": error <= 2 * plain}
    x, packed, weight, bias = deform_arguments(1, 32, 9, 11, torch.float32, drill.device)
    for tap, value in enumerate((1e6, -1e6, 3e38, torch.inf, -torch.inf, torch.nan)):
        packed[:, 2 * tap + tap % 2, ::2] = value
    found["offsets far outside give finite results"] = bool(
        deform_conv2d_packed_triton(x, packed, weight, bias, SLOPE).isfinite().all()
    )
    found["bad"] = bad
    show("cases, bad", (len(found) - 2, bad))
    show("worst error over plain", max(v["error"] / v["plain"] for v in found.values() if isinstance(v, dict)))


def pointwise(drill: Drill, found: Results) -> None:
    """What follows a convolution: the kernel against float64, its rate, and what launching it takes."""
    last = {"memory_format": torch.channels_last}
    N, H, W = (4, 6, 7) if drill.dry else (4, 180, 320)
    for word, dtype in TYPES.items():
        if drill.dry and word == "bf16":
            continue  # the interpreter cuts it off instead of rounding
        for C, images in ((64, 0), (64, 4), (32, 2), (216, 1), (3, 4)):
            x = torch.randn(N, C, H, W, device=drill.device, dtype=dtype).contiguous(**last)
            bias = torch.randn(C, device=drill.device, dtype=dtype)
            add = None
            if images:
                add = torch.randn(images, C, H, W, device=drill.device, dtype=dtype).contiguous(**last)
            exact = _finished(x.double(), bias.double(), None if add is None else add.double(), SLOPE, in_place=False)
            plain = relative(_finished(x, bias, add, SLOPE, in_place=False), exact)
            error = relative(epilogue_triton(x, bias, add, SLOPE, in_place=False), exact)
            found[f"{word} C={C} added={images}"] = {"error": error, "plain": plain, "ok": error <= 1.01 * plain}
    found["bad"] = sum(not row["ok"] for row in found.values())
    show("cases, bad", (len(found) - 1, found["bad"]))
    dtype = torch.float16 if drill.cuda else torch.float32
    for C in (32, 64, 216):
        x = torch.randn(5, C, H, W, device=drill.device, dtype=dtype).contiguous(**last)
        bias, add = torch.randn(C, device=drill.device, dtype=dtype), torch.randn_like(x)
        with torch.inference_mode():
            fused = drill.time_on_device([partial(epilogue_triton, x, bias, None, SLOPE)], 3, 10)
            added = drill.time_on_device([partial(epilogue_triton, x, bias, add, SLOPE)], 3, 10)
            steps = drill.time_on_device([partial(_by_torch, x, bias)], 3, 10)
        row = {"ms": fused * 1e3, "with a map ms": added * 1e3, "torch ms": steps * 1e3}
        row["GB/s"] = 2 * x.nbytes / fused / 1e9
        found[f"speed 5x{C}x{H}x{W}"] = {key: round(value, 4) for key, value in row.items()}
        show(f"5x{C}x{H}x{W}", found[f"speed 5x{C}x{H}x{W}"])
    small = torch.zeros(1, 64, 8, 8, device=drill.device, dtype=dtype).contiguous(**last)
    bias = torch.zeros(64, device=drill.device, dtype=dtype)
    times = 200 if drill.cuda else 2
    launch = drill.time_queueing(lambda: [epilogue_triton(small, bias, None, SLOPE) for _ in range(times)], 3) / times
    plain = drill.time_queueing(lambda: [small.add_(1) for _ in range(times)], 3) / times
    found["launch us"] = {"epilogue": round(launch * 1e6, 1), "add_": round(plain * 1e6, 1)}
    show("launch us", found["launch us"])


def attention(drill: Drill, found: Results) -> None:
    """What the fusion does between convolutions: the kernels against float64, and their time beside torch's."""
    H, W = (6, 7) if drill.dry else (180, 320)
    bad = 0
    for C in (32, 64, 128):
        for word in ("fp16", "fp32") if drill.cuda else ("fp32",):
            maps = [
                torch.randn(n, c, H, W, device=drill.device) for n, c in ((1, 5 * C), (5, C), (1, C), (1, C), (1, C))
            ]
            maps[1] /= C**0.5
            stacked, embedded, *three = (m.to(TYPES[word]).contiguous(memory_format=torch.channels_last) for m in maps)
            row: Results = {}
            calls = {
                "frames": (weighed_triton, weigh_by_likeness, (stacked, embedded, three[0])),
                "places": (gated_triton, gate, tuple(three)),
            }
            for label, (kernel, definition, given) in calls.items():
                with torch.inference_mode():
                    exact = definition(*(m.double() for m in given))
                    error = relative(kernel(*given), exact)
                    # As torch's steps: layouts that the kernel does not take.
                    plain = [m.contiguous() for m in given]
                    allowed = 2 * relative(definition(*plain), exact)
                    bad += not error <= allowed
                    row[label] = {"error": error, "plain": allowed / 2, "ok": error <= allowed}
                    row[label]["ms"] = round(drill.time_on_device([partial(kernel, *given)], 3, 10) * 1e3, 4)
                    row[label]["torch ms"] = round(drill.time_on_device([partial(definition, *plain)], 3, 10) * 1e3, 4)
            found[f"{word} C={C}"] = row
            show(f"{word} C={C}", row)
    found["bad"] = bad


def _by_torch(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu_(x.add_(bias.view(-1, 1, 1)), SLOPE)


def engine(drill: Drill, found: Results) -> None:
    """The engine over neighboring windows against ``EDVR.forward`` in float64 with the definition's operation."""
    cases = [("S", 36, 28)] if drill.dry else [("S", 68, 52), ("M", 132, 100), ("L", 68, 52)]
    for name, width, height in cases:
        model = network(name, drill.device)
        stream = inner_windows(6, width, height, drill.device)
        exact_model = exact_network(copy.deepcopy(model).double())
        with torch.inference_mode():
            exact = [exact_model(torch.stack(w.frames)[None].double())[0] for w in stream]
        forms = [
            ("fp32 without TF32", "fp32", False),
            ("fp32", "fp32", True),
            ("fp16", "fp16", True),
            ("bf16", "bf16", True),
        ]
        for label, word, allowed in forms if drill.cuda else forms[:1]:
            with tf32(allowed):
                tried = StreamingEDVR(copy.deepcopy(model), InferenceOptions(precision=word))
                outputs = tried.restore_windows(stream)
            row = {
                "largest": max(float((y.double() - x).abs().max()) for y, x in zip(outputs, exact, strict=True)),
                "finite": all(bool(y.isfinite().all()) for y in outputs),
                "windows": tried.windows_at_once,
            }
            found[f"{name} {width}x{height} {label}"] = row
            show(f"{name} {width}x{height} {label}", row)
        single = StreamingEDVR(copy.deepcopy(model), InferenceOptions(precision="fp16" if drill.cuda else "fp32"))
        one_by_one = [single.restore(window) for window in stream[:4]]
        group = StreamingEDVR(copy.deepcopy(model), InferenceOptions(precision="fp16" if drill.cuda else "fp32"))
        pairs = zip(group.restore_windows(stream[:4]), one_by_one, strict=True)
        found[f"{name} one by one and together"] = max(float((a - b).abs().max()) for a, b in pairs)
        show(f"{name} one by one and together", found[f"{name} one by one and together"])


def tiles(drill: Drill, found: Results) -> None:
    """A whole frame against tiles."""
    width, height, tile, name = (44, 32, 16, "S") if drill.dry else (320, 180, 96, "M")
    model = network(name, drill.device)
    (window,) = inner_windows(1, width, height, drill.device)
    results = [
        StreamingEDVR(
            copy.deepcopy(model), InferenceOptions(precision="fp16" if drill.cuda else "fp32", tile=side)
        ).restore(window)
        for side in (0, tile)
    ]
    found["largest difference, of 255"] = float((results[0] - results[1]).abs().max()) * 255
    show("largest difference, of 255", found["largest difference, of 255"])


def backward(drill: Drill, found: Results) -> None:
    """Gradients of what training uses against the definition's in float64, and the time of a step there and back."""
    for word, dtype in TYPES.items() if drill.cuda else ():
        given = deform_arguments(2, 32, 12, 20, dtype, drill.device)
        arguments = tuple(t.requires_grad_() for t in given)
        found[f"{word} uses"] = training_kernel(*arguments) or implementation(*arguments)
        for features in (32, 64, 128):
            check_gradients(drill.device, dtype, features)
    N, C, H, W = (1, 16, 8, 9) if drill.dry else (16, 64, 64, 64)
    operations = {"used": deform_conv2d_packed, "definition": deform_conv2d_packed_reference}
    if find_spec("torchvision") and drill.cuda:
        operations["torchvision"] = _torchvision
    for word in ("bf16", "fp32") if drill.cuda else ("fp32",):
        leaves = [t.requires_grad_() for t in deform_arguments(N, C, H, W, TYPES[word], drill.device)]
        for name, operation in operations.items():
            taken = drill.time(partial(_there_and_back, operation, leaves), 0.3)
            found[f"{word} {name} ms"] = round(taken * 1e3, 3)
    show("gradients", found)


def _there_and_back(operation: Callable[..., Tensor], leaves: list[Tensor]) -> None:
    operation(*leaves, SLOPE).sum().backward()


def _torchvision(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
    offset, mask = split_packed(packed, 3)
    return F.leaky_relu(deform_conv2d_torchvision(x, offset, mask.sigmoid(), weight, bias), slope)
