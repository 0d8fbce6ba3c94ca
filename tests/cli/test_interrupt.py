"""Ctrl-C once, twice, and where it is not wanted."""

import signal

import pytest

from edvr_cli.cli.interrupt import immediate_interrupt, patient_interrupt


def test_the_first_ctrl_c_asks_and_the_second_stops():
    """Afterwards it is what it was."""
    before, asked = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), patient_interrupt(lambda: asked.append(1)) as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        assert interrupted() and asked == [1]
        signal.raise_signal(signal.SIGINT)
    assert asked == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_background_job_is_not_interrupted():
    """Whoever started it has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with patient_interrupt(lambda: None) as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert not interrupted()
    finally:
        signal.signal(signal.SIGINT, before)


def test_before_anything_has_begun_ctrl_c_stops_at_once():
    """As at a question, and while a model is fetched; afterwards it is patient again."""
    with patient_interrupt(lambda: None) as stop:
        with pytest.raises(KeyboardInterrupt), immediate_interrupt():
            signal.raise_signal(signal.SIGINT)
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
