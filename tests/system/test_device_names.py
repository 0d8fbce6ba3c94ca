"""Devices by name: one, a list, or all of them; every mistake in one sentence."""

import pytest
import torch

from edvr_cli.errors import DeviceError
from edvr_cli.system.device_names import device_label, device_names
from edvr_cli.system.hardware import resolve_devices


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("auto", ("auto",)),
        ("cuda", ("cuda",)),
        ("cpu,cpu", ("cpu", "cpu")),
        ("cuda, cuda:1", ("cuda:0", "cuda:1")),
        ("all", ("all",)),
    ],
)
def test_devices_are_listed_with_commas(text: str, names: tuple[str, ...]):
    """In a list, every GPU by its number."""
    assert device_names(text) == names


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cuda:0,cuda:0", "cuda:0 is listed twice"),
        ("cuda,cuda:0", "cuda:0 is listed twice"),
        ("mps,mps", "mps is listed twice"),
        ("cpu,cuda:9", "cpu and cuda cannot share a video"),
        ("auto,cpu", "auto means one device"),
        ("cpu,", "invalid device ''"),
        ("all,cpu", "invalid device 'all'"),
        ("gpu", "invalid device 'gpu'"),
        (",".join(["cpu"] * 65), "65 devices are too many"),
    ],
)
def test_wrong_lists_are_refused(text: str, sentence: str):
    """Before anything is loaded."""
    with pytest.raises(DeviceError, match=sentence) as caught:
        device_names(text)
    assert caught.value.wrong_usage


def test_the_machine_decides_what_is_there(monkeypatch: pytest.MonkeyPatch):
    """``all`` is every GPU; the error for a missing GPU names it and those that exist."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_devices("all") == ("cuda:0", "cuda:1")
    assert resolve_devices("cuda:1,cuda:0") == ("cuda:1", "cuda:0")
    assert resolve_devices("auto") == ("auto",)
    with pytest.raises(DeviceError, match="cuda:9 is not there: this machine has cuda:0, cuda:1"):
        resolve_devices("cuda:0,cuda:9")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="this machine has none: choose auto or cpu"):
        resolve_devices("all")


def test_equal_devices_are_counted():
    """For messages."""
    assert device_label(["cpu", "cpu"]) == "2 × cpu"
    assert device_label(["cuda:0", "cuda:1"]) == "cuda:0, cuda:1"
