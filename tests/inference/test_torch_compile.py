"""torch.compile around the engine's stages: the same frames, few compilations, and what happens when it fails."""

import pytest
import torch

from edvr_cli.inference import engine as engine_module
from edvr_cli.inference import torch_compile as compilation
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.memory_plan import MemoryPlan
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.inference.torch_compile import Compiler
from edvr_cli.network.windows import windows
from edvr_cli.ops.triton_status import Fault
from tests.inference.test_engine import clip
from tests.support.networks import random_network

LEAST = {"extraction_blocks": 0, "reconstruction_blocks": 0, "tsa": False, "levels": 1, "features": 8, "tail": 4}


class Backend:
    """Runs what it is given as it is, and counts how often it is given something."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, inputs):
        """As torch.compile calls a backend."""
        self.count += 1
        return graph


@pytest.fixture(autouse=True)
def plain_torch(monkeypatch):
    """The engine as on a GPU: without the processor's own kernels, which are not compiled again."""
    monkeypatch.setattr(engine_module, "numba_fault", lambda: Fault("as on a GPU", ""))


def engines(model, monkeypatch, backend, chosen, told):
    """One that compiles, and one that does not, both with this plan."""
    monkeypatch.setattr(engine_module, "plan_memory", lambda *_: chosen)
    monkeypatch.setattr(compilation, "Compiler", lambda on_failure: Compiler(on_failure, backend))
    plain = StreamingEDVR(model, InferenceOptions(precision="fp32", tile_pad=4))
    return StreamingEDVR(
        model, InferenceOptions(precision="fp32", tile_pad=4, torch_compile=True), on_notice=told.append
    ), plain


def test_the_compiled_engine_equals_the_plain_one(monkeypatch):
    """With torch's own compiler, the deformable convolution as one operation in what it makes."""
    compiled, plain = engines(
        random_network(**LEAST), monkeypatch, "inductor", MemoryPlan(0, keep_features=True), told := []
    )
    for window in windows(((f, False) for f in clip(3, 12, 16)), 5, "replicate"):
        torch.testing.assert_close(compiled.restore(window), plain.restore(window), atol=1e-5, rtol=0)
    assert told == []


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, MemoryPlan(0, keep_features=True, at_once=True)),
        (LEAST, MemoryPlan(0, keep_features=True)),
        (LEAST, MemoryPlan(16, keep_features=False, at_once=True)),
        (LEAST, MemoryPlan(16, keep_features=True)),
    ],
    ids=["all of the network", "one by one", "tiles at once", "tiles"],
)
def test_stages_are_compiled_a_few_times_whatever_the_tiles(changes, chosen, monkeypatch):
    """For the first size, then for all sizes: in any window of any shot, and for tiles at any border."""
    backend = Backend()
    compiled, plain = engines(random_network(**changes), monkeypatch, backend, chosen, told := [])
    frames = [(frame, n == 2) for n, frame in enumerate(clip(3, 36, 52))]
    for number, window in enumerate(windows(frames, compiled.config.frames, "replicate")):
        torch.testing.assert_close(compiled.restore(window), plain.restore(window), atol=1e-5, rtol=0)
        if number == 0:
            first = backend.count
    assert backend.count == first
    assert first <= (6 if chosen.tile == 0 else 18)
    assert told == []


def test_without_a_compiler_the_network_runs_as_it_is(monkeypatch):
    """And that is said once."""

    def broken(graph, inputs):
        raise OSError("no compiler here")

    model = random_network()
    compiled, plain = engines(model, monkeypatch, broken, MemoryPlan(0, keep_features=True), told := [])
    for window in windows(((f, False) for f in clip(3, 12, 16)), 5, "replicate"):
        torch.testing.assert_close(compiled.restore(window), plain.restore(window), atol=0, rtol=0)
    assert len(told) == 1
    assert told[0].startswith("torch.compile failed, and the network runs uncompiled: ")
    assert "no compiler here" in told[0]


def test_other_errors_come_through(monkeypatch):
    """A lack of memory is the engine's to deal with."""

    def short(graph, inputs):
        def run(*_):
            raise torch.OutOfMemoryError("CUDA out of memory")

        return run

    function = Compiler(lambda _: pytest.fail("it compiled"), short)(lambda x: x + 1)
    with pytest.raises(torch.OutOfMemoryError):
        function(torch.zeros(2))
