"""``edvr bench``: what it counts, what it leaves out, and what it shows."""

import json
from dataclasses import asdict

import pytest
import torch

from edvr_cli.bench import hardware, network, suite
from edvr_cli.bench.flops import WorkCount, count_work
from edvr_cli.bench.hardware import Rates, peak_memory
from edvr_cli.bench.network import EngineResult, NetworkResult, PublishedResult, time_network
from edvr_cli.bench.suite import CaseResult, Report, bench
from edvr_cli.cli import main
from edvr_cli.inference import engine as engine_module
from edvr_cli.inference.engine import STAGES, StreamingEDVR
from edvr_cli.inference.memory_plan import MemoryPlan
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.inference.stages import Stages
from edvr_cli.network.edvr import EDVR, DeformConv, EDVRConfig

TINY = EDVRConfig(
    features=16, groups=2, extraction_blocks=1, reconstruction_blocks=2, tail=8, tsa=False, levels=1, cascade=False
)
CPU = torch.device("cpu")
RATES = Rates({"fp32": 1e9, "bf16": 2e9}, copy=1e9)


@pytest.fixture(scope="module")
def report() -> Report:
    """A whole run, on the least of a network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite, "measure_rates", lambda *_: RATES)
        patch.setitem(suite.SIZES, "tiny", TINY)
        return bench(["tiny"], [(32, 16)], CPU, ("fp32", "bf16"), budget=4)


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``edvr bench``."""
    with pytest.raises(SystemExit) as ended:
        main(["bench", *arguments])
    captured = capfd.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_work_is_counted_by_convolution():
    """Two FLOPs a multiply-add; maps are read and written once, the deformable convolution's packed offsets too."""
    plain = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
    assert count_work(plain, lambda: plain(torch.zeros(1, 3, 8, 8))) == WorkCount(2 * 128 * 27, (192 + 128) * 4)

    module = DeformConv(8, groups=2)
    x = torch.zeros(1, 8, 4, 4)
    offsets = WorkCount(2 * 54 * 16 * 9 * 8, (8 + 54) * 16 * 4)
    sampled = WorkCount(2 * 8 * 16 * 9 * 8, (8 + 54 + 8) * 16 * 4)
    expected = WorkCount(offsets.flops + sampled.flops, offsets.bytes + sampled.bytes)
    assert count_work(module, lambda: module(x, x)) == expected


def test_the_engine_does_what_depends_on_one_frame_once(report: Report):
    """Counted by hand, in multiply-adds a pixel."""
    C, T, tail = TINY.features, TINY.frames, TINY.tail
    square = 9 * C * C
    features = 27 * C + 2 * square
    alignment = square + 9 * C * 27 * TINY.groups + square  # of one frame, after the convolution over the pair
    fusion = T * C * C
    reconstruction = 4 * square + 4 * square + 4 * 9 * C * 4 * tail + 16 * (9 * tail * tail + 27 * tail)
    once = T * alignment + fusion + reconstruction
    pixels = 32 * 16
    result = report.cases[0].network
    assert result.published.flops == 2 * pixels * (T * (features + 2 * square) + once)
    for engine in result.engines:
        assert engine.flops == 2 * pixels * (features + 2 * square + once)


def test_the_report_tells_both_forms_the_parts_and_the_video(report: Report):
    """And survives JSON."""
    case = report.cases[0]
    assert report.device == "cpu"
    assert case.network.published.time
    assert [engine.precision for engine in case.network.engines] == ["fp32", "bf16"]
    for engine in case.network.engines:
        assert engine.time
        assert 0 < engine.time.least <= engine.time.median
        assert set(engine.parts) == {"features", "alignment", "fusion", "reconstruction", "tail"}
        assert sum(engine.parts.values()) > 0
    assert case.network.engines[1].bytes == case.network.engines[0].bytes / 2
    assert case.video
    assert case.video.frames >= 5
    assert min(case.video.decode, case.video.network, case.video.encode, case.video.end_to_end) > 0
    assert json.loads(json.dumps(asdict(report)))["cases"][0]["network"]["engines"][1]["precision"] == "bf16"


def test_the_floor_is_what_takes_longer():
    """The products at their rate, or the maps at the copy's."""
    model = network.random_network(TINY)
    for rates in (Rates({"fp32": 1e6}, copy=1e12), Rates({"fp32": 1e15}, copy=1e3)):
        engine = time_network(model, 32, 16, ["fp32"], rates, budget=0).engines[0]
        assert engine.floor == max(engine.flops / rates.product["fp32"], engine.bytes / rates.copy)


@pytest.mark.parametrize("precisions", [["fp32"], ["fp32", "bf16"]])
def test_every_frame_that_is_timed_is_new_to_its_engine(precisions: list, monkeypatch: pytest.MonkeyPatch):
    """However many take turns: with all features known, a frame would seem to take less than it does."""
    model = network.random_network(TINY)
    counts = {"extracted": 0, "restored": 0}
    extract, restore = Stages.extract, StreamingEDVR.restore_windows

    def counting(name, function):
        def count(*args):
            counts[name] += 1
            return function(*args)

        return count

    monkeypatch.setattr(Stages, "extract", counting("extracted", extract))
    monkeypatch.setattr(StreamingEDVR, "restore_windows", counting("restored", restore))
    time_network(model, 32, 16, precisions, RATES, budget=0.5)
    first = 2 * len(precisions)  # where work is counted, and then at the size that is timed: five frames each
    assert counts["extracted"] == counts["restored"] + 4 * first


def test_what_would_take_too_long_is_left_out_with_its_estimate():
    """Rather than started."""
    result = time_network(network.random_network(TINY), 32, 16, ["fp32"], Rates({"fp32": 1e6}, copy=1e9), budget=1)
    assert result.published.time is None
    assert result.published.why_not == f"would take about {result.published.flops / 1e6:.0f} s per frame"
    assert result.engines[0].time is None
    assert result.engines[0].parts == {}
    assert "would take" in result.engines[0].why_not


def test_who_runs_out_of_memory_drops_out(monkeypatch: pytest.MonkeyPatch):
    """The others go on."""

    def published_form(model: EDVR) -> tuple[EDVR, str]:
        class Large(EDVR):
            def forward(self, window: torch.Tensor) -> torch.Tensor:
                if window.shape[-1] > network._SAMPLE_SIDE:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return super().forward(window)

        return Large(model.config), "grid_sample"

    monkeypatch.setattr(network, "published_form", published_form)
    result = time_network(network.random_network(TINY), 80, 16, ["fp32"], RATES, budget=2)
    assert (result.published.time, result.published.why_not) == (None, "out of memory")
    assert result.engines[0].time


def test_memory_is_not_told_where_nobody_counts(monkeypatch: pytest.MonkeyPatch):
    """The work is done all the same."""
    done = []
    monkeypatch.setattr(hardware, "_forget_peak", lambda: False)
    assert peak_memory(lambda: done.append(1), CPU) is None
    assert done == [1]


def test_memory_is_what_was_taken_on_top():
    """Of the whole process, on Linux."""
    peak = peak_memory(lambda: torch.ones(64 << 20, dtype=torch.uint8), CPU)
    assert peak is None or 60 << 20 < peak < 80 << 20


def test_the_command_shows_a_table_or_json(report: Report, monkeypatch: pytest.MonkeyPatch, capfd):
    """On standard output; which case is under way on standard error."""
    monkeypatch.setattr(suite, "bench", lambda *_, on_case, **__: on_case("EDVR-TINY") or report)
    code, out, err = run(capfd, "--size", "s", "--json")
    assert code == 0
    assert set(json.loads(out)) == {"machine", "device", "torch", "threads", "rates", "cases"}
    assert "EDVR-TINY" in err
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capfd, "--size", "s")
    assert code == 0
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "end to end" in out


def test_the_command_says_what_was_left_out(monkeypatch: pytest.MonkeyPatch, capfd):
    """With empty cells in the table."""
    published = PublishedResult("grid_sample", 1e12, None, why_not="would take about 99 s per frame")
    engine = EngineResult("fp32", 1e12, 1e9, 2.0, None, {}, why_not="out of memory")
    case = CaseResult("m", 320, 180, NetworkResult(published, [engine]), None)
    report = Report("A CPU", "cpu", "2.0", 2, RATES, [case])
    monkeypatch.setattr(suite, "bench", lambda *_, **__: report)
    code, out, _ = run(capfd, "--size", "m")
    assert code == 0
    assert "left out: published: would take about 99 s per frame" in out
    assert "left out: engine, fp32: out of memory" in out


@pytest.mark.parametrize("size", ["320", "8x8", "320x8", "axb", "-320x180"])
def test_a_size_that_is_none_is_refused(size: str, capfd):
    """With an example of one."""
    code, _, err = run(capfd, "--resolution", size)
    assert code == 2
    assert "write 320x180" in err


def test_a_precision_that_the_device_lacks_is_an_error(capfd):
    """In one sentence."""
    code, _, err = run(capfd, "--device", "cpu", "--precision", "fp16", "--quick")
    assert code == 1
    assert "pass --precision auto, bf16 or fp32" in err


def test_small_frames_are_timed_as_many_in_one_go_as_a_video_gets(monkeypatch: pytest.MonkeyPatch):
    """On a GPU several windows go through together; a time per frame is that of the group, divided."""
    plan = MemoryPlan(0, keep_features=True, at_once=True, windows=3)
    monkeypatch.setattr(engine_module, "plan_memory", lambda *_: plan)
    restored: list[int] = []
    restore = StreamingEDVR.restore_windows
    monkeypatch.setattr(
        StreamingEDVR, "restore_windows", lambda self, group: restored.append(len(group)) or restore(self, group)
    )
    config = EDVRConfig(features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4)
    engine = StreamingEDVR(network.random_network(config), InferenceOptions(precision="fp32"))
    candidate = network._as_engine(engine, network._windows(engine.model.network, 24, 16), 24, 16)
    restored.clear()
    monkeypatch.setattr(network, "seconds", lambda run, device: (run(), 0.6)[1])
    network._take_turns([candidate], torch.device("cpu"), budget=1.0)
    assert set(restored) == {3}
    assert candidate.repeats[0] == pytest.approx(0.2)
    assert set(network._time_stages(engine, candidate, budget=1.0)) == set(STAGES)
