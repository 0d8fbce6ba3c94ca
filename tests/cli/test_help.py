"""Help, messages and tables are as readable at 60 columns as at 80."""

import re

import click
import pytest

from edvr_cli.cli import edvr, messages
from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.types import Count, Finite

NAMES = list(edvr.list_commands(click.Context(edvr)))


def help_of(*names: str, width: int) -> str:
    """What -h shows on a terminal of this width."""
    context = click.Context(edvr, info_name="edvr", terminal_width=width - 2, **edvr.context_settings)
    command: click.Command = edvr
    for name in names:
        assert isinstance(command, click.Group)
        found = command.get_command(context, name)
        assert found is not None
        command, context = found, click.Context(found, context, name, terminal_width=width - 2)
    return command.get_help(context)


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("names", [(), *((name,) for name in NAMES), ("models", "pull")], ids=" ".join)
def test_no_line_is_wider_than_the_terminal(names: tuple[str, ...], width: int):
    """A command to be copied may be; nothing else."""
    for line in help_of(*names, width=width).splitlines():
        assert len(line) <= width or line.startswith("  edvr "), line


def test_what_matters_comes_first_and_the_rest_in_sections():
    """Each option once; the widths of the sections' columns are one."""
    text = help_of("upscale", width=80)
    titles = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert titles == [
        "Most used", "Size of the result", "Files", "Model", "Computation", "Input", "Encoding", "Output", "Work",
        "Display",
    ]  # fmt: skip
    first = text.split("Most used:")[1].split("Size of the result:")[0]
    assert re.findall(r"^  (?:-\w, )?(--[a-z]+)", first, re.MULTILINE) == [
        "--scale", "--model", "--strength", "--crf", "--device", "--overwrite",
    ]  # fmt: skip
    options = re.findall(r"^  (-[-\w, /]+)", text, re.MULTILINE)
    assert len(options) == len(set(options))
    starts = {len(line) - len(line.lstrip()) for line in text.splitlines() if line.startswith("      ")}
    assert starts == {27}  # the second column


def test_few_options_are_not_divided():
    """One section."""

    @click.command(cls=ReadableCommand, help="Do it.", examples={"do it": "at once"})
    @click.option("--fast", is_flag=True, help="Faster.")
    def command() -> None: ...

    text = command.get_help(click.Context(command, info_name="do", terminal_width=58))
    assert re.findall(r"^(\w+):$", text, re.MULTILINE) == ["Options"]
    assert "  do it  at once\n" in text


def test_ranges_are_words():
    """In the help and in messages."""
    for kind, words in ((Finite(0, 1), "0 to 1"), (Count(1), "1 or more"), (Finite(0, min_open=True), "above 0")):
        with pytest.raises(click.BadParameter, match=f"is not in the range {words}"):
            kind.convert("-1", None, None)


def test_messages_are_wrapped_by_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys):
    """A path stays in one piece; where a script reads, a message stays one line."""
    path = "/a/" + "long" * 20
    sentence = f"edvr: {path} cannot be read, and this is the reason why, in so many words that one line is short."
    messages.say(sentence, wrap=True)
    assert capsys.readouterr().err == f"{sentence}\n"
    monkeypatch.setattr(messages._Forgiving, "isatty", lambda _: True)
    monkeypatch.setenv("COLUMNS", "60")
    messages.say(sentence, wrap=True)
    lines = capsys.readouterr().err.splitlines()
    assert " ".join(lines) == sentence
    assert path in lines
    assert all(len(line) <= 60 for line in lines if line != path)
