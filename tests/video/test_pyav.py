"""What is smoothed over between versions of PyAV."""

from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import av
import pytest

from edvr_cli.video.pyav import fraction, time_base


@dataclass(frozen=True)
class Rational:
    """As PyAV 19's AVRational, which may have no denominator."""

    numerator: int
    denominator: int


@pytest.mark.parametrize("unset", [None, Fraction(0), Rational(0, 1), Rational(1, 0), Rational(0, 0)])
def test_unset_rationals_are_none(unset: Fraction | Rational | None):
    assert fraction(unset) is None
    assert time_base(SimpleNamespace(time_base=unset)) == 1


def test_set_rationals_are_exact():
    """PyAV 19 rounds a product of two of its own rationals to 32 bits."""
    big = fraction(Rational(1001, 30000))
    assert big == Fraction(1001, 30000)
    assert big * time_base(SimpleNamespace(time_base=Rational(1, 2**31 - 1))) == Fraction(1001, 30000 * (2**31 - 1))


def test_a_packet_without_a_time_base_counts_seconds():
    """As this PyAV itself gives it."""
    assert time_base(av.Packet(b"")) == 1
