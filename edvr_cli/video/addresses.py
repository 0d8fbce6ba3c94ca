"""Addresses (URLs) in the place of file names."""

import re

__all__ = ["as_url", "is_url"]

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.+)", re.DOTALL)


def is_url(name: str) -> bool:
    """Whether a name is an address; a path made of one has one slash where it had two."""
    return _ADDRESS.fullmatch(name) is not None


def as_url(name: str) -> str:
    """The address that a name is, or that a path was made of, with both slashes; other names as they are."""
    address = _ADDRESS.fullmatch(name)
    return name if address is None else f"{address[1]}://{address[2]}"
