"""Help that a person can read: options in sections, those that matter first, and examples, at any width."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

__all__ = ["ReadableCommand", "ReadableGroup", "put_into_section", "write_rows"]

_FIRST, _OTHER, _LAST = "Most used", "Options", "Display"
_MAX_COLUMN, _MIN_COLUMN = 26, 16  # of the names; longer ones stand on a line of their own
_SHARE = 0.3  # of the width, for the names


def put_into_section(option: click.Parameter, title: str) -> None:
    """Show ``option`` under ``title`` in the help of every command that has it."""
    vars(option)["section"] = title


def write_rows(formatter: click.HelpFormatter, rows: Sequence[tuple[str, str]]) -> None:
    """Names and what they mean, in two columns that are the same in every section."""
    column = max(_MIN_COLUMN, min(_MAX_COLUMN, int(_SHARE * formatter.width)))
    formatter.write_dl([(name.ljust(column), meaning) for name, meaning in rows], col_max=column)


class _Readable(click.Command):
    """A command whose help has sections; ``first`` are the names of the options that matter most.

    ``sections`` (title → names) is for options that belong to no group; ``examples`` are commands and what they do.
    """

    def __init__(
        self,
        *arguments: Any,
        first: Sequence[str] = (),
        sections: Mapping[str, Sequence[str]] | None = None,
        examples: Mapping[str, str] | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(*arguments, **attributes)
        self._first = first
        self._titles = {name: title for title, names in (sections or {}).items() for name in names}
        self._examples = examples or {}

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The description, then the examples."""
        super().format_help_text(ctx, formatter)
        if self._examples:
            formatter.write_paragraph()
            with formatter.indentation():
                _write_examples(formatter, self._examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {_FIRST: [], _OTHER: []}
        sections |= {title: [] for title in self._titles.values()}
        last: list[tuple[str, str]] = []
        by_name = {name: place for place, name in enumerate(self._first)}
        params = self.get_params(ctx)
        for param in sorted(params, key=lambda param: by_name.get(param.name or "", len(by_name))):
            record = param.get_help_record(ctx)
            if record is None or isinstance(param, click.Argument):
                continue
            title = self._title(param, ctx)
            (last if title == _LAST else sections.setdefault(title, [])).append(record)
        if not any(rows for title, rows in sections.items() if title != _OTHER):
            sections, last = {_OTHER: sections[_OTHER] + last}, []  # too few to be divided
        for title, rows in (*sections.items(), (_LAST, last)):
            if rows:
                with formatter.section(title):
                    write_rows(formatter, rows)

    def _title(self, param: click.Parameter, ctx: click.Context) -> str:
        if param.name in self._first:
            # Further flags of the same value, as --fp32 of --precision, stay in their section.
            return _FIRST
        own = self._titles.get(param.name or "")
        is_help = param is self.get_help_option(ctx)
        return own or (_LAST if is_help else vars(param).get("section", _OTHER))


class ReadableCommand(_Readable):
    """A command whose help has sections."""


class ReadableGroup(_Readable, click.Group):
    """A group of such commands."""

    command_class = ReadableCommand

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, then the options."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands."""
        with formatter.section("Commands"):
            write_rows(
                formatter,
                [(name, command.get_short_help_str(limit=200)) for name, command in self.commands.items()],
            )


def _write_examples(formatter: click.HelpFormatter, examples: Mapping[str, str]) -> None:
    """Side by side where they fit, else what each does below it."""
    longest = max(map(len, examples))
    beside = formatter.current_indent + longest + 2 + max(map(len, examples.values())) <= formatter.width
    for example, meaning in examples.items():
        if beside:
            formatter.write(f"{'':>{formatter.current_indent}}{example.ljust(longest)}  {meaning}\n")
        else:
            formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
            with formatter.indentation(), formatter.indentation():
                formatter.write_text(meaning)
