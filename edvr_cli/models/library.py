"""The models on this machine: list, pull, verify, add, convert and blend."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edvr_cli.errors import DownloadError, ModelError, OutputError
from edvr_cli.models.blending import blend_into
from edvr_cli.models.checkpoint import load_model, read_state_dict, save_model
from edvr_cli.models.registry import MODELS, ModelEntry, find_model, model_folders, unknown_model
from edvr_cli.network.model import Model
from edvr_cli.system.download import OnBytes, download
from edvr_cli.system.files import replacing, sha256_of
from edvr_cli.system.text import printable

__all__ = ["Listed", "add", "convert", "describe", "list_models", "pull", "verify"]

_LONGEST_NAME = 255  # bytes, suffix included
_SUFFIXES = (".safetensors", ".pth")


@dataclass(frozen=True)
class Listed:
    """A model that is known, or was found in the user's folder."""

    name: str
    entry: ModelEntry | None
    path: Path | None  # None: not on this machine


def list_models() -> list[Listed]:
    """Every known model, then the other files in the user's folder."""
    folders = model_folders()
    places = {file.name: file for folder in reversed(folders) for file in _files(folder)}
    known = [Listed(name, entry, places.get(entry.file)) for name, entry in MODELS.items()]
    taken = {entry.file for entry in MODELS.values()}
    return known + [Listed(file.stem, None, file) for file in _files(folders[-1]) if file.name not in taken]


def pull(name: str, on_bytes: OnBytes | None = None) -> Path:
    """Fetch a published model into the user's folder, unless it is here; checked before it is used.

    Raises ModelError for an unknown name, DownloadError where none of its addresses gives the file.
    """
    entry = MODELS.get(name)
    if entry is None:
        raise unknown_model(name)
    found = next(listed.path for listed in list_models() if listed.name == name)
    if found is not None:
        verify(name)
        return found
    target = model_folders()[-1] / entry.file
    failures = []
    for address in entry.addresses:
        try:
            download(address, target, sha256=entry.sha256, on_bytes=on_bytes)
            break
        except DownloadError as error:
            failures.append(str(error))
    else:
        raise DownloadError(
            f"model {name!r} cannot be fetched: {'; '.join(failures) or 'it is published nowhere'}. "
            f"Put {entry.file} into {target.parent} by hand, or set EDVR_MODEL_URL to where it is"
        )
    return target


def verify(name_or_path: str | Path) -> Model:
    """Load a model: its digest is the published one, where there is one, and its parameters fit. Raises ModelError."""
    return load_model(name_or_path, "cpu")


def add(file: Path, *, name: str = "", overwrite: bool = False) -> tuple[str, Path]:
    """Copy a checkpoint into the user's folder, to be used by name; returns that name and the copy.

    A known model's file gets its published name whatever it is called; others are called ``name``, or as they
    are. Raises ModelError where it is no EDVR network or the name means another model, OutputError where the
    folder holds another file of that name and ``overwrite`` is not set.
    """
    if not file.is_file():
        raise ModelError(f"model file {file} does not exist")
    verify(file)
    digest = sha256_of(file)
    entry = next((e for e in MODELS.values() if e.sha256 and digest.startswith(e.sha256)), None)
    called = entry.name if entry else name or file.stem
    if entry is None and called in MODELS:
        raise ModelError(f"{called!r} is the name of a published model, which {file} is not", hint="name")
    if entry is None and Path(called).name != called:
        raise ModelError(f"{called!r} cannot be a model's name: leave out slashes")
    _check_name(called)
    suffix = ".safetensors" if file.suffix == ".safetensors" else ".pth"
    target = model_folders()[-1] / (entry.file if entry else called + suffix)
    existing = next((target.with_name(called + s) for s in _SUFFIXES if target.with_name(called + s).exists()), None)
    occupied = target if target.exists() else existing if entry is None else None
    if occupied is not None and sha256_of(occupied) != digest and not overwrite:
        raise OutputError(f"{occupied} exists and is another model", hint="overwrite")
    target.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as original, replacing(target) as copy:
        shutil.copyfileobj(original, copy)
    if occupied is not None and occupied != target:
        occupied.unlink()
    return called, target


def _check_name(name: str) -> None:
    """Raises ModelError for a name that no file can have everywhere, or that cannot be shown."""
    try:
        length = len(f"{name}.safetensors".encode())
    except UnicodeEncodeError:
        raise ModelError(f"{name!r} cannot be a model's name: it is not UTF-8") from None
    if length > _LONGEST_NAME:
        raise ModelError(f"{name[:40]}... cannot be a model's name: it is longer than {_LONGEST_NAME} bytes")
    if printable(name) != name:
        raise ModelError(f"{name!r} cannot be a model's name: leave out control characters")


def convert(source: str | Path, target: Path, *, half: bool = False, overwrite: bool = False) -> Model:
    """Write a model under the published names of its parameters: ``.safetensors``, or ``.pth`` (under ``params``).

    ``half`` keeps 16 bits of each parameter instead of 32. Returns the model. Raises ModelError where ``source``
    is none, OutputError for another suffix or where ``target`` exists and ``overwrite`` is not set.
    """
    _check_target(target, _SUFFIXES, overwrite=overwrite)
    model = load_model(source, "cpu")
    dtype = torch.float16 if half else torch.float32
    if target.suffix == ".safetensors":
        kept = {key: value for key, value in read_state_dict(find_model(source))[1].items() if key != "format"}
        save_model(model, target, dtype=dtype, **{"name": model.name, **kept})
        return model
    with replacing(target) as file:
        torch.save({"params": {key: value.to(dtype) for key, value in model.network.state_dict().items()}}, file)
    return model


def blend(first: str | Path, second: str | Path, target: Path, *, share: float, overwrite: bool = False) -> Model:
    """Write a network between two, one of which was trained on from the other: their weighted mean.

    ``share`` is the second's, 0 to 1. Returns the network. Raises ModelError where the two are not of one kind,
    OutputError as :func:`convert` does.
    """
    _check_target(target, (".safetensors",), overwrite=overwrite)
    model = replace(blend_into(load_model(first, "cpu"), load_model(second, "cpu"), share), name=target.stem)
    task = "deblur" if model.config.scale == 1 else "sr"
    save_model(model, target, name=model.name, task=task)
    return model


def _check_target(target: Path, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
    if target.suffix not in suffixes:
        raise OutputError(f"{target} must be named {' or '.join(suffixes)}")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists", hint="overwrite")


def describe(name: str) -> dict[str, Any]:
    """All that is known of a model, given by name or file, as plain values.

    What needs its file is left out where that is not here. Raises ModelError for an unknown or damaged one.
    """
    entry = MODELS.get(name)
    facts: dict[str, Any] = {}
    if entry:
        facts |= {
            "name": entry.name,
            "summary": entry.summary,
            "task": entry.task,
            "scale": entry.scale,
            "license": entry.license,
            "parameters": entry.parameters,
            "quality": entry.quality or None,
            "file": entry.file,
            "window_padding": entry.padding,
            "published_at": list(entry.addresses),
        }
        if all(listed.path is None for listed in list_models() if listed.name == name):
            return facts | {"path": None}
    path = find_model(name)
    model = verify(name)
    config = model.config
    facts.setdefault("name", model.name)
    facts |= {
        "task": "deblur" if config.scale == 1 else "sr",
        "scale": config.scale,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "features": config.features,
        "frames": config.frames,
        "residual_blocks": [config.extraction_blocks, config.reconstruction_blocks],
        "temporal_and_spatial_attention": config.tsa,
        "predeblur": config.predeblur,
        "window_padding": model.padding,
        "sharpen": model.sharpen,
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "metadata": {
            k: v for k, v in read_state_dict(path)[1].items() if k not in ("format", "config", "padding", "sharpen")
        },
    }
    card = path.with_suffix(".md")
    if card.is_file():
        facts["card"] = str(card)
    return facts


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in _SUFFIXES and p.is_file()) if folder.is_dir() else []
