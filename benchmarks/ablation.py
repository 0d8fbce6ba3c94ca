"""The paper's ablations at one small, equal budget: python -m benchmarks.ablation FOOTAGE TRUTH INPUTS RUNS

Trains the same small network whole, without TSA, without the cascade, and with one pyramid level (single-scale
deformable alignment, as TDAN's), on FOOTAGE, then measures each as ``edvr eval`` does on the clips TRUTH and INPUTS,
with true windows and with copies of the reference. Each is trained from nothing, or with --start from the weights of
a network of the S size, as far as they fit. RUNS keeps the runs: what was interrupted goes on. Prints a Markdown table.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from edvr_cli.models.checkpoint import load_model
from edvr_cli.network.edvr import EDVR
from edvr_cli.quality.benchmark_sets import ClipScore, EvaluationOptions, evaluate
from edvr_cli.train.checkpoint import STATE_FILE
from edvr_cli.train.clips import Clip, build_cache
from edvr_cli.train.events import Progress
from edvr_cli.train.loop import train
from edvr_cli.train.recipe import PRESETS, NetworkSize, Recipe
from edvr_cli.video.clip_folders import sources_in

WHOLE = Recipe(
    size=NetworkSize(features=16, extraction_blocks=2, reconstruction_blocks=4, tail=16),
    steps=800,
    align=250,
    attention=0.4,
    fusion=50,
    optimizer="muon",
    learning_rate=1e-3,
    ramp=100,
    known=0.5,
    speed=1.2,
    validate_every=10_000,
)
ONWARD = replace(WHOLE, size=PRESETS["s"], steps=300, align=0, attention=1.0, fusion=0, learning_rate=4e-4, ramp=0)
VARIANTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "without TSA": {"tsa": False},
    "without the cascade": {"cascade": False},
    "one pyramid level": {"levels": 1},
}


def main() -> None:
    """Train and measure what is not yet done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("footage", "truth", "inputs", "runs"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--cache", type=Path, help="decoded footage (default: RUNS/cache)")
    parser.add_argument("--start", help="a model's name or file to go on from")
    parser.add_argument("--frames", type=int, help="of each clip, at most")
    arguments = parser.parse_args()
    clips = build_cache(sources_in(arguments.footage), arguments.cache or arguments.runs / "cache")
    scores: dict[str, tuple[list[ClipScore], list[ClipScore]]] = {}
    start = load_model(arguments.start, "cpu").network if arguments.start else None
    for name, changes in VARIANTS.items():
        recipe = replace(WHOLE if start is None else ONWARD, **changes)
        model = _trained(recipe, clips, arguments.runs / name.replace(" ", "-"), name, start)
        scores[name] = tuple(  # type: ignore[assignment]
            list(
                evaluate(
                    arguments.truth,
                    arguments.inputs,
                    load_model(model),
                    EvaluationOptions(copies=copies, frames=arguments.frames),
                )
            )
            for copies in (False, True)
        )
        _show(scores)


def _trained(recipe: Recipe, clips: list[Clip], run: Path, name: str, start: EDVR | None) -> Path:
    target = run / "model.safetensors"
    if not target.exists():
        began = time.monotonic()

        def show(event: object) -> None:
            if isinstance(event, Progress) and event.step % 100 == 0:
                print(f"{name}: step {event.step}, loss {event.loss:.4f}, {time.monotonic() - began:.0f} s", flush=True)

        resume = (run / STATE_FILE).exists()
        train(recipe, clips, target, run=run, start=start, resume=resume, on_event=show)
    return target


def _show(scores: dict[str, tuple[list[ClipScore], list[ClipScore]]]) -> None:
    clips = [score.clip for score in next(iter(scores.values()))[0]]
    print(f"\n| | {' | '.join(clips)} | {' | '.join(f'{clip}: gain over copies' for clip in clips)} |")
    print("|---" * (1 + 2 * len(clips)) + "|")
    for name, (windows, copies) in scores.items():
        psnrs = [f"{score.psnr_y:.2f}" for score in windows]
        gains = [f"{a.psnr_y - b.psnr_y:+.3f}" for a, b in zip(windows, copies, strict=True)]
        print(f"| {name} | {' | '.join(psnrs)} | {' | '.join(gains)} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
