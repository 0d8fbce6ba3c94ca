"""The commands by name, each loaded when it is run, so that help and completion do not load torch."""

import shlex
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from edvr_cli.cli.help import ReadableGroup, write_rows
from edvr_cli.cli.messages import LOG_OPTIONS
from edvr_cli.cli.settings import SETTINGS_OPTIONS, settings_for
from edvr_cli.errors import EdvrError
from edvr_cli.video.addresses import is_url

__all__ = ["Commands"]


_WITHOUT_SETTINGS = {"models", "doctor", "completion", "config"}


class _Loaded(Mapping[str, click.Command]):
    """Commands of a group by name."""

    def __init__(self, group: click.Group, ctx: click.Context, names: list[str]) -> None:
        self._group, self._ctx, self._names = group, ctx, names

    def __getitem__(self, name: str) -> click.Command:
        command = self._group.get_command(self._ctx, name) if name in self._names else None
        if command is None:
            raise KeyError(name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Commands(ReadableGroup):
    """A group of ``sections``: title → command → (module and attribute, what the list of commands says)."""

    def __init__(self, sections: Mapping[str, Mapping[str, tuple[str, str]]], **attributes: object) -> None:
        self._sections = sections
        self._places = {name: place for section in sections.values() for name, (place, _) in section.items()}
        stand_ins = {
            name: click.Command(name, short_help=help_) for s in sections.values() for name, (_, help_) in s.items()
        }
        super().__init__(commands=stand_ins, **attributes)  # type: ignore[arg-type]  # those of click.Group

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, with the options common to all commands."""
        if cmd_name not in self._places:
            return None
        module, attribute = self._places[cmd_name].split(":")
        try:
            command: click.Command = getattr(import_module(f"edvr_cli.cli.{module}"), attribute)
        except (ImportError, OSError) as error:
            raise EdvrError(f"edvr {cmd_name} cannot start: {error}. `edvr doctor` names what is broken.") from error
        for leaf in command.commands.values() if isinstance(command, click.Group) else (command,):
            leaf.params += [option for option in LOG_OPTIONS if option not in leaf.params]
        if cmd_name not in _WITHOUT_SETTINGS:
            command.params += [option for option in SETTINGS_OPTIONS if option not in command.params]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named first; a video in its place is answered with what to type."""
        first = args[0] if args else ""
        if first not in self._places and (Path(first).exists() or is_url(first)):
            rest, quoted = shlex.join(args), shlex.quote(first)
            ctx.fail(
                f"{first} is not a command. Type `edvr upscale {rest}` to enlarge it, `edvr preview {quoted}` "
                f"to see a few moments first, `edvr info {quoted}` to see what is in it."
            )
        name, command, arguments = super().resolve_command(ctx, args)
        if name is not None and command is not None and name not in _WITHOUT_SETTINGS and not ctx.resilient_parsing:
            ctx.default_map = {name: settings_for(ctx, command, arguments, self.with_settings(ctx))}
        return name, command, arguments

    def with_settings(self, ctx: click.Context) -> Mapping[str, click.Command]:
        """The commands whose options can be set in a file, each loaded when it is looked at."""
        return _Loaded(self, ctx, [name for name in self._places if name not in _WITHOUT_SETTINGS])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(self._places)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``edvr --help``."""
        for title, section in self._sections.items():
            with formatter.section(title):
                write_rows(formatter, [(name, help_) for name, (_, help_) in section.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names that begin so."""
        found = [
            CompletionItem(name, help=command.short_help)
            for name, command in self.commands.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)
