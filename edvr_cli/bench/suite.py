"""All measurements of the speed on this machine: the published form, the engine, and the limits of the hardware.

All is measured in one run, the contestants taking turns, so that ratios hold on a machine that other programs
use too. Networks have random weights with offsets that move: speed does not depend on what was learned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edvr_cli.bench.hardware import Rates, measure_rates
from edvr_cli.bench.network import NetworkResult, random_network, time_network
from edvr_cli.bench.sizes import SIZES
from edvr_cli.inference.options import Precision
from edvr_cli.size import Size
from edvr_cli.system.hardware import machine_name

if TYPE_CHECKING:
    from edvr_cli.bench.video import VideoResult

__all__ = ["CaseResult", "Report", "bench", "default_precisions"]


@dataclass(frozen=True)
class CaseResult:
    """One network at one input size; ``video`` is None where the engine was not timed."""

    size: str
    width: int
    height: int
    network: NetworkResult
    video: "VideoResult | None"


@dataclass(frozen=True)
class Report:
    """The machine, the rates of the hardware, and the cases."""

    machine: str
    device: str
    torch: str
    threads: int
    rates: Rates
    cases: list[CaseResult]


def bench(
    sizes: Sequence[str],
    resolutions: Sequence[Size],
    device: torch.device,
    precisions: Sequence[Precision],
    *,
    budget: float,
    on_case: Callable[[str], None] | None = None,
) -> Report:
    """Measure every network of ``sizes`` (keys of SIZES) at every size of its input.

    ``budget`` is the time to spend on each measurement of a case, in seconds: repeats stop when it is used up.
    A form of the network that would need more for a single frame is left out, and its result says so.
    ``on_case`` receives the name of each case before it starts. Raises DeviceError for a precision that ``device``
    lacks.
    """
    from edvr_cli.bench.video import time_video  # noqa: PLC0415 (the network is measured without the video libraries)

    rates = measure_rates(device, dict.fromkeys(("fp32", *precisions)))
    cases = []
    for size in sizes:
        for width, height in resolutions:
            if on_case:
                on_case(f"EDVR-{size.upper()} at {width}×{height}")
            model = random_network(SIZES[size]).to(device)
            network = time_network(model, width, height, precisions, rates, budget=budget)
            timed = [engine for engine in network.engines if engine.time is not None and not engine.compiled]
            video = None
            if timed:
                fastest = min(timed, key=lambda engine: engine.time.median)  # type: ignore[union-attr]
                frames = int(budget / fastest.time.median)  # type: ignore[union-attr]
                video = time_video(model, width, height, fastest.precision, frames=frames)
            cases.append(CaseResult(size, width, height, network, video))
    return Report(machine_name(device), str(device), torch.__version__, torch.get_num_threads(), rates, cases)


def default_precisions(device: torch.device) -> tuple[Precision, ...]:
    """The precisions to compare on ``device``."""
    return ("fp32", "fp16", "bf16") if device.type == "cuda" else ("fp32", "bf16")
