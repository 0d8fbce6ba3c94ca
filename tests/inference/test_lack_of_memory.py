"""Whatever says that memory is lacking, smaller tiles are tried, and what cannot fit is said before the work."""

from types import SimpleNamespace

import pytest
import torch

from edvr_cli.errors import DeviceError, lacks_memory, unforeseen
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.jobs import backends, worker_engine
from edvr_cli.network.windows import Window
from edvr_cli.system.gpu_errors import is_out_of_memory
from tests.support.networks import random_network

FP32 = InferenceOptions(precision="fp32")
WORDS = [
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    RuntimeError("[enforce fail] . DefaultCPUAllocator: not enough memory: you tried to allocate 68719476736 bytes."),
    RuntimeError("could not create a primitive"),
    RuntimeError("std::bad_alloc"),
    MemoryError("Allocation failed (probably too large)."),
    torch.OutOfMemoryError("CUDA out of memory."),
]


@pytest.mark.parametrize("error", WORDS, ids=lambda error: str(error)[:30])
def test_smaller_tiles_are_tried(monkeypatch: pytest.MonkeyPatch, error: Exception):
    """Until they are the smallest; then one sentence says so."""
    assert (is_out_of_memory(error) and lacks_memory(error)) or isinstance(error, torch.OutOfMemoryError)
    notices: list[str] = []
    engine = StreamingEDVR(random_network(features=8, groups=2), FP32, on_notice=notices.append)

    def lack(*arguments: object) -> object:
        raise error

    monkeypatch.setattr(engine, "_restore", lack)
    frames = tuple(torch.zeros(3, 64, 96) for _ in range(5))
    with pytest.raises(DeviceError, match="out of memory on cpu even with tiles of 32"):
        engine.restore(Window((0, 1, 2, 3, 4), frames))
    assert len(notices) == 2


def test_another_error_is_none_of_memory(monkeypatch: pytest.MonkeyPatch):
    """It is raised as it is."""
    engine = StreamingEDVR(random_network(features=8, groups=2), FP32)

    def fail(*arguments: object) -> object:
        raise RuntimeError("something else")

    monkeypatch.setattr(engine, "_restore", fail)
    with pytest.raises(RuntimeError, match="something else"):
        engine.restore(Window((0,) * 5, (torch.zeros(3, 16, 16),) * 5))


def test_out_of_memory_elsewhere_is_no_fault_of_the_program():
    """As in the decoder: the sentence says what helps."""
    assert unforeseen(WORDS[0]).startswith("Out of memory: close other programs")


def test_frames_that_cannot_fit_are_refused_before_the_work(monkeypatch: pytest.MonkeyPatch):
    """Linux would end the process without a word."""
    info = SimpleNamespace(width=16000, height=16000)
    plan = SimpleNamespace(model=random_network(features=8, groups=2), inference=FP32, info=info)
    monkeypatch.setattr(worker_engine, "free_memory", lambda device: 1 << 30)
    with pytest.raises(DeviceError, match=r"Frames of 16000×16000 need about \d+\.\d GB of memory .* and 1\.1 GB are"):
        backends.LocalBackend(plan, print)
