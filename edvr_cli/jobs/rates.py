"""Restoration speed of this machine, as earlier runs measured it; kept in the user's cache."""

import json
from contextlib import suppress

from edvr_cli.errors import EdvrError
from edvr_cli.inference.options import Precision
from edvr_cli.jobs.fingerprint import model_digest
from edvr_cli.network.model import Model
from edvr_cli.system.files import write_file
from edvr_cli.system.hardware import machine_name
from edvr_cli.system.limits import cpu_count
from edvr_cli.system.user_folders import cache_folder

__all__ = ["known_pace", "store_pace"]

_MAX_ENTRIES = 200
_NAME = "rates.json"


def known_pace(model: Model, precision: Precision, pixels: int) -> float | None:
    """Seconds per frame of ``pixels`` source pixels as an earlier run measured them here; None: not known."""
    rate = _read().get(_key(model, precision))
    return None if rate is None else rate * pixels


def store_pace(model: Model, precision: Precision, pixels: int, seconds: float) -> None:
    """Store a measured pace; a cache that cannot be written is ignored."""
    rates = _read()
    rates.pop(key := _key(model, precision), None)  # the newest come last
    rates[key] = seconds / pixels
    newest = dict(list(rates.items())[-_MAX_ENTRIES:])
    with suppress(OSError, EdvrError):
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / _NAME, json.dumps(newest, indent=1).encode())


def _read() -> dict[str, float]:
    try:
        facts = json.loads((cache_folder() / _NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(facts, dict):
        return {}
    return {key: rate for key, rate in facts.items() if isinstance(rate, float) and 0 < rate < 1}


def _key(model: Model, precision: Precision) -> str:
    device = model.device
    cores = f", {cpu_count()} threads" if device.type == "cpu" else ""
    return f"{model_digest(model)[:16]} on {machine_name(device)}{cores}, {precision}"
