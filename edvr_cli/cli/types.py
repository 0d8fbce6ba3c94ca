"""Types of option values on the command line."""

import math
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import click
from click.shell_completion import CompletionItem

from edvr_cli.errors import DeviceError
from edvr_cli.models.registry import MODELS
from edvr_cli.size import Size
from edvr_cli.system.device_names import device_names
from edvr_cli.video.reading.options import RawFormat

__all__ = [
    "DEVICE_LIST",
    "DEVICE_NAME",
    "FILE",
    "FOLDER",
    "KEY_VALUE",
    "MODEL",
    "NAME",
    "NEW_FILE",
    "RATE",
    "RAW_FORMAT",
    "REAL",
    "SCALE",
    "SIZE",
    "THREADS",
    "TILE",
    "TIME",
    "Count",
    "Finite",
    "parsed_size",
]

_MAX_COUNT = 1 << 40
_MAX_THREADS = 1024
_MAX_TILE = 1 << 20
_MAX_BYTES = 1 << 60


class _Path(click.Path):
    """A path; an empty one, as that of a variable that is not set, means nothing and not the current folder."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, not empty and without zero bytes."""
        return super().convert(not_empty(os.fspath(value), param, ctx), param, ctx)


class _Name(click.ParamType):
    """A path that may also be a pattern or a dash, as text."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, not empty."""
        return not_empty(str(value), param, ctx)


def not_empty(text: str, param: click.Parameter | None = None, ctx: click.Context | None = None) -> str:
    """``text``. Raises BadParameter where it is empty, or what no system takes for a name."""
    if not text:
        raise click.BadParameter("the name is empty; is a variable not set?", ctx, param)
    if "\0" in text:
        raise click.BadParameter("the name holds a zero byte", ctx, param)
    return text


class _Time(click.ParamType):
    """FFmpeg's time syntax: ``[[HH:]MM:]SS[.fraction]``, or a number with ``s``, ``ms`` or ``us``."""

    name = "time"
    _clock = re.compile(r"(?:(?:(\d{1,18}):)?(\d{1,18}):)?(\d{1,18}(?:\.\d{0,18})?)", re.ASCII)
    _number = re.compile(r"(\d{1,18}(?:\.\d{0,18})?)(s|ms|us)", re.ASCII)
    _units: ClassVar = {"s": 1, "ms": 1000, "us": 1_000_000}

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Seconds, exactly."""
        if isinstance(value, Fraction):
            return value
        text = str(value)
        if match := self._number.fullmatch(text):
            return Fraction(match[1]) / self._units[match[2]]
        if match := self._clock.fullmatch(text):
            hours, minutes, seconds = match.groups(default="0")
            return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
        raise click.BadParameter(f"invalid time {text!r}: expected 90, 1:30, 00:01:30.5 or 90500ms", ctx, param)


class _Tile(click.ParamType):
    """``auto``, or a size in pixels."""

    name = "auto|0|N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """The size; None for ``auto``."""
        text = str(value)
        if text == "auto":
            return None
        number = int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else -1
        if number == 0 or 16 <= number <= _MAX_TILE:
            return number
        raise click.BadParameter(
            f"invalid tile size {text!r}: expected auto, 0 (whole frames), or at least 16", ctx, param
        )


class _Bytes(click.ParamType):
    """A number of bytes, with a unit."""

    name = "size"
    _pattern = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([kmgt]?)(i?b)?", re.IGNORECASE | re.ASCII)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes; units are powers of 1024."""
        if isinstance(value, int):
            return value
        match = self._pattern.fullmatch(str(value).strip())
        if match is None or not float(match[1]):
            raise click.BadParameter(f"invalid size {value!r}: expected 800M, 6G or 1.5G", ctx, param)
        size = int(float(match[1]) * 1024 ** ("kmgt".index(match[2].lower()) + 1 if match[2] else 0))
        return min(max(size, 1), _MAX_BYTES)


class _KeyValue(click.ParamType):
    """One ``key=value``."""

    name = "key=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Parse ``key=value``."""
        if isinstance(value, tuple):
            return value
        key, separator, text = str(value).partition("=")
        if not key or not separator:
            raise click.BadParameter(f"invalid option {value!r}: expected key=value", ctx, param)
        return key, text


class _Rate(click.ParamType):
    """Frames per second."""

    name = "fps"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """``Fraction(30000, 1001)`` of ``30000/1001``."""
        if isinstance(value, Fraction):
            return value
        text = str(value)
        if re.fullmatch(r"\d{1,18}(\.\d{1,18}|/0{0,18}[1-9]\d{0,17})?", text, re.ASCII) and 0 < Fraction(text) <= 1000:
            return Fraction(text)
        raise click.BadParameter(f"invalid frame rate {text!r}: expected 24, 29.97 or 30000/1001", ctx, param)


def parsed_size(text: str, *, least: int = 1) -> Size | None:
    """``Size(1920, 1080)`` of ``1920x1080``; None for other texts, and for sides shorter than ``least``."""
    match = re.fullmatch(r"(\d{1,5})[x×:](\d{1,5})", text.strip().lower(), re.ASCII)
    size = match and Size(int(match[1]), int(match[2]))
    return size if size and min(size) >= least else None


class _RawFormat(click.ParamType):
    """Size and pixel format."""

    name = "WxH:PIX_FMT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> RawFormat:
        """``RawFormat(1920, 1080, "yuv420p")`` of ``1920x1080:yuv420p``."""
        if isinstance(value, RawFormat):
            return value
        text, _, pix_fmt = str(value).rpartition(":")
        size = parsed_size(text)
        if size and re.fullmatch(r"\w+", pix_fmt):
            return RawFormat(*size, pix_fmt)
        raise click.BadParameter(f"invalid raw format {value!r}: expected 1920x1080:yuv420p", ctx, param)


class _DeviceList(click.ParamType):
    """``auto``, the name of a torch device, a list of names, or ``all``; torch is not loaded."""

    name = "device"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text, which is well formed."""
        try:
            return ",".join(device_names(str(value)))
        except DeviceError as error:
            raise click.BadParameter(str(error), ctx, param) from error


class _DeviceName(_DeviceList):
    """``auto`` or the name of a torch device; torch is not loaded."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name."""
        text = super().convert(value, param, ctx)
        if text == "all" or "," in text:
            raise click.BadParameter("this command works on one device: name one of them", ctx, param)
        return text


class _Model(click.ParamType):
    """A model's name or file; shells complete both."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, not empty."""
        return not_empty(str(value), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The known names that begin so, or files where none does."""
        names = [name for name in MODELS if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def _range_in_words(kind: click.FloatRange | click.IntRange) -> str:
    """For help and messages: ``0 to 1``, ``1 or more``, ``above 0``."""
    least = "" if kind.min is None else f"above {kind.min:g}" if kind.min_open else f"{kind.min:g}"
    if kind.max is None:
        return least if kind.min_open else f"{least} or more"
    return f"{least or 'up'} to {kind.max:g}"


class Finite(click.FloatRange):
    """A number in a range; "nan" is in none."""

    name = "number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What the help shows for the value."""
        return "X"

    def _describe_range(self) -> str:
        return _range_in_words(self)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        return _finite(super().convert(value, param, ctx), param, ctx)


class _Real(click.types.FloatParamType):
    """Any number but "nan" and "inf"."""

    name = "number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What the help shows for the value."""
        return "X"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        return _finite(super().convert(value, param, ctx), param, ctx)


def _finite(number: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
    if not math.isfinite(number):
        raise click.BadParameter(f"{number} is not a finite number", ctx, param)
    return number


class Count(click.IntRange):
    """A whole number from ``min`` on, up to more than anybody has frames or pixels."""

    name = "whole number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What the help shows for the value."""
        return "N"

    def _describe_range(self) -> str:
        return _range_in_words(self)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = super().convert(value, param, ctx)
        if number > _MAX_COUNT:
            raise click.BadParameter(f"{str(value)[:40]} is more than {_MAX_COUNT}", ctx, param)
        return number


TIME = _Time()
MODEL = _Model()
SIZE = _Bytes()
TILE = _Tile()
KEY_VALUE = _KeyValue()
DEVICE_LIST = _DeviceList()
DEVICE_NAME = _DeviceName()
RATE = _Rate()
RAW_FORMAT = _RawFormat()
SCALE = Finite(1, 4)
THREADS = Count(1, _MAX_THREADS)
REAL = _Real()
FILE = _Path(allow_dash=True)
NEW_FILE = _Path(dir_okay=False)
FOLDER = _Path(exists=True, file_okay=False)
NAME = _Name()
