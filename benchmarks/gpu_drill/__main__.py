"""Check and measure the GPU path within minutes: run it in a checkout, on a machine with a GPU.

    python -m benchmarks.gpu_drill                       all parts, under six minutes
    python -m benchmarks.gpu_drill --only deform,fps     some of them, in this order
    python -m benchmarks.gpu_drill --dry                 tiny sizes on the processor, kernels interpreted

Results are in gpu_drill.json, in the folder $OUT or here, after each part. Needs torch, Triton and safetensors, for
comparisons torchvision, for a video from end to end PyAV.
"""

import argparse
import faulthandler
import os
import sys


def main() -> None:
    """Run the parts that were asked for; exit with 1 where one failed or found a wrong result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="tiny sizes on the processor, kernels interpreted")
    parser.add_argument("--only", default="", help="parts, separated by commas")
    parser.add_argument("--quick", action="store_true", help="fewer types, sizes and tiles")
    parser.add_argument("--budget", type=float, default=345, help="seconds for all parts")
    given = parser.parse_args()
    if given.dry:
        os.environ["TRITON_INTERPRET"] = "1"  # decided when Triton is imported
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
    faulthandler.enable()
    faulthandler.dump_traceback_later(given.budget + 60, exit=True)

    # After the environment is set.
    from benchmarks.gpu_drill import correctness, faults, speed  # noqa: PLC0415
    from benchmarks.gpu_drill.drill import Drill  # noqa: PLC0415

    if given.dry:
        faults.group_small_frames()
    parts = {
        "machine": speed.machine,
        "deform": correctness.deform,
        "pointwise": correctness.pointwise,
        "attention": correctness.attention,
        "engine": correctness.engine,
        "deform_time": speed.deform_time,
        "rates": speed.rates,
        "fps": speed.fps,
        "profile": speed.profile,
        "sweep": speed.sweep,
        "searched": speed.searched,
        "end_to_end": speed.end_to_end,
        "memory": faults.memory,
        "backward": correctness.backward,
        "tiles": correctness.tiles,
        "startup": faults.startup,
    }
    names = [name for name in given.only.split(",") if name]
    unknown = [name for name in names if name not in parts]
    if unknown:
        parser.error(f"no part is named {', '.join(unknown)}: there are {', '.join(parts)}")
    drill = Drill(dry=given.dry, budget=given.budget, quick=given.quick)
    drill.results["arguments"] = vars(given)
    drill.run({name: parts[name] for name in names} or parts)
    faulthandler.cancel_dump_traceback_later()
    wrong = [name for name in ("deform", "pointwise", "attention") if drill.results["parts"].get(name, {}).get("bad")]
    failed = [*drill.results["errors"], *wrong]
    print(f"\n{drill.results['seconds']} s; failed, wrong or left out: {', '.join(failed) or 'none'}; {drill.path}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
