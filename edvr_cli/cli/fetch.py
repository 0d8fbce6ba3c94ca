"""Fetching published models: on request, and when one is used that is not on this machine."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from edvr_cli.cli.interrupt import immediate_interrupt
from edvr_cli.cli.messages import Messages
from edvr_cli.errors import ModelError
from edvr_cli.models.registry import MODELS, ModelEntry, find_model

__all__ = ["PULL_OPTION", "available", "fetch"]

PULL_OPTION = click.option("--pull", is_flag=True, help="Fetch a published model that is not on this machine.")
_BYTES_PER_PARAMETER = 4  # published checkpoints hold float32


def fetch(name: str) -> Path:
    """Fetch a published model into the user's folder with a progress bar, and check it; returns its file."""
    from edvr_cli.models import library  # noqa: PLC0415 (loads torch)

    console = Messages()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        path = library.pull(name, lambda done, total: progress.update(task, completed=done, total=total))
    console.print(f"{name}: checked.")
    return path


def available(name: str, *, agreed: bool) -> str:
    """``name`` itself, once its model is on this machine where it is a published one.

    Fetches the model if the user has ``agreed`` to, and asks on a terminal. Raises ModelError where it cannot ask,
    with what to do, and click.Abort where the answer is no.
    """
    entry = MODELS.get(name)
    if entry is None or not entry.addresses or Path(name).is_file() or _is_here(name):
        return name
    if not agreed:
        if not (sys.stdin and sys.stdin.isatty() and Messages().is_terminal):
            raise ModelError(
                f"model {name!r} is not on this machine: {_offer(entry)}. Pass --pull to fetch it, run "
                f"`edvr models pull {name}` beforehand, or add a file that you have by `edvr models add FILE`"
            )
        with immediate_interrupt():
            click.confirm(f"The model {name} is not on this machine: {_offer(entry)}. Fetch it?", abort=True, err=True)
    with immediate_interrupt():
        fetch(name)
    return name


def _is_here(name: str) -> bool:
    try:
        find_model(name)
    except ModelError:
        return False
    return True


def _offer(entry: ModelEntry) -> str:
    """Size, license, and where it comes from."""
    size = entry.parameters * _BYTES_PER_PARAMETER / 1e6
    hosts = " or ".join(urlsplit(address).hostname or address for address in entry.addresses)
    return f"about {size:.0f} MB, license {entry.license}, from {hosts}"
