"""The options of ``edvr train`` that say what a network begins with, and what it learns from a trained one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from edvr_cli.cli.fetch import PULL_OPTION, available
from edvr_cli.cli.types import Count, Finite
from edvr_cli.models.registry import find_model
from edvr_cli.train.recipe import Recipe

if TYPE_CHECKING:
    from edvr_cli.network.edvr import EDVR
    from edvr_cli.train.clips import Clip
    from edvr_cli.train.teacher.first_weights import InitName
    from edvr_cli.train.teacher.guidance import Teacher

__all__ = ["begin", "check_names", "recipe_option", "teacher_fields", "teacher_of", "teacher_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DEFAULTS = Recipe()
_INITS = ("auto", "random", "start", "widen", "transplant", "assemble")


def recipe_option(flag: str, kind: click.ParamType, help: str) -> Callable[[_Command], _Command]:
    """An option for the recipe's field of that name, with the recipe's default."""
    default = getattr(_DEFAULTS, flag.removeprefix("--").replace("-", "_"))
    return click.option(flag, type=kind, default=default, show_default=True, help=help)


def teacher_options(command: _Command) -> _Command:
    """Add the options to a command."""
    for option in reversed(
        (
            click.option("--start", metavar="MODEL", help="Model whose weights the network begins with."),
            PULL_OPTION,
            click.option(
                "--teacher",
                metavar="FILE",
                help="Trained network to learn from: a BasicVSR checkpoint in BasicSR's format, or an EDVR model.",
            ),
            click.option(
                "--init",
                type=click.Choice(_INITS),
                default="auto",
                show_default=True,
                help="First weights: random; those of --start as far as they fit, or widened with its function kept; "
                "the teacher's as far as they fit; or assembled from the teacher and --start in closed form.",
            ),
            recipe_option("--skeleton", Count(0), "First steps, without any alignment."),
            click.option(
                "--teacher-flow/--no-teacher-flow",
                default=_DEFAULTS.teacher_flow,
                help="Take the teacher's optical flow as the true motion of real footage.",
            ),
            recipe_option("--teacher-frame", Finite(0), "Weight of the distance to the teacher's frames."),
            recipe_option(
                "--teacher-features",
                Finite(0),
                "Weight of the share of the teacher's features that the network's do not explain.",
            ),
        )
    ):
        command = option(command)
    return command


def teacher_fields(options: dict[str, Any]) -> dict[str, Any]:
    """The recipe's fields that these options decide."""
    teacher = options["teacher"]
    if teacher is not None and Path(teacher).exists():
        teacher = str(Path(teacher).resolve())  # a run may be resumed from another folder
    names = ("skeleton", "teacher_flow", "teacher_frame", "teacher_features")
    return {"teacher": teacher, **{name: options[name] for name in names}}


def check_names(options: dict[str, Any]) -> None:
    """Fetch a model or teacher that is not there, if the user agrees; ModelError otherwise, before torch is loaded."""
    for name in (options["start"], options["teacher"]):
        if name is not None:
            find_model(available(name, agreed=options["pull"]))


def teacher_of(recipe: Recipe, options: dict[str, Any]) -> Teacher | None:
    """The teacher that ``recipe`` names, or the same one at another place."""
    from edvr_cli.train.teacher.checkpoint import read_teacher  # noqa: PLC0415 (torch takes seconds)

    name = options["teacher"] or recipe.teacher
    return None if name is None else read_teacher(name)


def begin(
    recipe: Recipe, options: dict[str, Any], teacher: Teacher | None, given: frozenset[str]
) -> tuple[Recipe, Callable[[Sequence[Clip], Callable[[str], None]], EDVR | None]]:
    """The recipe that suits the first weights, and what makes these from footage; it reports in sentences.

    ``given`` are the recipe's fields that the user chose.
    """
    from edvr_cli.models.checkpoint import load_model  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.teacher.first_weights import choose_init, first_weights, recipe_after  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.train.teacher.guidance import check_teacher  # noqa: PLC0415 (torch takes seconds)

    start = load_model(options["start"], "cpu").network if options["start"] else None
    init = cast("InitName", options["init"])
    if options["init"] == "auto":
        init = choose_init(recipe, start, teacher)
    recipe = recipe_after(init, recipe, start, given)
    check_teacher(teacher, recipe)  # before any footage is decoded

    def weights(clips: Sequence[Clip], on_note: Callable[[str], None]) -> EDVR | None:
        return first_weights(init, recipe, clips, start, teacher, on_note, options["device"])

    return recipe, weights
