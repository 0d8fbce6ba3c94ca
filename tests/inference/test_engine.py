"""The streaming engine against the plain network, frame by frame."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from edvr_cli.errors import DeviceError
from edvr_cli.image.resize import resize
from edvr_cli.image.sharpen import sharpened
from edvr_cli.inference import engine as engine_module
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.memory_plan import MemoryPlan
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.inference.strips import strips
from edvr_cli.network.edvr import TAIL_REACH
from edvr_cli.network.model import Model
from edvr_cli.network.windows import PADDINGS, windows
from tests.support.networks import random_network


def clip(length, height, width, seed=0):
    """Random frames (3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, height, width, generator=generator) for _ in range(length)]


def by_definition(model, window):
    """What EDVR.forward makes of a window: padded, restored, cropped."""
    _, height, width = window.reference.shape
    multiple, scale = model.config.multiple, model.config.scale
    bottom, right = -height % multiple, -width % multiple
    mode = "reflect" if bottom < height and right < width else "replicate"
    stacked = F.pad(torch.stack(window.frames), (0, right, 0, bottom), mode)
    return model(stacked[None])[0, :, : height * scale, : width * scale]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"frames": 7},
        {"tsa": False},
        {"predeblur": True},
        {"predeblur": True, "hr_in": True},
        {"cascade": False},
        {"levels": 1},
        {"features": 32, "groups": 8, "tail": 32},
    ],
)
@pytest.mark.parametrize("padding", PADDINGS)
def test_it_equals_the_network_on_every_window(changes, padding):
    """Over shots of several lengths, borders and cuts, for a size that needs padding."""
    model = random_network(**changes)
    frames = clip(12, 14, 18)
    starts = {0, 8, 11}
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32", tile=0))
    count = 0
    for window in windows(((f, i in starts) for i, f in enumerate(frames)), model.config.frames, padding):
        torch.testing.assert_close(engine.restore(window), by_definition(model, window), atol=1e-4, rtol=0)
        count += 1
    assert count == 12


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (2, 40), (17, 16)])
@pytest.mark.parametrize("changes", [{}, {"predeblur": True, "hr_in": True}], ids=["sr", "deblur"])
def test_any_size_works(size, changes):
    """Padded up, restored, cropped."""
    model = random_network(**changes)
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32"))
    window = next(windows([(f, False) for f in clip(5, *size)], 5, "replicate"))
    y = engine.restore(window)
    assert y.shape == (3, size[0] * model.config.scale, size[1] * model.config.scale)
    torch.testing.assert_close(y, by_definition(model, window), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("changes", "keep"),
    [
        ({}, True),
        ({}, False),
        ({"frames": 7, "tsa": False}, True),
        ({"predeblur": True}, True),
        ({"frames": 7, "predeblur": True, "tsa": False, "hr_in": True}, False),
        ({"predeblur": True, "hr_in": True}, True),
    ],
)
@pytest.mark.parametrize("padding", PADDINGS)
def test_tiles_with_a_halo_beyond_the_network_s_reach_equal_the_whole_frame(changes, keep, padding, monkeypatch):
    """Shifting tile borders changes nothing where the halo covers what a pixel depends on."""
    model = random_network(**changes)
    for module in model.modules():  # offsets of at most a pixel or so, for a reach that is known
        if hasattr(module, "conv_offset"):
            module.conv_offset.weight.mul_(0.02)
    inward = 4 if model.config.hr_in else 1
    monkeypatch.setattr(engine_module, "plan_memory", lambda *_: MemoryPlan(64 * inward, keep_features=keep))
    count = model.config.frames
    frames = clip(count, 12 * inward, 144 * inward)
    tiled = StreamingEDVR(model, InferenceOptions(precision="fp32", tile_pad=48 * inward))
    for number, window in enumerate(windows(((f, False) for f in frames), count, padding)):
        if number in (0, 1, count - 1):  # filled up on either side
            y = tiled.restore(window)
            assert not tiled.whole_frames
            torch.testing.assert_close(y, by_definition(model, window), atol=1e-4, rtol=0)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("windows_at_once", [0, 1, 3])
def test_halves_computed_when_needed_are_those_kept(keep, windows_at_once, monkeypatch):
    """The half of the convolutions over pairs is a function of the pyramid: nothing changes but memory."""
    model = random_network()
    kept = StreamingEDVR(model, InferenceOptions(precision="fp32", tile=0))
    plan = MemoryPlan(0, keep, bool(windows_at_once), max(1, windows_at_once), keep_halves=False)
    monkeypatch.setattr(engine_module, "plan_memory", lambda *_: plan)
    dropped = StreamingEDVR(model, InferenceOptions(precision="fp32"))
    frames = [(n, frame, n == 3) for n, frame in enumerate(clip(7, 14, 18))]
    for (_, expected), (_, found) in zip(kept.restore_stream(frames), dropped.restore_stream(frames), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert all(own.halves is None for own in dropped._features.values())


@pytest.mark.parametrize(
    "changes", [{}, {"frames": 7, "tsa": False}, {"predeblur": True, "hr_in": True}, {"levels": 1}]
)
@pytest.mark.parametrize("padding", PADDINGS)
def test_neighbors_aligned_at_once_are_those_aligned_one_by_one(changes, padding, monkeypatch):
    """As on a GPU, also where a window has a frame twice."""
    model = random_network(**changes)
    count = model.config.frames
    one_by_one = StreamingEDVR(model, InferenceOptions(precision="fp32", tile=0))
    monkeypatch.setattr(engine_module, "plan_memory", lambda *_: MemoryPlan(0, keep_features=True, at_once=True))
    at_once = StreamingEDVR(model, InferenceOptions(precision="fp32"))
    for window in windows(((f, False) for f in clip(count, 14, 18)), count, padding):
        torch.testing.assert_close(at_once.restore(window), one_by_one.restore(window), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "changes", [{}, {"frames": 7, "tsa": False}, {"predeblur": True, "hr_in": True}, {"levels": 1, "cascade": False}]
)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("count", [2, 3, 8])
def test_several_windows_in_one_go_are_those_one_by_one(changes, padding, count, monkeypatch):
    """Groups of any length, also across shots, where a window names a frame twice."""
    model = random_network(**changes)
    single = StreamingEDVR(model, InferenceOptions(precision="fp32", tile=0))
    monkeypatch.setattr(
        engine_module, "plan_memory", lambda *_: MemoryPlan(0, keep_features=True, at_once=True, windows=count)
    )
    several = StreamingEDVR(model, InferenceOptions(precision="fp32"))
    frames = [(frame, n in (0, 7)) for n, frame in enumerate(clip(10, 14, 18))]
    stream = list(windows(frames, model.config.frames, padding))
    expected = [single.restore(window) for window in stream]
    restored = [*several.restore_windows(stream[:4]), *several.restore_windows(stream[4:5])]
    restored += several.restore_windows(stream[5:])
    assert several.windows_at_once == count
    for y, wanted in zip(restored, expected, strict=True):
        torch.testing.assert_close(y, wanted, atol=1e-4, rtol=0)


def test_several_windows_need_no_feature_twice(monkeypatch):
    """Each frame is extracted once, those that are new to a group together."""
    model = random_network()
    counts = []
    extract = model.extract
    monkeypatch.setattr(model, "extract", lambda frames: counts.append(len(frames)) or extract(frames))
    monkeypatch.setattr(
        engine_module, "plan_memory", lambda *_: MemoryPlan(0, keep_features=True, at_once=True, windows=4)
    )
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32"))
    stream = list(windows(((f, False) for f in clip(12, 8, 8)), 5, "replicate"))
    for first in range(0, 12, 4):
        engine.restore_windows(stream[first : first + 4])
    assert counts == [6, 4, 2]


@pytest.mark.parametrize("height", [1, 15, 16, 33, 50, 64])
def test_strips_cover_a_frame_once_and_are_read_equally_high(height):
    """With what the tail reaches around them."""
    cover = list(strips(height, 16))
    assert [row for start, stop, _, _ in cover for row in range(start, stop)] == list(range(height))
    assert len({bottom - top for _, _, top, bottom in cover}) == 1
    for start, stop, top, bottom in cover:
        assert 0 <= top <= max(0, start - TAIL_REACH)
        assert min(height, stop + TAIL_REACH) <= bottom <= height


def test_features_are_computed_once_per_frame(monkeypatch):
    """And let go when no window can name them any more."""
    model = random_network()
    calls = []
    extract = model.extract
    monkeypatch.setattr(model, "extract", lambda frame: calls.append(1) or extract(frame))
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32", tile=0))
    for window in windows(((f, False) for f in clip(12, 8, 8)), 5, "reflection_circle"):
        engine.restore(window)
        assert len(engine._features) <= 5
    assert len(calls) == 12


def test_when_memory_runs_out_the_frame_is_redone_with_smaller_tiles(monkeypatch):
    """They shrink until they fit; no frame is skipped, and a notice says so."""
    model = random_network()
    align = model.pcd_align.align
    limit = 40 * 40

    def short_of_memory(neighbor, *args):
        if neighbor[0].shape[-1] * neighbor[0].shape[-2] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return align(neighbor, *args)

    monkeypatch.setattr(model.pcd_align, "align", short_of_memory)
    told = []
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32", tile=0, tile_pad=0), on_notice=told.append)
    restored = [engine.restore(w) for w in windows(((f, False) for f in clip(6, 96, 96)), 5, "replicate")]
    assert told == [f"Out of memory: continuing with tiles of {size} pixels." for size in (48, 32)]
    assert len(restored) == 6
    assert all(y.shape == (3, 384, 384) and y.isfinite().all() for y in restored)


def test_when_memory_runs_out_windows_go_one_by_one_before_tiles(monkeypatch):
    """A group is redone from the window that failed."""
    model = random_network()
    align = model.pcd_align.align

    def short_of_memory(neighbor, *args):
        if len(neighbor[0]) > 5:
            raise RuntimeError("CUDA error: out of memory")
        return align(neighbor, *args)

    stream = list(windows(((f, False) for f in clip(6, 16, 16)), 5, "replicate"))
    expected = [StreamingEDVR(model, InferenceOptions(precision="fp32", tile=0)).restore(window) for window in stream]
    monkeypatch.setattr(model.pcd_align, "align", short_of_memory)
    monkeypatch.setattr(
        engine_module, "plan_memory", lambda *_: MemoryPlan(0, keep_features=True, at_once=True, windows=3)
    )
    told = []
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32"), on_notice=told.append)
    restored = engine.restore_windows(stream)
    assert told == ["Out of memory: continuing with one frame at a time."]
    assert engine.windows_at_once == 1
    for y, wanted in zip(restored, expected, strict=True):
        torch.testing.assert_close(y, wanted, atol=1e-4, rtol=0)


def test_when_nothing_fits_the_error_says_what_to_do(monkeypatch):
    """After the smallest tile."""
    model = random_network()

    def never(*_):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr(model.pcd_align, "align", never)
    engine = StreamingEDVR(model, InferenceOptions(precision="fp32", tile=0))
    window = next(windows([(f, False) for f in clip(5, 64, 64)], 5, "replicate"))
    with pytest.raises(DeviceError, match="out of memory on cpu even with tiles of 32 pixels"):
        engine.restore(window)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    """A bug keeps its traceback."""
    model = random_network()

    def broken(*_):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(model.pcd_align, "align", broken)
    window = next(windows([(f, False) for f in clip(5, 8, 8)], 5, "replicate"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        StreamingEDVR(model, InferenceOptions(precision="fp32")).restore(window)


@pytest.mark.parametrize("changes", [{}, {"predeblur": True, "hr_in": True}])
@pytest.mark.parametrize("tile", [0, 32])
def test_the_strength_goes_from_the_plain_enlargement_to_the_network(changes, tile):
    """Exactly at both ends, for a size that the network needs padded, whole and in tiles."""
    model = random_network(**changes)
    frames = clip(6, 38, 43)

    def restored(**options):
        engine = StreamingEDVR(model, InferenceOptions(precision="fp32", tile=tile, tile_pad=8, **options))
        return [output for _, output in engine.restore_stream((None, frame, False) for frame in frames)]

    network, plain, mixed = restored(), restored(strength=0.0), restored(strength=0.25)
    assert all(torch.equal(a, b) for a, b in zip(network, restored(strength=1.0), strict=True))
    for frame, full, none, quarter in zip(frames, network, plain, mixed, strict=True):
        size = 38 * model.config.scale, 43 * model.config.scale
        assert torch.equal(none, resize(frame, size, "bicubic"))
        assert not torch.allclose(full, none, atol=1e-3)
        torch.testing.assert_close(quarter, 0.75 * none + 0.25 * full, atol=1e-6, rtol=0)


@pytest.mark.parametrize("tile", [0, 32])
def test_the_network_s_output_is_sharpened_before_it_is_blended(tile):
    """Whole frames, so that no tile's border shows; the plain enlargement stays plain."""
    model = random_network()
    frames = clip(6, 38, 43)

    def restored(**options):
        engine = StreamingEDVR(model, InferenceOptions(precision="fp32", tile=tile, tile_pad=8, **options))
        return [output for _, output in engine.restore_stream((None, frame, False) for frame in frames)]

    network, crisp, mixed, plain = (
        restored(**options)
        for options in ({}, {"sharpen": 0.5}, {"sharpen": 0.5, "strength": 0.5}, {"sharpen": 0.5, "strength": 0.0})
    )
    for frame, soft, sharp, half, none in zip(frames, network, crisp, mixed, plain, strict=True):
        torch.testing.assert_close(sharp, sharpened(soft, 0.5, 1.5))
        enlarged = resize(frame, (152, 172), "bicubic")
        torch.testing.assert_close(half, (enlarged + sharp) / 2)
        assert torch.equal(none, enlarged)


def test_what_belongs_to_the_model_is_added_to_what_is_asked_for():
    """A model whose output is to be sharpened, and a user who wants more."""
    model, frames = Model.of(random_network()), clip(6, 38, 43)

    def restored(model, **options):
        engine = StreamingEDVR(model, InferenceOptions(precision="fp32", **options))
        return [output for _, output in engine.restore_stream((None, frame, False) for frame in frames)]

    soft, own, both = restored(model), replace(model, sharpen=0.3), replace(model, sharpen=0.2)
    for plain, one, two in zip(soft, restored(own), restored(both, sharpen=0.1), strict=True):
        torch.testing.assert_close(one, sharpened(plain, 0.3, 1.5))
        torch.testing.assert_close(two, one)


@pytest.mark.parametrize(("name", "most"), [("strength", 1), ("sharpen", 2)])
def test_a_strength_beyond_all_is_refused(name, most):
    """Below nothing, or more than everything."""
    for value in (-0.1, most + 0.1, float("nan")):
        with pytest.raises(ValueError, match=f"0 to {most}"):
            InferenceOptions(**{name: value})


def test_bf16_stays_close_to_fp32_and_leaves_the_caller_s_model_alone():
    """The frame itself is never rounded to bf16: what is restored is the difference to it."""
    model = random_network(features=32, groups=8, tail=32)
    for parameter in (model.conv_last.weight, model.conv_last.bias):
        parameter.mul_(0.1)  # a trained network adds about this much
    coarse, exact = (
        StreamingEDVR(model, InferenceOptions(precision="bf16")),
        StreamingEDVR(model, InferenceOptions(precision="fp32")),
    )
    for window in windows(((f, False) for f in clip(5, 32, 32)), 5, "replicate"):
        y, expected = coarse.restore(window), exact.restore(window)
        assert y.dtype == torch.float32
        assert 0 < (y - expected).square().mean().sqrt() < 0.5 / 255
    assert next(model.parameters()).dtype == torch.float32


def test_precisions_are_refused_where_they_make_no_sense():
    """With the choices that there are."""
    model = random_network()
    with pytest.raises(DeviceError, match="auto, fp32 or bf16"):
        StreamingEDVR(model, InferenceOptions(precision="fp16"))
    with pytest.raises(ValueError, match="auto, fp32, fp16, bf16"):
        StreamingEDVR(model, InferenceOptions(precision="half"))


def test_a_device_without_a_kernel_is_told(monkeypatch):
    """In a sentence with the reason."""
    engine = StreamingEDVR(random_network(), InferenceOptions(precision="fp32"))
    assert engine.notes == ()
    monkeypatch.setattr(engine_module, "missing_kernel", lambda device: "numba is not installed")
    assert engine.notes == (
        "This will be slow, without a kernel for deformable convolutions on cpu: numba is not installed.",
    )


def test_compiling_what_is_compiled_already_is_declined():
    """The kernels for processors are compiled and fused as they are."""
    (note,) = StreamingEDVR(random_network(), InferenceOptions(precision="fp32", torch_compile=True)).notes
    assert note.startswith("torch.compile is for GPUs")
