"""Types of option values on the command line."""

import re
from fractions import Fraction
from typing import Any, ClassVar

import click
from click.shell_completion import CompletionItem

from edvr_cli.models.registry import MODELS
from edvr_cli.video.reading.options import RawFormat

__all__ = ["DEVICE", "DEVICE_NAME", "KEY_VALUE", "MODEL", "RATE", "RAW_FORMAT", "SCALE", "SIZE", "TILE", "TIME"]


class _Time(click.ParamType):
    """FFmpeg's time syntax: ``[[HH:]MM:]SS[.fraction]``, or a number with ``s``, ``ms`` or ``us``."""

    name = "time"
    _clock = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)")
    _number = re.compile(r"(\d+(?:\.\d*)?)(s|ms|us)")
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
        if text.isdecimal() and (int(text) == 0 or int(text) >= 16):
            return int(text)
        raise click.BadParameter(
            f"invalid tile size {text!r}: expected auto, 0 (whole frames), or at least 16", ctx, param
        )


class _Size(click.ParamType):
    """A number of bytes, with a unit."""

    name = "size"
    _pattern = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?", re.IGNORECASE)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes; units are powers of 1024."""
        if isinstance(value, int):
            return value
        match = self._pattern.fullmatch(str(value).strip())
        if match is None or not float(match[1]):
            raise click.BadParameter(f"invalid size {value!r}: expected 800M, 6G or 1.5G", ctx, param)
        return int(float(match[1]) * 1024 ** ("kmgt".index(match[2].lower()) + 1 if match[2] else 0))


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
        if re.fullmatch(r"\d+(\.\d+|/0*[1-9]\d*)?", text) and 0 < Fraction(text) <= 1000:
            return Fraction(text)
        raise click.BadParameter(f"invalid frame rate {text!r}: expected 24, 29.97 or 30000/1001", ctx, param)


class _RawFormat(click.ParamType):
    """Size and pixel format."""

    name = "WxH:PIX_FMT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> RawFormat:
        """``RawFormat(1920, 1080, "yuv420p")`` of ``1920x1080:yuv420p``."""
        if isinstance(value, RawFormat):
            return value
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5}):(\w+)", str(value))
        if match and int(match[1]) and int(match[2]):
            return RawFormat(int(match[1]), int(match[2]), match[3])
        raise click.BadParameter(f"invalid raw format {value!r}: expected 1920x1080:yuv420p", ctx, param)


class _DeviceName(click.ParamType):
    """``auto`` or the name of a torch device; torch is not loaded."""

    name = "device"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name."""
        text = str(value)
        if re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", text):
            return text
        raise click.BadParameter(f"invalid device {text!r}: expected auto, cpu, cuda, cuda:1 or mps", ctx, param)


class _Device(_DeviceName):
    """A torch device."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The device; ``auto`` is the first available of CUDA, MPS and the CPU."""
        from edvr_cli.system.hardware import resolve_device  # noqa: PLC0415 (torch takes seconds)

        return resolve_device(super().convert(value, param, ctx))


class _Model(click.ParamType):
    """A model's name or file; shells complete both."""

    name = "model"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The known names that begin so, or files where none does."""
        names = [name for name in MODELS if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


TIME = _Time()
MODEL = _Model()
SIZE = _Size()
TILE = _Tile()
KEY_VALUE = _KeyValue()
DEVICE = _Device()
DEVICE_NAME = _DeviceName()
RATE = _Rate()
RAW_FORMAT = _RawFormat()
SCALE = click.FloatRange(1, 4)
