"""Options from the settings file: found, checked, and given to a command as its defaults."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from edvr_cli.cli.help import put_into_section
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import markup
from edvr_cli.cli.settings_file import Layer, SettingsFile, nearest, read_settings
from edvr_cli.cli.types import FILE
from edvr_cli.errors import EdvrError

__all__ = ["SETTINGS_OPTIONS", "as_toml", "check_all", "settings_for"]

_NOT_SETTABLE = {"config_file", "profile"}
_ALTERNATIVES = frozenset({"scale", "height", "width", "box"})  # they say the same, so the strongest says it alone
_HOW = {"Size of the result", "Model", "Computation", "Input", "Encoding"}  # sections that decide what comes out
_NOTE = "edvr_cli.settings"


@dataclass(frozen=True)
class _Setting:
    """A value for a parameter, and how the file says it."""

    parameter: str
    value: Any
    text: str


def settings_for(
    context: click.Context, command: click.Command, arguments: Sequence[str], commands: Mapping[str, click.Command]
) -> dict[str, Any]:
    """The defaults of ``command`` by parameter, for its use with ``arguments``; a note of them is left in ``context``.

    ``commands`` are all that take settings. Raises EdvrError, which names the file and the key, for unknown keys and
    bad values.
    """
    name = command.name or ""
    scan = click.Context(command, info_name=name, parent=context)
    try:
        given, *_ = command.make_parser(scan).parse_args(list(arguments))
    except click.UsageError:  # it is reported when the command parses its arguments itself
        return {}
    help_option = command.get_help_option(scan)
    if not arguments or (help_option is not None and help_option.name in given):
        return {}
    own = given.get("config_file")
    file = read_settings(Path(own) if own else None)
    profile = given.get("profile")
    if profile is None and not file.content:
        return {}
    for layer in file.layers(profile):
        _check_command(file, layer, commands)  # a table whose name is misspelled would be nobody's
    settings = _merged(file, file.layers_for(name, profile), name, commands)
    if _ALTERNATIVES & given.keys():
        settings = [setting for setting in settings if setting.parameter not in _ALTERNATIVES]
    used = [setting.text for setting in settings if setting.parameter not in given]
    if used or profile is not None:
        of = f"{file.path}" + ("" if profile is None else f", profile {profile}")
        context.meta[_NOTE] = markup("Settings of {}: {}", of, ", ".join(used) or "none for this command")
    return {setting.parameter: setting.value for setting in settings}


def check_all(file: SettingsFile, commands: Mapping[str, click.Command]) -> None:
    """Raises EdvrError for the first unknown key or bad value of any command or profile."""
    for profile in (None, *file.profiles):
        for layer in file.layers(profile):
            _check_command(file, layer, commands)
            if layer.command is None:
                for name in commands:
                    _merged(file, [layer], name, commands)
            else:
                _merged(file, [layer], layer.command, commands)


def as_toml(key: str, value: object) -> str:
    """A setting as one writes it."""
    return f"{key} = {_literal(value)}"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _merged(
    file: SettingsFile, layers: Sequence[Layer], name: str, commands: Mapping[str, click.Command]
) -> list[_Setting]:
    """The settings of the command ``name``, each parameter once."""
    merged: dict[str, _Setting] = {}
    for layer in layers:
        found = [*_settings(file, layer, name, commands)]
        if any(setting.parameter in _ALTERNATIVES for setting in found):
            merged = {key: setting for key, setting in merged.items() if key not in _ALTERNATIVES}
        for setting in found:
            merged.pop(setting.parameter, None)  # so that the note has them in the order of their strength
            merged[setting.parameter] = setting
    return list(merged.values())


def _check_command(file: SettingsFile, layer: Layer, commands: Mapping[str, click.Command]) -> None:
    """Raises EdvrError for a table that is named after no command."""
    if layer.command is not None and layer.command not in commands:
        hint = nearest(layer.command, list(commands)) or f"commands with settings are {', '.join(commands)}"
        raise file.error(f"{layer.title} is no command; {hint}")


def _settings(file: SettingsFile, layer: Layer, name: str, commands: Mapping[str, click.Command]) -> Iterator[_Setting]:
    """What one table says for the command ``name``."""
    places = _places(commands[name])
    for written, value in layer.options.items():
        key = written.replace("_", "-")
        place = places.get(key)
        where = f"{layer.title} {written}".strip()
        if place is None:
            # A table for every command, or of the one whose work this one shows, may have more than it takes.
            known = _all_places(commands, layer.command)
            if key not in known:
                hint = nearest(key, known) or f"edvr {layer.command or 'upscale'} -h lists the options"
                raise file.error(f"{where} is no option; {hint}")
        shown_only = layer.command not in (None, name)
        if place is None or (shown_only and vars(place[0]).get("section") not in _HOW):
            continue
        option, negated = place
        try:
            converted = _value(option, value, negated=negated)
            if converted is not None:
                option.type_cast_value(click.Context(commands[name]), converted)
                yield _Setting(option.name or "", converted, as_toml(written, value))
        except click.BadParameter as error:
            raise file.error(f"{where}: {error.message.rstrip('.')}") from error


def _places(command: click.Command) -> dict[str, tuple[click.Option, bool]]:
    """A command's options by their long names without dashes, and whether the name turns the option off."""
    found: dict[str, tuple[click.Option, bool]] = {}
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in _NOT_SETTABLE:
            for names, negated in ((option.opts, False), (option.secondary_opts, True)):
                found |= {n[2:].replace("_", "-"): (option, negated) for n in names if n.startswith("--")}
    return found


def _all_places(commands: Mapping[str, click.Command], only: str | None) -> dict[str, tuple[click.Option, bool]]:
    found: dict[str, tuple[click.Option, bool]] = {}
    for name in commands if only is None else (only,):
        found |= _places(commands[name])
    return found


def _value(option: click.Option, value: Any, *, negated: bool) -> Any:
    """The value as click takes it, None for a flag that is not wanted. Raises BadParameter."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise click.BadParameter(f"expected true or false, got {_literal(value)}")
        if option.is_bool_flag:
            return value != negated
        return option.flag_value if value else None
    values = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool | dict | list) for item in values) or (
        isinstance(value, list) and not option.multiple
    ):
        expected = "text, a number or a list of them" if option.multiple else "text or a number"
        raise click.BadParameter(f"expected {expected}, got {_literal(value)}")
    texts = tuple(str(item) for item in values)
    return texts if option.multiple else texts[0]


class _Profile(click.ParamType):
    """The name of a profile; shells complete it."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those in the usual file that begin so."""
        try:
            names = list(read_settings(None).profiles)
        except EdvrError:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _announce(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Say which settings are in use: results must not depend on a file silently."""
    note = context.meta.get(_NOTE)
    if note is not None and not context.resilient_parsing:
        Messages().tell(note)


SETTINGS_OPTIONS: list[click.Option] = [
    click.Option(
        ["--config", "config_file"], metavar="FILE", type=FILE, expose_value=False,
        help="Take settings from FILE.  [default: edvr.toml in your folder; see edvr config]",
    ),
    click.Option(
        ["--profile"], metavar="NAME", type=_Profile(), expose_value=False, callback=_announce,
        help="Take the settings of this profile, too.",
    ),
]  # fmt: skip
for _option in SETTINGS_OPTIONS:
    put_into_section(_option, "Display")
