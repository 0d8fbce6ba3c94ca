"""Names of devices, one or a list; nothing here asks the machine, or loads torch."""

import re
from collections import Counter
from collections.abc import Iterable

from edvr_cli.errors import DeviceError

__all__ = ["device_label", "device_names"]

_ONE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d{1,2})?", re.ASCII)
_MAX_DEVICES = 64


def device_names(text: str) -> tuple[str, ...]:
    """The names in a list: ``cuda:0,cuda:1``; ``cpu`` may be there several times. ``all`` stays what it is.

    Raises DeviceError for an unknown name, a device that is there twice, and devices of several kinds.
    """
    names = tuple(name.strip() for name in text.split(","))
    if names == ("all",):
        return names
    wrong = next((name for name in names if not _ONE.fullmatch(name)), None)
    if wrong is not None:
        raise DeviceError(
            f"invalid device {wrong!r}: expected auto, cpu, cuda, cuda:1 or mps, or a list: cuda:0,cuda:1",
            wrong_usage=True,
        )
    if len(names) == 1:
        return names
    if "auto" in names:
        raise DeviceError(
            "auto means one device and cannot be part of a list: name each device, or choose all", wrong_usage=True
        )
    kinds = list(dict.fromkeys(name.split(":")[0] for name in names))
    if len(kinds) > 1:
        raise DeviceError(
            f"{' and '.join(kinds)} cannot share a video, as their frames differ in the last bit: "
            "list devices of one kind",
            wrong_usage=True,
        )
    if kinds != ["cpu"]:
        names = tuple(name if ":" in name or name == "mps" else f"{name}:0" for name in names)
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise DeviceError(f"{twice} is listed twice: list each device once", wrong_usage=True)
    if len(names) > _MAX_DEVICES:
        raise DeviceError(f"{len(names)} devices are too many: list {_MAX_DEVICES} at most", wrong_usage=True)
    return names


def device_label(names: Iterable[str]) -> str:
    """Devices for messages: ``2 × cpu``, ``cuda:0, cuda:1``."""
    return ", ".join(f"{count} × {name}" if count > 1 else name for name, count in Counter(names).items())
