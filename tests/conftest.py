"""Settings for every test."""

import os
import signal
from pathlib import Path

import pytest
import torch

from edvr_cli.jobs import rates
from edvr_cli.models import checkpoint
from edvr_cli.system.user_folders import cache_folder

_USUAL_CACHE = os.environ.get("XDG_CACHE_HOME")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tiny tensors are slower on many threads, and much slower where other programs want the cores too."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def no_settings():
    """The settings of whoever runs the tests decide nothing, in child processes either."""
    os.environ["EDVR_CONFIG"] = os.devnull


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """Whoever runs the tests in the background may have them ignore Ctrl-C, and their children with them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def gpu_by_default(monkeypatch: pytest.MonkeyPatch):
    """As on a machine with a GPU: a model that is loaded to no named device is not on the CPU.

    The meta device stands for it: what would mix it with tensors of the CPU, or write it, fails.
    """

    def resolved(device: str | torch.device) -> torch.device:
        return torch.device("meta") if str(device) == "auto" else torch.device(device)

    monkeypatch.setattr(checkpoint, "resolve_device", resolved)


@pytest.fixture(autouse=True)
def no_known_pace(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory):
    """What earlier runs measured, here or on the user's videos, decides nothing; a test may choose a cache itself."""
    folders: list[Path] = []

    def folder() -> Path:
        if os.environ.get("XDG_CACHE_HOME") != _USUAL_CACHE:
            return cache_folder()
        if not folders:
            folders.append(tmp_path_factory.mktemp("pace"))
        return folders[0]

    monkeypatch.setattr(rates, "cache_folder", folder)
