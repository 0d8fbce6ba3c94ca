"""Parts of the drill: registered by name, run one after the other within a time, each guarded, their results kept."""

import gc
import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from edvr_cli.ops.triton_status import triton_fault

Results = dict[str, Any]
Part = Callable[["Drill", Results], None]


class Drill:
    """What the parts share: the device, whether it is a dry run, the time left, and the results so far."""

    def __init__(self, *, dry: bool, budget: float, quick: bool = False) -> None:
        self.dry = dry
        self.budget = budget
        self.quick = quick  # fewer types, sizes and tiles
        self.cuda = torch.cuda.is_available() and not dry
        self.device = torch.device("cuda", torch.cuda.current_device()) if self.cuda else torch.device("cpu")
        self.path = Path(os.environ.get("OUT") or ".", "gpu_drill.json")
        self.results: Results = {"parts": {}, "errors": {}}
        self._began = time.perf_counter()

    @property
    def left(self) -> float:
        """Seconds."""
        return self.budget - (time.perf_counter() - self._began)

    def run(self, parts: dict[str, Part]) -> None:
        """Run ``parts``; one that fails leaves its error, and the next one is tried all the same."""
        for name, part in parts.items():
            if self.left < 3:
                self.results["errors"][name] = "left out: no time"
                continue
            began = time.perf_counter()
            print(f"\n== {name} ({self.left:.0f} s left)", flush=True)
            found: Results = self.results["parts"].setdefault(name, {})
            try:
                part(self, found)
                self.clean()
            except Exception as error:
                self.results["errors"][name] = traceback.format_exc()
                print(f"!! {name}: {type(error).__name__}: {str(error)[:600]}", flush=True)
            missing = triton_fault(self.device) if self.cuda else None
            if missing is not None and missing.reason not in self.results["errors"].values():
                self.results["errors"][f"{name}: kernels"] = missing.reason
                print(f"!! {name}: {missing.reason}", flush=True)
            found["seconds"] = round(time.perf_counter() - began, 1)
            self.save()

    def save(self) -> None:
        """Write the results so far."""
        self.results["seconds"] = round(time.perf_counter() - self._began, 1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.results, indent=1, default=str))

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.cuda:
            torch.cuda.synchronize()

    def clean(self) -> None:
        """Give memory back that nothing holds."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def time(self, work: Callable[[], object], seconds: float = 0.4, most: int = 200) -> float:
        """Seconds per call of ``work`` over about so many ``seconds``, after two calls that are not counted."""
        work()
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        count = max(1, min(most, int(seconds / max(1e-6, time.perf_counter() - began))))
        began = time.perf_counter()
        for _ in range(count):
            work()
        self.wait()
        return (time.perf_counter() - began) / count

    def time_queueing(self, work: Callable[[], object], repeats: int = 5) -> float:
        """Median seconds until ``work`` is queued, the device idle before."""
        taken = []
        for _ in range(repeats):
            self.wait()
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
        self.wait()
        return median(taken)

    def time_on_device(self, calls: list[Callable[[], object]], rounds: int = 5, repeats: int = 3) -> float:
        """Median seconds of one of ``calls``, replayed from a CUDA graph, so that no launches are measured."""
        if not self.cuda:
            return self.time(lambda: [call() for call in calls], 0.01, 2) / len(calls)
        for call in calls:
            call()
        self.wait()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(repeats):
                for call in calls:
                    call()
        graph.replay()
        taken = []
        for _ in range(rounds):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            taken.append(begin.elapsed_time(end) / 1e3 / (repeats * len(calls)))
        return median(taken)


def show(label: str, values: object) -> None:
    """Print one result."""
    print(f"  {label}: {values}", flush=True)
