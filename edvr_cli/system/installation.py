"""Required libraries: their versions, and the first one that is missing, broken or unsupported.

Nothing here imports them before it is asked to, so that a broken one can be reported.
"""

import re
from dataclasses import dataclass
from importlib import import_module, metadata

from edvr_cli.version import __version__

__all__ = ["Fault", "first_fault", "versions"]

_DISTRIBUTION = "edvr-cli"
# What the program imports, by distribution; those that only make it faster or draw are reported without being needed.
_NEEDED = {
    "numpy": "numpy",
    "torch": "torch",
    "safetensors": "safetensors",
    "av": "av",
    "imageio-ffmpeg": "imageio_ffmpeg",
    "filelock": "filelock",
    "platformdirs": "platformdirs",
    "psutil": "psutil",
    "jinja2": "jinja2",
}
_REPORTED = (*_NEEDED, "numba", "llvmlite", "triton", "torchvision", "click", "rich", "matplotlib", "pillow", "ray")
# What importing a broken library raises: missing files, symbols of other versions, code for another Python.
_IMPORT_ERRORS = (ImportError, AttributeError, TypeError, ValueError, OSError, RuntimeError, SyntaxError)


@dataclass(frozen=True)
class Fault:
    """Something that does not work, with the versions that concern it, and what to do."""

    what: str
    versions: str
    remedy: str


def versions() -> dict[str, str]:
    """The version of each library that is installed, the program's own first."""
    found = {_DISTRIBUTION: __version__}
    for name in _REPORTED:
        if version := installed_version(name):
            found[name] = version
    return found


def installed_version(name: str) -> str:
    """The version of a distribution; "" where it is not installed."""
    if name == "torch":  # which says more of itself: 2.13.0+cpu
        try:
            return str(import_module("torch.version").__version__)
        except _IMPORT_ERRORS:
            pass
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def named_versions(*names: str) -> str:
    """``av 19.0.2, numpy (not installed)``."""
    return ", ".join(f"{name} {installed_version(name) or '(not installed)'}" for name in names)


def first_fault() -> Fault | None:
    """The first needed library that is not installed, does not import, or is of an unsupported version."""
    ranges = _supported()
    for name, module in _NEEDED.items():
        wanted = ranges.get(name, "")
        remedy = f'pip install --force-reinstall --no-deps "{name}{wanted}"'
        version = installed_version(name)
        if version and wanted and not within(version, wanted):
            return Fault(f"{name} {version} is not supported, which must be {wanted}", named_versions(name), remedy)
        try:
            import_module(module)
        except _IMPORT_ERRORS as error:
            first = next(iter(str(error).splitlines()), "") or type(error).__name__
            return Fault(f"{name} cannot be imported: {first}", named_versions(name), remedy)
    return None


def within(version: str, wanted: str) -> bool:
    """Whether a version is in a range such as ``<20,>=18``; pre-releases and builds count as their release."""
    return all(
        _release(version) >= _release(bound) if sign == ">=" else _release(version) < _release(bound)
        for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", wanted)
    )


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    parts = tuple(int(part) for part in match[0].split(".")) if match else ()
    return parts + (0,) * (4 - len(parts))


def _supported() -> dict[str, str]:
    """The range of each dependency by its name, as the installed package declares them."""
    try:
        declared = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a folder
        return {}
    matches = (re.match(r"([\w.-]+)\s*([<>=!~][^;]*)?", line) for line in declared if "extra ==" not in line)
    return {match[1].lower(): (match[2] or "").strip() for match in matches if match}
