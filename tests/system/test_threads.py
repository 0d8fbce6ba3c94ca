"""Threads between stages: order, bounds, errors, and that none is left behind."""

import threading
import time

import pytest

from edvr_cli.system.threads import Drain, prefetch


@pytest.fixture(autouse=True)
def no_thread_left():
    """Every test joins what it started."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_prefetch_yields_everything_in_order():
    """From another thread."""
    assert list(prefetch(range(100), 3)) == list(range(100))


def test_prefetch_runs_at_most_its_depth_ahead():
    """Plus the one item it holds in hand."""
    made = []

    def items():
        for i in range(50):
            made.append(i)
            yield i

    for i in prefetch(items(), 4):
        time.sleep(0.001)
        assert len(made) <= i + 1 + 4 + 1


def test_an_error_in_the_source_is_raised_to_the_consumer_with_its_traceback():
    """After the items before it."""

    def items():
        yield 1
        raise KeyError("the cause")

    stream = prefetch(items(), 2)
    assert next(stream) == 1
    with pytest.raises(KeyError, match="the cause") as caught:
        next(stream)
    assert any(entry.name == "items" for entry in caught.traceback)


def test_closing_early_stops_the_source_and_closes_it():
    """An endless source ends with its consumer."""
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    stream = prefetch(endless(), 2)
    next(stream)
    stream.close()
    assert closed.is_set()


def test_drain_consumes_everything_in_order_before_leaving():
    """Even when the consumer is slow."""
    seen = []

    def consume(item):
        time.sleep(0.001)
        seen.append(item)

    with Drain(consume, 2) as drain:
        for i in range(20):
            drain.put(i)
    assert seen == list(range(20))


def test_an_error_in_the_consumer_is_raised_by_put():
    """Soon, and not swallowed."""

    def consume(item):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Drain(consume, 1) as drain:
        for i in range(1000):
            drain.put(i)


def test_an_error_on_the_last_item_is_raised_on_leaving():
    """Where no put follows."""

    def consume(item):
        time.sleep(0.05)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Drain(consume, 4) as drain:
        drain.put(1)


def test_an_error_in_the_block_drops_what_waits_and_comes_through():
    """The producer's error is the one that counts."""
    seen = []

    def consume(item):
        time.sleep(0.02)
        seen.append(item)

    with pytest.raises(RuntimeError, match="producer"), Drain(consume, 100) as drain:
        for i in range(100):
            drain.put(i)
        raise RuntimeError("producer")
    assert len(seen) < 100
