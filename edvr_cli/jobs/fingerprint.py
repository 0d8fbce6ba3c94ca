"""Content fingerprints of inputs and models."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from edvr_cli.errors import InputError
from edvr_cli.network.model import Model

__all__ = ["Fingerprint", "fingerprint", "model_digest"]

# Of a large file, this many blocks of this many bytes are read, evenly spread: all of it would take minutes.
_BLOCKS, _BLOCK = 64, 1 << 20


@dataclass(frozen=True)
class Fingerprint:
    """A file's size in bytes and the SHA-256 of its content, of blocks spread over it where it is large."""

    size: int
    sha256: str


def fingerprint(*paths: str | os.PathLike[str]) -> Fingerprint:
    """The fingerprint of files, independent of their names and dates. Raises InputError where one cannot be read."""
    digest = hashlib.sha256()
    total = 0
    # Of many files all sizes count, and the content of some, evenly spread.
    read = {len(paths) * number // _BLOCKS for number in range(_BLOCKS)}
    for place, path in enumerate(paths):
        try:
            with Path(path).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if len(paths) > 1:
                    digest.update(f"{size} ".encode())
                if place in read:
                    _update(digest, file, size)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}.") from error
        total += size
    return Fingerprint(total, digest.hexdigest())


def _update(digest: "hashlib._Hash", file: BinaryIO, size: int) -> None:
    if size <= _BLOCKS * _BLOCK:
        digest.update(file.read())
        return
    for number in range(_BLOCKS):
        file.seek((size - _BLOCK) * number // (_BLOCKS - 1))
        digest.update(file.read(_BLOCK))


def model_digest(model: Model) -> str:
    """SHA-256 of the network's parameters and dimensions, padding and sharpening: all that decides its output."""
    recipe = {"config": asdict(model.config), "padding": model.padding, "sharpen": model.sharpen}
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()
