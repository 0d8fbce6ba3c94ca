"""Models known by name (``registry.toml``), and the folders that are searched for their files."""

import os
import tomllib
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from edvr_cli.errors import ModelError, wrong_usage
from edvr_cli.network.windows import Padding
from edvr_cli.system.user_folders import data_folder

__all__ = [
    "MODELS",
    "ModelEntry",
    "Processor",
    "Task",
    "default_model",
    "find_model",
    "lineage_of",
    "model_folders",
    "read_registry",
    "unknown_model",
]

Task = Literal["sr", "deblur"]
"""``sr`` enlarges ×4, ``deblur`` keeps the size."""

Processor = Literal["cpu", "gpu"]
"""What a network runs on; Apple's and NVIDIA's GPUs are one kind here."""


@dataclass(frozen=True)
class ModelEntry:
    """A model known by name. The head of ``registry.toml`` says what each field means."""

    name: str
    summary: str
    task: Task
    file: str
    license: str
    padding: Padding
    parameters: int
    quality: str = ""
    sha256: str = ""
    published_at: tuple[str, ...] = ()
    shipped: bool = False
    default_on: tuple[Processor, ...] = ()
    clean: str = ""

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return 4 if self.task == "sr" else 1

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where to fetch the file, the best place first; below EDVR_MODEL_URL alone, if that is set."""
        if mirror := os.environ.get("EDVR_MODEL_URL"):
            return (f"{mirror.rstrip('/')}/{self.file}",)
        return self.published_at


def read_registry(path: Path) -> dict[str, ModelEntry]:
    """Models by name, as a TOML file describes them. Raises ModelError that names the file, the table and the key."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # no TOML, or not UTF-8
        raise ModelError(f"{path} is not a readable list of models: {error}") from error
    return {name: _entry(name, table, path) for name, table in tables.items()}


def _entry(name: str, table: object, path: Path) -> ModelEntry:
    where = f"{path}, model {name!r}"
    if not isinstance(table, dict):
        raise ModelError(f"{where}: expected a table [{name}], got {table!r}")
    expected = {key: hint for key, hint in get_type_hints(ModelEntry).items() if key != "name"}
    if unknown := sorted(table.keys() - expected.keys()):
        raise ModelError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(expected)}")
    required = [field.name for field in fields(ModelEntry) if field.default is MISSING and field.name != "name"]
    if missing := [key for key in required if key not in table]:
        raise ModelError(f"{where}: the key {missing[0]!r} is missing")
    for key, value in table.items():
        if wanted := _why_not(value, expected[key]):
            raise ModelError(f"{where}: {key} is {value!r}; expected {wanted}")
    facts: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return ModelEntry(name, **facts)


def _why_not(value: object, hint: Any) -> str:
    """What a value of the type ``hint`` looks like, where ``value`` is none; "" where it is."""
    if get_origin(hint) is Literal:
        return "" if value in get_args(hint) else " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        fits = isinstance(value, list) and not any(_why_not(each, item) for each in value)
        return "" if fits else "a list of " + (" or ".join(map(repr, get_args(item))) or "strings")
    names = {str: "a string", int: "a whole number", bool: "true or false"}
    return "" if type(value) is hint else names[hint]


_LONGEST_NAME = 255  # bytes of a file's name

MODELS: dict[str, ModelEntry] = read_registry(Path(__file__).with_name("registry.toml"))


def default_model(task: Task, device: str = "cpu") -> str:
    """Name of the shipped model for ``task`` on ``device``: ``cpu``, ``cuda:1``, ``mps``.

    Raises ModelError where none ships, ValueError for a device that is not chosen yet.
    """
    if device == "auto":
        raise ValueError("the default model depends on the device: resolve 'auto' first")
    processor: Processor = "cpu" if device.startswith("cpu") else "gpu"
    for entry in MODELS.values():
        if entry.task == task and processor in entry.default_on:
            return entry.name
    published = ", ".join(e.name for e in MODELS.values() if e.task == task)
    raise ModelError(
        f"no {task} model ships with this version (published: {published}; folder for models: {model_folders()[-1]})",
        hint="model",
    )


def lineage_of(name: str) -> tuple[str, str]:
    """The models for clean and for compressed video of one lineage, whose parameters correspond: ``name`` is either.

    Raises ModelError where ``name`` is neither, or a file.
    """
    for entry in MODELS.values():
        if entry.clean and name in (entry.clean, entry.name):
            return entry.clean, entry.name
    pairs = ", ".join(f"{entry.clean} and {entry.name}" for entry in MODELS.values() if entry.clean)
    raise ModelError(
        f"{name} has no counterpart for more or less compressed video, as {pairs} are to each other",
        hint="denoise",
        wrong_usage=True,
    )


def model_folders() -> list[Path]:
    """Where models are looked for: shipped with the package, then EDVR_MODEL_DIR or the user's data folder."""
    package = Path(__file__).resolve().parent
    shipped = package / "data"  # in a wheel
    if not shipped.is_dir():
        shipped = package.parents[1] / "weights"  # in a checkout
    own = os.environ.get("EDVR_MODEL_DIR")
    return [shipped, Path(own).expanduser() if own else data_folder() / "models"]


@wrong_usage()
def find_model(name_or_path: str | Path) -> Path:
    """The file of a model given by name or path; ModelError says what is missing and how to get it."""
    name = str(name_or_path)
    path = _as_path(name_or_path)
    if path.is_file():
        return path
    entry = MODELS.get(name)
    files = [entry.file] if entry else [f"{name}.safetensors", f"{name}.pth"]
    for folder in model_folders():
        for file in files:
            if (folder / file).is_file():
                return folder / file
    if entry:
        raise ModelError(
            f"model {name!r} is not on this machine: fetch it by `edvr models pull {name}`, "
            f"or put {entry.file} into {model_folders()[-1]}"
        )
    if path.suffix or os.sep in name:
        raise ModelError(f"model file {name} does not exist")
    raise unknown_model(name)


def _as_path(name: str | Path) -> Path:
    """A name as a path. Raises ModelError for one that no file can have."""
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in Path(name).parts):
        raise ModelError(f"model file {str(name)[:60]}... does not exist: names have {_LONGEST_NAME} bytes at most")
    try:
        return Path(name).expanduser()
    except RuntimeError:  # ~ and the name of somebody who is not there
        return Path(name)


def unknown_model(name: str) -> ModelError:
    """The error that names the nearest known model."""
    nearest = get_close_matches(name, MODELS, n=1)
    longer = sorted((known for known in MODELS if known.startswith(name.lower())), key=len)
    meant = [*longer, *nearest]
    hint = f"did you mean {meant[0]!r}?" if meant else f"known: {', '.join(MODELS)}"
    return ModelError(f"unknown model {name!r}: {hint}", wrong_usage=True)
