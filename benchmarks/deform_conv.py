"""Time the deformable convolution of EDVR on the device at hand, all implementations in one run.

    python -m benchmarks.deform_conv                     # GPU where there is one, else CPU
    python -m benchmarks.deform_conv --sweep float16     # the GPU kernel's tiles, for choose_tiles; minutes

Every row does the same job, from ``conv_offset``'s raw output to activated features; ``ratio`` is against
torchvision's op in the same precision where it is installed, else against the plain-torch reference. On a GPU,
calls are replayed from a CUDA graph over several sets of inputs, so that neither launches nor a warm cache are
measured.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import product
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from edvr_cli.ops.deform_conv import deform_conv2d_packed, implementation
from edvr_cli.ops.deform_conv_reference import deform_conv2d_packed_reference, split_packed

GROUPS, KERNEL, SLOPE = 8, 3, 0.1
SETS, ROUNDS = 4, 9
Inputs = tuple[Tensor, Tensor, Tensor, Tensor]  # x, packed, weight, bias
Operation = Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Shape:
    """A map of N images of C features."""

    N: int
    C: int
    H: int
    W: int

    def __str__(self) -> str:
        return f"{self.N}×{self.C}×{self.H}×{self.W}"

    @property
    def operations(self) -> int:
        """Floating-point operations of the product alone."""
        return 2 * KERNEL**2 * self.C**2 * self.N * self.H * self.W


# One pair, a window's five pairs at once, its coarsest level, EDVR-L, and a larger frame.
GPU_SHAPES = [
    Shape(1, 64, 180, 320),
    Shape(5, 64, 180, 320),
    Shape(5, 64, 45, 80),
    Shape(1, 128, 180, 320),
    Shape(1, 64, 720, 1280),
]
CPU_SHAPES = [Shape(1, 64, 180, 320), Shape(1, 128, 180, 320)]


def main() -> None:
    """Parse the command line, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sweep", choices=["float16", "bfloat16", "float32"], help="time the kernel's tiles instead")
    parser.add_argument("--features", type=int, help="only maps of so many features: 64 or 128")
    parser.add_argument("--noise", type=float, default=0.5, help="offset noise from pixel to pixel (pixels)")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    is_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if is_gpu else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}; torch {torch.__version__}; G = {GROUPS}\n")
    with torch.inference_mode():
        for shape in GPU_SHAPES if is_gpu else CPU_SHAPES:
            if arguments.features not in (None, shape.C):
                continue
            if arguments.sweep:
                sweep(shape, device, getattr(torch, arguments.sweep), arguments.noise)
            else:
                compare(shape, device, arguments.noise)


def compare(shape: Shape, device: torch.device, noise: float) -> None:
    """Print the time of each implementation at each precision, and its error against float64."""
    print(
        f"{shape!s:18s} {'precision':10s} {'implementation':14s} {'ms':>9s} {'TFLOP/s':>8s} {'ratio':>6s} {'error':>8s}"
    )
    for precision in ("float16", "bfloat16", "tf32", "float32") if device.type == "cuda" else ("float32",):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        dtype = torch.float32 if precision == "tf32" else getattr(torch, precision)
        sets = inputs(shape, device, dtype, noise)
        exact = deform_conv2d_packed_reference(*first(sets), SLOPE)
        rows = []
        for label, operation, layout in implementations(sets):
            given = [in_layout(one, layout) for one in sets]
            y = operation(*given[0], SLOPE)[:1].double()
            rows.append((label, measure(operation, given, device), float((y - exact).norm() / exact.norm())))
        baseline = rows[-1][1]
        for label, seconds, error in rows:
            rate = shape.operations / seconds / 1e12
            ratio = baseline / seconds
            print(f"{'':18s} {precision:10s} {label:14s} {seconds * 1e3:9.3f} {rate:8.2f} {ratio:6.2f} {error:8.1e}")
    print()


def implementations(sets: list[Inputs]) -> list[tuple[str, Operation, torch.memory_format]]:
    """Label, function, and the layout it likes best, for all that take these inputs; the baseline last."""
    fast = implementation(*sets[0])
    known: list[tuple[str, Operation, torch.memory_format]] = []
    if fast != "reference":
        known.append((fast, deform_conv2d_packed, torch.channels_last))
    known.append(("reference", deform_conv2d_packed_reference, torch.contiguous_format))
    if find_spec("torchvision") is not None and sets[0][0].dtype != torch.bfloat16:  # which it has not
        known.append(("torchvision", torchvision_op, torch.contiguous_format))
    return known


def torchvision_op(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
    """The op as published EDVR code calls it."""
    from torchvision.ops import deform_conv2d  # noqa: PLC0415 (not a dependency)

    offset, mask = split_packed(packed, KERNEL)
    return F.leaky_relu(deform_conv2d(x, offset, weight, bias, padding=KERNEL // 2, mask=mask.sigmoid()), slope)


def sweep(shape: Shape, device: torch.device, dtype: torch.dtype, noise: float) -> None:
    """Print the kernel's time with every reasonable tile, fastest first."""
    from triton.runtime.errors import OutOfResources  # noqa: PLC0415 (needs a GPU's torch)

    from edvr_cli.ops.triton.deform_conv import deform_conv2d_packed_triton  # noqa: PLC0415
    from edvr_cli.ops.triton.tiles import Tiles, choose_tiles  # noqa: PLC0415

    sets = inputs(shape, device, dtype, noise)
    outputs = min(128, shape.C)
    chosen = choose_tiles(shape.N * shape.H * shape.W, shape.C, dtype.itemsize)
    cuts = product((32, 64, 128), (32, 64), (4, 8), (1, 2, 3), (False, True))
    candidates = {chosen} | {
        Tiles(pixels, columns, outputs, warps, stages, taps_first)
        for pixels, columns, warps, stages, taps_first in cuts
    }
    times = []
    for tiles in candidates:
        try:
            seconds = measure(partial(deform_conv2d_packed_triton, tiles=tiles), sets, device, rounds=3)
        except OutOfResources:  # more shared memory than there is
            continue
        times.append((seconds, tiles))
    print(f"{shape} {dtype}, {shape.operations / 1e9:.1f} GFLOP")
    for rank, (seconds, tiles) in enumerate(sorted(times, key=lambda entry: entry[0])):
        if rank < 12 or tiles == chosen:
            print(f"{rank + 1:4d} {seconds * 1e3:9.4f} ms  {tiles}{'  <- chosen' if tiles == chosen else ''}")
    print()


def inputs(shape: Shape, device: torch.device, dtype: torch.dtype, noise: float) -> list[Inputs]:
    """Sets of x, packed, weight, bias: offsets of a few pixels that vary smoothly, as motion does, plus noise."""
    random = torch.Generator().manual_seed(0)
    N, C, H, W = shape.N, shape.C, shape.H, shape.W
    pairs = GROUPS * KERNEL**2
    sets = []
    for _ in range(SETS):
        coarse = torch.randn(N, 2 * pairs, -(-H // 16), -(-W // 16), generator=random) * 3
        offset = F.interpolate(coarse, (H, W), mode="bilinear")
        offset += torch.randn(1, 2 * pairs, H, W, generator=random) * noise
        packed = torch.cat((offset, torch.randn(1, pairs, H, W, generator=random).expand(N, -1, -1, -1)), dim=1)
        x = torch.randn(N, C, H, W, generator=random)
        weight = torch.randn(C, C, KERNEL, KERNEL, generator=random) / (C * KERNEL**2) ** 0.5
        bias = torch.randn(C, generator=random)
        x, packed, weight, bias = (t.to(device, dtype) for t in (x, packed, weight, bias))
        sets.append(in_layout((x, packed, weight, bias), torch.channels_last))
    return sets


def first(sets: list[Inputs]) -> Inputs:
    """The first set, cut to its first image, in float64."""
    x, packed, weight, bias = (t.double() for t in sets[0])
    return x[:1], packed[:1], weight, bias


def in_layout(given: Inputs, layout: torch.memory_format) -> Inputs:
    """The same values with their maps and weight in another memory format."""
    *maps, bias = given
    x, packed, weight = (t.contiguous(memory_format=layout) for t in maps)
    return x, packed, weight, bias


def measure(operation: Operation, sets: list[Inputs], device: torch.device, rounds: int = ROUNDS) -> float:
    """Median seconds of one call."""

    def all_sets() -> None:
        for given in sets:
            operation(*given, SLOPE)

    all_sets()
    if device.type != "cuda":
        return median(timed(all_sets) for _ in range(3)) / len(sets)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(4):
            all_sets()
    graph.replay()
    seconds = []
    for _ in range(rounds):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        stop.record()
        stop.synchronize()
        seconds.append(start.elapsed_time(stop) / 1e3 / (4 * len(sets)))
    return median(seconds)


def timed(function: Callable[[], None]) -> float:
    """Seconds of one call on the CPU."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
