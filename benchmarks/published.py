"""The published form and the engine, each in a process of its own, in turns.

`edvr bench` times both in one process, where the published form finds the memory that the command keeps between
frames. Here it runs as everywhere else, with the C library's own settings. Besides seconds this tells processor
seconds, which other programs on the machine disturb less.

    python -m benchmarks.published --size m --rounds 3 --threads 2
"""

import argparse
import json
import subprocess
import sys
import time
from itertools import cycle
from statistics import median

import torch

from edvr_cli.bench.network import _windows, random_network
from edvr_cli.bench.published import published_form
from edvr_cli.bench.sizes import SIZES
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.system.malloc import keep_memory

FORMS = ("published", "fp32", "bf16")
FRAMES = 2  # a process, after one that is not counted


@torch.inference_mode()
def measure(form: str, size: str, width: int, height: int) -> None:
    """Print the processor's seconds and the clock's of each frame, as JSON."""
    model = random_network(SIZES[size])
    run = cycle(_windows(model, width, height))
    if form == "published":
        whole, _ = published_form(model)
        work = lambda: whole(torch.stack(next(run).frames)[None])  # noqa: E731
    else:
        keep_memory()
        engine = StreamingEDVR(model, InferenceOptions(precision=form))
        work = lambda: engine.restore(next(run))  # noqa: E731
    work()
    times = []
    for _ in range(FRAMES):
        processor, clock = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - processor, time.perf_counter() - clock))
    print(json.dumps(times))


def main() -> None:
    """Parse, take turns, tell the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="m")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=180)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.form:
        torch.set_num_threads(arguments.threads)
        measure(arguments.form, arguments.size, arguments.width, arguments.height)
        return
    times: dict[str, list[list[float]]] = {form: [] for form in FORMS}
    for _ in range(arguments.rounds):
        for form in FORMS:
            command = [sys.executable, "-m", "benchmarks.published", "--form", form, *sys.argv[1:]]
            times[form] += json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    base = [median(column) for column in zip(*times["published"], strict=True)]
    for form, found in times.items():
        processor, clock = (median(column) for column in zip(*found, strict=True))
        print(
            f"{form:10} processor {processor:6.2f} s, {base[0] / processor:5.2f}×   "
            f"clock {clock:6.2f} s, {base[1] / clock:5.2f}×   of {len(found)} frames"
        )


if __name__ == "__main__":
    main()
