"""``edvr models``: see, fetch, check, add and convert models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from edvr_cli.cli.fetch import fetch
from edvr_cli.cli.help import ReadableGroup
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import PlainConsole, echo, echo_json, echo_path, markup
from edvr_cli.cli.types import FILE, MODEL, Finite
from edvr_cli.errors import EdvrError, ModelError
from edvr_cli.models.registry import model_folders

if TYPE_CHECKING:
    from edvr_cli.models import library as collection

__all__ = ["models"]

_COLUMNS = {"name": 0, "task": 0, "size": 0, "license": 100, "PSNR": 70, "where": 0}
"""Of the list, and the width of a terminal from which each is shown; `edvr models info` has them all."""

_EXAMPLES = {
    "edvr models": "what there is, and what of it is here",
    "edvr models pull edvr-m-x4-reds": "fetch a published model",
    "edvr models add my.pth --name mine": "use your own by name",
}


@click.group(cls=ReadableGroup, invoke_without_command=True, examples=_EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Write the list to standard output as JSON.")
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models, or see, fetch, check, add and convert them."""
    if ctx.invoked_subcommand is None:
        _list(as_json)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write the list to standard output as JSON.")
def list_command(as_json: bool) -> None:
    """List every model: known ones, and those in your folder."""
    _list(as_json)


def _list(as_json: bool) -> None:
    from edvr_cli.models import library as collection  # noqa: PLC0415 (torch takes seconds)

    listed = collection.list_models()
    if as_json:
        rows = [{"name": m.name, "path": m.path} | _facts(m) for m in listed]
        echo_json(rows, indent=2)
        return
    console = PlainConsole()
    titles = [title for title, columns in _COLUMNS.items() if console.width >= columns]
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=title != "PSNR")
    for m in listed:
        mark = "*" if m.entry and m.entry.shipped else ""
        cells = {"name": markup("[bold]{}[/]{}", m.name, mark) if m.path else m.name} | _cells(m)
        table.add_row(*(cells[title] for title in titles))
    console.print(table)
    Messages().tell(
        f"\n* comes with the package. Others are looked for in {model_folders()[-1]}\nFetch one: edvr models pull NAME"
    )


def _cells(m: collection.Listed) -> dict[str, str]:
    """Task, size, license, PSNR, and whether it is here."""
    here = {"where": "here" if m.path else "-"}
    if m.entry is None:
        mebibytes = m.path.stat().st_size / 2**20 if m.path else 0
        return here | {"task": "", "size": f"{mebibytes:.1f} MiB", "license": "", "PSNR": ""}
    task = {"sr": "×4", "deblur": "deblur"}[m.entry.task]
    size = f"{m.entry.parameters / 1e6:.1f} M"
    return here | {"task": task, "size": size, "license": m.entry.license, "PSNR": m.entry.quality}


def _facts(m: collection.Listed) -> dict[str, Any]:
    if m.entry is None:
        return {}
    e = m.entry
    return {
        "task": e.task,
        "scale": e.scale,
        "parameters": e.parameters,
        "license": e.license,
        "quality": e.quality or None,
        "summary": e.summary,
        "shipped": e.shipped,
    }


@models.command(no_args_is_help=True)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Write it to standard output as JSON.")
def info(name: str, as_json: bool) -> None:
    """Describe a MODEL, given by name or file."""
    from edvr_cli.models import library as collection  # noqa: PLC0415 (torch takes seconds)

    facts = collection.describe(name)
    if as_json:
        echo_json(facts, indent=2)
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        for number, line in enumerate(_lines(key, value, name)):
            echo(f"{'' if number else key.replace('_', ' '):{width}}  {line}")


def _lines(key: str, value: Any, name: str) -> list[str]:
    """A property as text."""
    match value:
        case None:
            return [f"not here: edvr models pull {name}"] if key == "path" else []
        case bool():
            return ["yes" if value else "no"]
        case int():
            return [f"{value:,}"]
        case list():
            return list(value) if key == "published_at" else [", ".join(map(str, value))]
        case dict():
            return [f"{k}: {v}" for k, v in value.items()]
    return [str(value)]


@models.command(no_args_is_help=True)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=MODEL)
def pull(names: tuple[str, ...]) -> None:
    """Fetch published models into your folder (EDVR_MODEL_DIR, or the user's data folder).

    An interrupted download is continued; a file is used only after its sha256 is checked.
    EDVR_MODEL_URL names another place to fetch from, HTTPS_PROXY and HTTP_PROXY a proxy.
    """
    for name in names:
        echo_path(fetch(name))


@models.command()
@click.argument("names", metavar="[MODEL]...", nargs=-1, type=MODEL)
def verify(names: tuple[str, ...]) -> None:
    """Check models, given by name or file, or all that are here: digest, names and shapes of parameters."""
    from edvr_cli.models import library as collection  # noqa: PLC0415 (torch takes seconds)

    console = Messages()
    failed = []
    for name in names or [m.name for m in collection.list_models() if m.path]:
        try:
            collection.verify(name)
            console.tell(markup("[green]good[/]  {}", name))
        except EdvrError as error:
            failed.append(name)
            console.tell(markup("[red]bad[/]  {}", error))
    if failed:
        raise ModelError(f"{len(failed)} of the models cannot be used: {', '.join(failed)}")


@models.command(no_args_is_help=True)
@click.argument("file", type=FILE)
@click.option("--name", default="", help="What to call it.  [default: the file's name]")
@click.option("-y", "--overwrite", is_flag=True, help="Replace a model of that name.")
def add(file: Path, name: str, overwrite: bool) -> None:
    """Copy the checkpoint FILE into your folder, to be used by name."""
    from edvr_cli.models import library as collection  # noqa: PLC0415 (torch takes seconds)

    called, path = collection.add(file, name=name, overwrite=overwrite)
    Messages().print(f"use it as --model {called}")
    echo_path(path)


@models.command(no_args_is_help=True)
@click.argument("source", metavar="MODEL", type=MODEL)
@click.argument("target", metavar="FILE", type=FILE)
@click.option("--half", is_flag=True, help="Keep 16 bits of each parameter: half the size.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace FILE if it exists.")
def convert(source: str, target: Path, half: bool, overwrite: bool) -> None:
    """Write MODEL into FILE, a .safetensors or .pth, under the published names of its parameters.

    Reads BasicSR's, OpenMMLab's and the first release's checkpoints.
    """
    from edvr_cli.models import library as collection  # noqa: PLC0415 (torch takes seconds)

    collection.convert(source, target, half=half, overwrite=overwrite)
    echo_path(target)


@models.command(no_args_is_help=True)
@click.argument("first", metavar="MODEL", type=MODEL)
@click.argument("second", metavar="OTHER", type=MODEL)
@click.argument("target", metavar="FILE.safetensors", type=FILE)
@click.option("--share", type=Finite(0, 1), default=0.5, show_default=True, help="Of OTHER in the mean.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace FILE if it exists.")
def blend(first: str, second: str, target: Path, share: float, overwrite: bool) -> None:
    """Write a network between MODEL and OTHER, one of which was trained on from the other.

    Between edvr-s-x4-real and edvr-s-x4, a larger share of the latter leaves more detail, and more of what
    compression did.
    """
    from edvr_cli.models import library as collection  # noqa: PLC0415 (torch takes seconds)

    collection.blend(first, second, target, share=share, overwrite=overwrite)
    echo_path(target)
