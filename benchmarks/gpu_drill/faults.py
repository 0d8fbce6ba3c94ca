"""Parts about what goes wrong: too little memory, and machines on which Triton cannot work."""

import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.gpu_drill.drill import Drill, Results, show
from benchmarks.gpu_drill.inputs import inner_windows, network
from edvr_cli.inference import memory_plan
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.memory_plan import peak_memory
from edvr_cli.inference.options import InferenceOptions


def group_small_frames() -> None:
    """Have the engine restore several windows at once on a processor too: for dry runs."""
    memory_plan.at_once_limit = lambda device: 3 * 36 * 28


def memory(drill: Drill, found: Results) -> None:
    """Less memory than planned with: the engine notices, takes less, and gives the same frame."""
    if not drill.cuda:
        return
    width, height = 640, 360
    model = network("M", drill.device)
    stream = inner_windows(2, width, height, drill.device)
    whole = StreamingEDVR(copy.deepcopy(model), InferenceOptions(precision="fp16", tile=0)).restore(stream[1])
    total = torch.cuda.get_device_properties(drill.device).total_memory
    for share in (0.6, 0.3):
        notices: list[str] = []
        engine = StreamingEDVR(copy.deepcopy(model), InferenceOptions(precision="fp16"), on_notice=notices.append)
        engine.prepare(height, width)
        forecast = peak_memory(engine._plan, engine.config, height, width, engine.options.tile_pad, 2)
        drill.clean()
        cap = torch.cuda.memory_allocated() + share * forecast
        torch.cuda.set_per_process_memory_fraction(min(1.0, cap / total), drill.device)
        row: Results = {"forecast MiB": forecast >> 20, "cap MiB": int(cap) >> 20, "notices": notices}
        try:
            engine.restore(stream[0])
            difference = float((engine.restore(stream[1]) - whole).abs().max()) * 255
            row |= {"tile": engine.tile_size, "largest difference, of 255": difference}
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {str(error)[:300]}"
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, drill.device)
        found[str(share)] = row
        show(f"{share} of the forecast", row)


_CHILD = """
import json, sys, time
began = time.perf_counter()
sys.path.insert(0, {folder!r})
found = {{}}
try:
    import torch
    from edvr_cli.inference.engine import StreamingEDVR
    from edvr_cli.network.edvr import EDVR, EDVRConfig
    from edvr_cli.network.windows import Window
    device = torch.device("cuda" if torch.cuda.is_available() and not {dry} else "cpu")
    model = EDVR(EDVRConfig(features=32, tail=32)).eval().requires_grad_(False).to(device)
    found["model s"] = round(time.perf_counter() - began, 2)
    engine = StreamingEDVR(model)
    out = engine.restore(Window(tuple(range(5)), tuple(torch.rand(3, 32, 48) for _ in range(5))))
    found["first frame s"] = round(time.perf_counter() - began, 2)
    found["finite"] = bool(out.isfinite().all())
    found["notes"] = list(engine.notes)
except BaseException as error:
    found["error"] = type(error).__name__ + ": " + " ".join(str(error).split())[-300:]
print("FOUND" + json.dumps(found))
"""


def startup(drill: Drill, found: Results) -> None:
    """A first frame in a new process: with cold and warm caches, and where tools that Triton needs are missing."""
    with tempfile.TemporaryDirectory(prefix="edvr-drill-") as folder:
        cache, bare = str(Path(folder, "cache")), str(Path(folder, "bare"))
        Path(bare).mkdir()
        cases = {
            "cold cache": {"TRITON_CACHE_DIR": cache},
            "warm cache": {"TRITON_CACHE_DIR": cache},
            "cache cannot be written": {"TRITON_CACHE_DIR": "/proc/edvr-drill"},
            "no compiler": {"PATH": bare, "CC": "", "TRITON_CACHE_DIR": str(Path(folder, "a"))},
            "compiler fails": {"CC": "/bin/false", "TRITON_CACHE_DIR": str(Path(folder, "b"))},
            "no GPU to be seen": {"CUDA_VISIBLE_DEVICES": ""},
        }
        for name, changes in cases.items():
            if drill.left < 15:
                break
            if drill.dry and name != "no GPU to be seen":
                continue
            environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"} | changes
            if environment.get("CC") == "":
                del environment["CC"]
            code = _CHILD.format(folder=str(Path.cwd()), dry=drill.dry)
            command = [sys.executable, "-c", code]
            run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
            lines = [line for line in run.stdout.splitlines() if line.startswith("FOUND")]
            found[name] = json.loads(lines[-1][5:]) if lines else {"error": run.stderr[-300:]}
            show(name, found[name])
