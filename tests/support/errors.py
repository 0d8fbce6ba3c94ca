"""Expect an error together with its hint."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edvr_cli.errors import EdvrError, Hint

__all__ = ["raises"]


@contextmanager
def raises(kind: type[EdvrError], match: str, *, hint: Hint) -> Iterator[None]:
    """As ``pytest.raises``, for an error that carries ``hint``."""
    with pytest.raises(kind, match=match) as caught:
        yield
    assert caught.value.hint == hint
