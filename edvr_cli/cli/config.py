"""``edvr config``: the settings file, what it sets, and its profiles."""

from pathlib import Path

import click
from rich.table import Table

from edvr_cli.cli.commands import Commands
from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.output import PlainConsole, echo_path
from edvr_cli.cli.settings import as_toml, check_all
from edvr_cli.cli.settings_file import SettingsFile, read_settings, usual_path
from edvr_cli.cli.types import FILE
from edvr_cli.errors import OutputError, raised_as
from edvr_cli.system.files import write_file

__all__ = ["EXAMPLE", "config_command"]

EXAMPLE = """\
# Settings of edvr. Every option can be set by its long name: see edvr upscale -h.
# The command line wins over this file. Take away a leading # to use a line.

# For every command that has the option:
#device = "cpu"

[upscale]
#crf = 16
#preset = "slow"
#strength = 0.9
#encoder-option = ["tune=film"]

# A profile is taken by: edvr upscale in.mp4 out.mp4 --profile vhs
[profiles.vhs]
#deinterlace = "frame"
#denoise = 1.0

[profiles.vhs.upscale]
#height = 1080
#audio = true
"""

_EXAMPLES = {
    "edvr config": "where the file is, what it sets, its profiles",
    "edvr config --init": "write a file to begin with",
    "edvr upscale in.mp4 out.mp4 --profile vhs": "use a profile",
}


@click.command("config", cls=ReadableCommand, examples=_EXAMPLES)
@click.option("--config", "path", metavar="FILE", type=FILE, help="Another file than the usual one.")
@click.option("--init", is_flag=True, help="Write an example, all of it commented out.")
@click.pass_context
def config_command(context: click.Context, path: Path | None, init: bool) -> None:
    """Show the file with your settings: every option of a command can be set there, and in profiles.

    A file with an unknown key or a bad value is refused, by this command and by all that use it.
    """
    if init:
        _init(path or usual_path())
        return
    file = read_settings(path)
    group = context.find_root().command
    assert isinstance(group, Commands)
    check_all(file, group.with_settings(context))
    _show(file)


@raised_as(OutputError)
def _init(path: Path) -> None:
    """Write the example. Raises OutputError where the file exists."""
    if path.exists():
        raise OutputError(f"{path} exists and is not changed.", wrong_usage=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, EXAMPLE.encode())
    echo_path(path)


def _show(file: SettingsFile) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    missing = "" if file.path.exists() else " (not there; edvr config --init writes an example)"
    table.add_row("file", f"{file.path}{missing}")
    shown = set()
    for profile in (None, *file.profiles):
        for layer in file.layers(profile):
            if layer.title not in shown:
                shown.add(layer.title)
                settings = ", ".join(as_toml(key, value) for key, value in layer.options.items())
                if settings or (profile is not None and layer.command is None):
                    table.add_row(layer.title or "all commands", settings)
    table.add_row("profiles", ", ".join(file.profiles) or "none")
    PlainConsole().print(table)
