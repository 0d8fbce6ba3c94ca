"""Differences between the supported versions of PyAV: 18, the last one for Python 3.11, and 19."""

from fractions import Fraction
from importlib.metadata import version
from typing import Any, Protocol

__all__ = ["TAGS_AS_BYTES", "fraction", "time_base"]

# PyAV 19 always reads and writes tags byte by byte (UTF-8 with surrogateescape); PyAV 18 has to be asked to.
TAGS_AS_BYTES: dict[str, Any] = {"metadata_errors": "surrogateescape"} if int(version("av").split(".")[0]) < 19 else {}


class _Rational(Protocol):
    """What ``fractions.Fraction`` and PyAV 19's ``AVRational`` have in common."""

    @property
    def numerator(self) -> int: ...

    @property
    def denominator(self) -> int: ...


class _Timed(Protocol):
    """A stream, packet or frame."""

    @property
    def time_base(self) -> _Rational | None: ...


def fraction(value: _Rational | None) -> Fraction | None:
    """A rational number of libav's as an exact fraction; None for an unset one.

    PyAV 18 gives unset values as None, PyAV 19 as 0/1, 1/0 or 0/0. PyAV 19 also rounds products of two
    rationals to 32 bits, which `Fraction` does not.
    """
    if value is None or not value.numerator or not value.denominator:
        return None
    return Fraction(value.numerator, value.denominator)


def time_base(timed: _Timed) -> Fraction:
    """Seconds per tick of a stream, packet or frame; 1 where it is unset."""
    return fraction(timed.time_base) or Fraction(1)
