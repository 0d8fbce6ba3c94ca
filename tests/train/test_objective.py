"""The precision that training computes in."""

import pytest
import torch

from edvr_cli.system.hardware import multiplies_bfloat16
from edvr_cli.train.device import trainer
from edvr_cli.train.objective import _autocast
from edvr_cli.train.recipe import Precision, Recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "multiplies"),
    [({"avx2": True, "avx512_f": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)],
    ids=str,
)
def test_bfloat16_is_used_where_the_processor_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict, multiplies: bool
):
    """Others imitate it: a step took 28 s where float32 takes 1.9."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert multiplies_bfloat16(CPU) == multiplies
    assert computed_in("auto") == (torch.bfloat16 if multiplies else torch.float32)
    assert computed_in("bf16") == torch.bfloat16
    assert computed_in("fp32") == torch.float32
    steps = object.__new__(trainer._Steps)
    steps.losses = torch.zeros(2)
    with steps._autocast():
        assert product() == computed_in("auto")


def computed_in(precision: Precision) -> torch.dtype:
    with _autocast(Recipe(precision=precision), CPU):
        return product()


def product() -> torch.dtype:
    return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


@pytest.mark.parametrize(("capability", "multiplies"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_multiply_in_bfloat16_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], multiplies: bool
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert multiplies_bfloat16(torch.device("cuda:0")) == multiplies


def test_apples_gpus_train_in_float32():
    """Nothing is known of their bfloat16."""
    assert not multiplies_bfloat16(torch.device("mps"))
