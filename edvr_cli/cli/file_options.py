"""The options that name inputs and output, and say which files of folders are meant."""

from dataclasses import dataclass
from pathlib import Path

import click

from edvr_cli.cli.option_groups import option_group
from edvr_cli.cli.types import FILE, NAME
from edvr_cli.jobs.inputs import Selection

__all__ = ["Files", "file_options"]


@dataclass(frozen=True)
class Files:
    """Inputs and output as given on the command line."""

    paths: tuple[str, ...]
    input_path: str | None
    output_path: str | None
    list_file: Path | None
    recursive: bool
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    skip_existing: bool
    watch: bool

    @property
    def selection(self) -> Selection:
        """Which files of folders are restored."""
        return Selection(self.recursive, self.include, self.exclude)


file_options = option_group(
    "files",
    "Files",
    Files,
    {
        "paths": click.argument("paths", metavar="IN... [OUT]", nargs=-1, type=NAME),
        "input_path": click.option("-i", "--input", "input_path", metavar="IN", type=NAME, help="Same as IN."),
        "output_path": click.option("-o", "--output", "output_path", metavar="OUT", type=NAME, help="Same as OUT."),
        "list_file": click.option(
            "--list", "list_file", metavar="FILE", type=FILE, help="Also read inputs from FILE, one per line."
        ),
        "recursive": click.option("-r", "--recursive", is_flag=True, help="Search folders recursively."),
        "include": click.option(
            "--include", metavar="PATTERN", multiple=True, help="Restore only these files of folders: '*.mov'."
        ),
        "exclude": click.option(
            "--exclude", metavar="PATTERN", multiple=True, help="Skip these files of folders and patterns."
        ),
        "skip_existing": click.option("--skip-existing", is_flag=True, help="Skip files whose output exists."),
        "watch": click.option("--watch", is_flag=True, help="Wait for files in the folder IN, until Ctrl-C."),
    },
)
