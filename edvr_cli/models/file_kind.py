"""What a file that should be a checkpoint is instead, and whether it holds as much as it says."""

import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from edvr_cli.errors import ModelError

__all__ = ["check_file", "check_tensors", "why_not_loaded"]

_HEAD = 512  # bytes that tell most kinds
_MAX_HEADER = 100 << 20  # of safetensors, in bytes: the format's own limit
_SLACK = 64 << 20  # bytes: small files may share what they store between parameters
_MAX_SHARE = 8  # times as much may the parameters be as the file, where some are stored once and named several times

_ARCHIVES = {
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
}
_OTHERS = {
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GGUF": "a GGUF file",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
}


def check_file(path: Path) -> None:
    """Look at a file before it is loaded. Raises ModelError where it is something else, cut short, or claims too much.

    Raises OSError where it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise _refusal(path, "it is empty, download it again")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        raise _refusal(path, "it is a web page; download the file itself")
    if text.startswith(b"version https://git-lfs"):
        raise _refusal(path, "it is a Git LFS pointer; fetch the file by `git lfs pull`")
    for mark, what in (*_ARCHIVES.items(), *_OTHERS.items()):
        if head.startswith(mark):
            remedy = "unpack it first" if mark in _ARCHIVES else "name a checkpoint, .safetensors or .pth"
            raise _refusal(path, f"it is {what}; {remedy}")
    safetensors, named_so = _is_safetensors(head, size), path.suffix == ".safetensors"
    if safetensors and not named_so:
        raise _refusal(path, f"it is safetensors under another name; call it {path.stem}.safetensors")
    if named_so and not safetensors and head.startswith((b"PK", b"\x80")):
        raise _refusal(path, f"it is a PyTorch file under another name; call it {path.stem}.pth")
    if safetensors:
        _check_safetensors(path, size)
    elif head.startswith(b"PK\x03\x04"):
        _check_zip(path, size)


def check_tensors(tensors: Iterable[Tensor], path: Path) -> None:
    """Raises ModelError where parameters are of a kind that no network here has, or larger than what is stored."""
    declared = 0
    for tensor in tensors:
        if tensor.is_quantized or tensor.layout != torch.strided or tensor.is_complex() or tensor.device.type != "cpu":
            raise _refusal(path, "its parameters are quantized or of a special kind; save plain ones")
        needed = tensor.numel() * tensor.element_size()
        if needed > tensor.untyped_storage().nbytes():
            raise _refusal(path, f"a parameter of {needed} bytes has fewer stored; do not trust it")
        declared += needed
    if declared > path.stat().st_size * _MAX_SHARE + _SLACK:
        many = f"{declared} bytes of parameters, many times its size"
        raise _refusal(path, f"it declares {many}; do not trust it")


def why_not_loaded(error: Exception) -> str:
    """An error of PyTorch's or safetensors' in one line, without advice to switch their safety off."""
    text = str(error)
    if found := re.search(r"GLOBAL ([\w.]+)", text):
        what = f"Python objects ({found[1]})"
        return f"it holds {what}, which could run code and are not loaded; save its parameters alone"
    if "weights_only" in text or not isinstance(error, SafetensorError | RuntimeError | EOFError):
        return "its content is not that of a checkpoint, or it is damaged"
    if "central directory" in text or "PytorchStreamReader" in text:
        return "it is cut short or damaged; download it again"
    first = next(iter(text.splitlines()), "")
    return first[:200] or type(error).__name__


def _refusal(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is not a readable checkpoint: {why}")


def _is_safetensors(head: bytes, size: int) -> bool:
    """By its beginning: the length of a header in JSON, and that."""
    length = int.from_bytes(head[:8], "little")
    return len(head) > 9 and head[8:9] == b"{" and 2 <= length <= min(_MAX_HEADER, max(size, 1 << 20))


def _check_safetensors(path: Path, size: int) -> None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
    try:
        entries = json.loads(header)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        if len(header) == length:
            return  # The library says what is wrong with it.
        ends = [size]
    if 8 + length + max((end for end in ends if isinstance(end, int)), default=0) > size:
        raise _refusal(path, "it is cut short; download it again")


def _check_zip(path: Path, size: int) -> None:
    """PyTorch stores what it writes as it is: more inside than outside is what nobody's network needs."""
    try:
        with zipfile.ZipFile(path) as archive:
            items = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _refusal(path, "it is cut short or damaged; download it again") from error
    if not any(item.filename.endswith("data.pkl") for item in items):
        raise _refusal(path, "it is a zip archive; unpack it first")
    if sum(item.file_size for item in items) > size:
        raise _refusal(path, "it holds compressed data, which no checkpoint does; do not trust it")
