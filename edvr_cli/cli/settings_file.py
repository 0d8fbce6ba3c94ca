"""The user's settings: a TOML file of options by command, and profiles of them.

    device = "cpu"                 # for every command that has this option
    [upscale]
    crf = 16
    [profiles.vhs]                 # taken by --profile vhs
    deinterlace = "frame"
    [profiles.vhs.upscale]
    preset = "slow"

What is further down here wins over what is further up; the command line wins over all.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from edvr_cli.errors import EdvrError, reason_of
from edvr_cli.system.user_folders import config_folder

__all__ = ["Layer", "SettingsFile", "nearest", "read_settings", "usual_path"]

_PROFILES = "profiles"
_SHOWN_BY = {"info": "upscale", "preview": "upscale"}  # what a command shows beforehand is how another one works


@dataclass(frozen=True)
class Layer:
    """Options of one table of the file; ``command`` is whose they are, None for those of every command."""

    title: str  # as the file has it: ``[profiles.vhs.upscale]``, "" for its head
    command: str | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class SettingsFile:
    """What the file at ``path`` says."""

    path: Path
    content: Mapping[str, Any]

    @property
    def profiles(self) -> Mapping[str, Mapping[str, Any]]:
        """Profiles by name."""
        return self.content.get(_PROFILES, {})

    def layers(self, profile: str | None) -> list[Layer]:
        """The file's tables, and those of the profile, the weakest first. Raises EdvrError for an unknown profile."""
        found = [*_tables(self.content, "")]
        if profile is not None:
            if profile not in self.profiles:
                known = ", ".join(self.profiles) or "none"
                hint = nearest(profile, self.profiles) or f"there are: {known}"
                raise self.error(f"no profile is called {profile!r}; {hint}")
            found += _tables(self.profiles[profile], f"{_PROFILES}.{profile}")
        return found

    def layers_for(self, command: str, profile: str | None) -> list[Layer]:
        """Those that ``command`` takes options from, the weakest first."""
        shown = _SHOWN_BY.get(command)
        return [layer for layer in self.layers(profile) if layer.command in (None, shown, command)]

    def error(self, sentence: str) -> EdvrError:
        """The error that names the file."""
        return EdvrError(f"{self.path}: {sentence}{'' if sentence.endswith('?') else '.'}", wrong_usage=True)


def usual_path() -> Path:
    """Where the settings are looked for: EDVR_CONFIG, or ``edvr.toml`` in the user's folder."""
    own = os.environ.get("EDVR_CONFIG")
    return Path(own).expanduser() if own else config_folder() / "edvr.toml"


def read_settings(path: Path | None) -> SettingsFile:
    """The settings in ``path``, or in the usual file, which may be missing. Raises EdvrError for what is no TOML."""
    file = SettingsFile(path or usual_path(), {})
    try:
        content = tomllib.loads(file.path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        if path is None and "EDVR_CONFIG" not in os.environ:
            return file
        raise file.error("no such file") from error
    except OSError as error:
        raise file.error(f"it cannot be read: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise file.error("it is not text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise file.error(f"it is not TOML: {error}") from error
    profiles = content.get(_PROFILES, {})
    if not isinstance(profiles, dict) or not all(isinstance(profile, dict) for profile in profiles.values()):
        raise file.error(f"{_PROFILES} must be tables, as [{_PROFILES}.vhs]")
    return SettingsFile(file.path, content)


def nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """``did you mean 'crf'?``, or nothing."""
    found = get_close_matches(name, known, n=1)
    return f"did you mean {found[0]!r}?" if found else ""


def _tables(content: Mapping[str, Any], title: str) -> Iterator[Layer]:
    """The options for every command, then those of each command."""
    everywhere = {key: value for key, value in content.items() if not isinstance(value, dict)}
    yield Layer(f"[{title}]" if title else "", None, everywhere)
    for key, value in content.items():
        if isinstance(value, dict) and not (key == _PROFILES and not title):
            yield Layer(f"[{title}.{key}]" if title else f"[{key}]", key, value)
