"""``edvr train``: from a folder of footage to a model file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource

from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.output import echo_path
from edvr_cli.cli.teacher_options import begin, check_names, recipe_option, teacher_fields, teacher_of, teacher_options
from edvr_cli.cli.train_display import TrainDisplay
from edvr_cli.cli.types import DEVICE_NAME, FILE, FOLDER, NEW_FILE, REAL, Count, Finite
from edvr_cli.system.charts import NO_CHARTS, charts_available
from edvr_cli.system.malloc import keep_memory
from edvr_cli.train.recipe import PRESETS, DegradationName, OptimizerName, Precision, Recipe

if TYPE_CHECKING:
    from edvr_cli.train.clips import Clip

__all__ = ["train_command"]

_T = TypeVar("_T")
_HELD_OUT_OF = 4  # clips, at the least, before one is held out for validation
_DEFAULTS = Recipe()
_BLURRING_SPEED = 12.0  # motion that blurs by some pixels
_BLURRING_SUPERVISION = 0.003  # every sample has known motion: more would rule the run


_SECTIONS = {
    "Network": (
        "features", "extraction_blocks", "reconstruction_blocks", "tail", "tsa", "cascade", "levels",
    ),
    "Schedule": (
        "align", "minutes", "restarts", "attention", "fusion", "ramp", "skeleton", "batch", "patch", "learning_rate",
        "optimizer", "precision", "workers", "seed",
    ),
    "Samples": ("known", "speed", "supervision", "relative", "held_out", "cache", "clip_frames"),
    "First weights and teacher": (
        "start", "teacher", "init", "teacher_flow", "teacher_frame", "teacher_features",
    ),
    "Display": ("progress",),
}  # fmt: skip
_FIRST = ("task", "preset", "degradation", "steps", "device", "resume")


@click.command("train", cls=ReadableCommand, no_args_is_help=True, first=_FIRST, sections=_SECTIONS)
@click.argument("footage", type=FOLDER)
@click.argument("target", metavar="MODEL.safetensors", type=NEW_FILE)
@click.option("--run", type=FILE, help="Folder of the run's state.  [default: MODEL.run]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, as it was begun.")
@click.option("--task", type=click.Choice(["sr", "deblur"]), default="sr", show_default=True)
@click.option("--preset", type=click.Choice(list(PRESETS)), default="s", show_default=True, help="Size of the network.")
@click.option("--features", type=Count(8), help="Channels, a multiple of 8, instead of the preset's.")
@click.option("--extraction-blocks", type=Count(0), help="Instead of the preset's.")
@click.option("--reconstruction-blocks", type=Count(0), help="Instead of the preset's.")
@click.option("--tail", type=Count(4), help="Channels at output size, instead of the preset's.")
@click.option("--tsa/--no-tsa", default=True, help="Temporal and spatial attention.")
@click.option("--cascade/--no-cascade", default=True, help="The second alignment against the reference.")
@click.option("--levels", type=click.Choice(["1", "3"]), default="3", show_default=True, help="Of the alignment.")
@click.option(
    "--degradation",
    type=click.Choice(["clean", "real"]),
    default="clean",
    show_default=True,
    help="clean: bicubic, or blur alone; real: also noise and video compression.",
)
@click.option("--steps", type=Count(1), help=f"Of training.  [default: {_DEFAULTS.steps}, or what --minutes allow]")
@recipe_option("--align", Count(0), "Steps that train the alignment alone, on synthetic motion.")
@click.option(
    "--minutes",
    type=Finite(0, min_open=True),
    help="Make the schedule fit this time; with --steps or --resume, stop after it.",
)
@click.option("--patch", type=Count(16), help="Side of an input patch.  [default: 32, or 128 to deblur]")
@click.option("--batch", type=Count(1), default=_DEFAULTS.batch, show_default=True)
@click.option("--learning-rate", type=REAL, default=_DEFAULTS.learning_rate, show_default=True)
@recipe_option("--optimizer", click.Choice(["adam", "muon"]), "adam, as published, or muon, which learned faster here.")
@click.option(
    "--supervision",
    type=Finite(0),
    help=f"Weight of known motion's loss.  [default: {_DEFAULTS.supervision}, or {_BLURRING_SUPERVISION} to deblur]",
)
@recipe_option("--known", Finite(0, 1), "Share of samples with synthetic, known motion.")
@click.option(
    "--speed",
    type=Finite(0),
    help=f"Maximum synthetic motion, pixels per frame.  [default: {_DEFAULTS.speed}, or {_BLURRING_SPEED} to deblur]",
)
@click.option(
    "--relative/--absolute",
    default=None,
    help="Divide each sample's loss by that of the unrestored frame, or not.  [default: relative to deblur]",
)
@recipe_option("--restarts", Count(1), "Cosine periods in each stage.")
@recipe_option("--attention", Finite(0, 1), "Share of the steps after alignment that include TSA.")
@recipe_option("--fusion", Count(0), "Steps that train TSA alone.")
@recipe_option("--ramp", Count(0), "Steps until motion and degradation reach full strength.")
@teacher_options
@click.option("--held-out", metavar="NAME", multiple=True, help="Source for validation only; repeatable.")
@click.option("--cache", type=FILE, help="Folder of decoded frames.  [default: in the run's]")
@click.option("--clip-frames", type=Count(5), default=150, show_default=True, help="Of each source, at most.")
@click.option("-d", "--device", type=DEVICE_NAME, default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", "bf16", "fp32"]), default="auto", show_default=True,
              help="auto is bf16 where the device multiplies in it.")  # fmt: skip
@click.option("--workers", type=Count(0), default=0, show_default=True, help="Processes that make samples.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal.")
@click.pass_context
def train_command(context: click.Context, /, **options: Any) -> None:
    """Train a network on the videos, or folders of frames, in FOOTAGE.

    The run's folder keeps its state, a table (log.csv) and, with matplotlib, a chart (chart.png). --resume
    continues an interrupted run and ends with the same weights. When training diverges, it returns to the last good
    state by itself, with a smaller learning rate. A run that continues a model of its own size, widens a small one or
    assembles one with a --teacher keeps its alignment: all steps train the whole network unless said otherwise.
    """
    keep_memory()
    target: Path = options["target"]
    if target.suffix != ".safetensors":
        raise click.UsageError(f"{target} must be named .safetensors")
    run = options["run"] or target.with_suffix(".run")
    check_names(options)
    if options["resume"] and not run.is_dir():
        raise click.UsageError(f"there is no run to resume: {run} does not exist")
    if not options["resume"]:
        recipe = _checked(lambda: _recipe(options))
    from edvr_cli.system.hardware import resolve_device  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.checkpoint import STATE_FILE, read_checkpoint  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.clips import build_cache  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.loop import train  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.time_budget import fit_steps_to_minutes  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.video.clip_folders import sources_in  # noqa: PLC0415 (torch takes seconds)

    options["device"] = resolve_device(options["device"])
    if options["resume"]:
        recipe = read_checkpoint(run / STATE_FILE).recipe
        teacher = teacher_of(recipe, options)
    else:
        given = frozenset(name for name in options if context.get_parameter_source(name) != ParameterSource.DEFAULT)
        teacher = _checked(lambda: teacher_of(recipe, options))
        recipe, first_weights = _checked(lambda: begin(recipe, options, teacher, given))
    with TrainDisplay(bar=options["progress"]) as display:
        clips = build_cache(
            sources_in(options["footage"]),
            options["cache"] or run / "cache",
            frames=options["clip_frames"],
            on_clip=lambda name: display.say(f"decoding {name}"),
        )
        clips, held_out = _split(clips, options["held_out"])
        if not charts_available():
            display.say(NO_CHARTS)
        display.say(f"{len(clips)} shots to train on, {len(held_out)} to validate")
        fits = options["minutes"] is not None and options["steps"] is None and not options["resume"]
        if fits:
            recipe = fit_steps_to_minutes(
                recipe, clips, options["minutes"], device=options["device"], workers=options["workers"], teacher=teacher
            )
            display.say(f"{options['minutes']:g} minutes allow {recipe.steps} steps here")
        start = None if options["resume"] else first_weights(clips, display.say)
        try:
            train(
                recipe,
                clips,
                target,
                run=run,
                held_out=held_out,
                start=start,
                resume=options["resume"],
                minutes=None if fits else options["minutes"],
                device=options["device"],
                workers=options["workers"],
                teacher=teacher,
                on_event=display,
            )
        except KeyboardInterrupt:
            display.say(f"interrupted; the run is kept in {run}: continue it with --resume")
            sys.exit(130)
    echo_path(target)


def _checked(make: Callable[[], _T]) -> _T:
    """What ``make`` makes. Raises UsageError for settings that cannot be."""
    try:
        return make()
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _recipe(options: dict[str, Any]) -> Recipe:
    size = PRESETS[options["preset"]]
    given = {
        name: options[name]
        for name in ("features", "extraction_blocks", "reconstruction_blocks", "tail")
        if options[name] is not None
    }
    return Recipe(
        task=options["task"],
        size=replace(size, **given),
        tsa=options["tsa"],
        cascade=options["cascade"],
        levels=int(options["levels"]),
        degradation=cast(DegradationName, options["degradation"]),
        steps=options["steps"] or _DEFAULTS.steps,
        align=options["align"],
        patch=_chosen(options, "patch", _DEFAULTS.patch, 128),
        batch=options["batch"],
        learning_rate=options["learning_rate"],
        optimizer=cast(OptimizerName, options["optimizer"]),
        known=options["known"],
        supervision=_chosen(options, "supervision", _DEFAULTS.supervision, _BLURRING_SUPERVISION),
        attention=options["attention"],
        fusion=options["fusion"],
        ramp=options["ramp"],
        speed=_chosen(options, "speed", _DEFAULTS.speed, _BLURRING_SPEED),
        relative=_chosen(options, "relative", False, True),
        restarts=options["restarts"],
        precision=cast(Precision, options["precision"]),
        seed=options["seed"],
        **teacher_fields(options),
    )


def _chosen(options: dict[str, Any], name: str, enlarging: _T, deblurring: _T) -> _T:
    """The option as given, or what suits the task."""
    given: _T | None = options[name]
    if given is not None:
        return given
    return deblurring if options["task"] == "deblur" else enlarging


def _split(clips: list[Clip], held_out: tuple[str, ...]) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on and to validate on: those of the named sources, or of the last if none is named."""
    sources = sorted({clip.source for clip in clips})
    chosen = {source for source in sources if {source, Path(source).stem} & set(held_out)}
    if unknown := set(held_out) - chosen - {Path(source).stem for source in chosen}:
        raise click.UsageError(f"--held-out {', '.join(sorted(unknown))}: the sources are {', '.join(sources)}")
    if not held_out and len(sources) >= _HELD_OUT_OF:
        chosen = set(sources[-1:])
    if not set(sources) - chosen:
        raise click.UsageError("--held-out leaves nothing to train on")
    return [clip for clip in clips if clip.source not in chosen], [clip for clip in clips if clip.source in chosen]
