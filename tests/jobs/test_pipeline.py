"""Whole videos and streams of frames through the pipeline: what goes in comes out, restored."""

import errno
import threading
import weakref
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edvr_cli.errors import InputError, ModelError, OutputError
from edvr_cli.events import Event, Finished, FrameRestored, Joining, Notice, Started
from edvr_cli.inference.frames import output_size, restore_frames
from edvr_cli.jobs import pipeline
from edvr_cli.jobs import runner as job
from edvr_cli.models.checkpoint import save_model
from edvr_cli.network.edvr import EDVRConfig
from edvr_cli.size import Size
from edvr_cli.video.reading import reader
from edvr_cli.video.reading.sources import probe
from edvr_cli.video.writing.options import Encoding
from edvr_cli.video.writing.writer import VideoWriter
from tests.support.clips import frame_times, make_clip, packets, pictures
from tests.support.errors import raises
from tests.support.networks import Identity, random_network
from tests.support.run import restore as run

FAST = Encoding(preset="ultrafast")
LOSSLESS = Encoding(preset="ultrafast", crf=0)
# The least of a network, for an identity to go through.
LEAST = EDVRConfig(
    features=8,
    groups=2,
    extraction_blocks=0,
    reconstruction_blocks=0,
    tail=4,
    tsa=False,
    cascade=False,
    levels=1,
)
SMALL = {"width": 32, "height": 24}
UNEVEN = (0, 40, 90, 130, 135, 300, 301, 500, 520, 560, 600, 900)


@pytest.fixture(autouse=True)
def no_thread_left():
    """Every test joins what it started."""
    before = set(threading.enumerate())  # the deformable convolution's pool, if an earlier test needed it, stays
    yield
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


@pytest.fixture(scope="module")
def deblurring_identity() -> Identity:
    """Scale 1: what comes out should be what went in."""
    return Identity(replace(LEAST, predeblur=True, hr_in=True))


def restore(source: Path, target: Path, **options) -> Finished:
    """`restore_video` with the identity network and a fast encoder, unless said otherwise."""
    return run(source, target, **{"model": Identity(LEAST), "encoding": FAST, **options})


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


# --- Frames, times and sound


@pytest.mark.parametrize(
    ("suffix", "changes"),
    [
        (".mp4", {"rate": Fraction(30000, 1001)}),
        (".mp4", {"time_base": Fraction(1, 600), "pts": UNEVEN}),
        (".mp4", {"time_base": Fraction(1, 600), "pts": tuple(6000 + time for time in UNEVEN)}),
        (".mov", {"time_base": Fraction(1, 90000), "pts": tuple(7 + 101 * time for time in UNEVEN)}),
        (".mkv", {"time_base": Fraction(1, 1000), "pts": UNEVEN}),
    ],
    ids=["constant", "variable", "from 10 s", "odd ticks", "milliseconds"],
)
def test_every_frame_comes_out_at_its_source_s_time(tmp_path: Path, suffix: str, changes: dict):
    """Same count, same times, same time base."""
    source, target = make_clip(tmp_path / f"in{suffix}", **SMALL, **changes), tmp_path / f"out{suffix}"
    assert restore(source, target).frames == 12
    assert frame_times(target) == frame_times(source)
    assert probe(target).time_base == probe(source).time_base


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_all_sound_is_copied_bit_for_bit(tmp_path: Path, suffix: str):
    """Two tracks, each packet at its time."""
    source = make_clip(tmp_path / f"in{suffix}", **SMALL, audio=("aac", "flac"), languages=("eng", "deu"))
    restore(source, tmp_path / f"out{suffix}")
    sound = packets(tmp_path / f"out{suffix}")
    assert sound == packets(source)
    assert len(sound) == 2 and all(sound)


def test_sound_can_be_left_out(tmp_path: Path):
    """On request."""
    source = make_clip(tmp_path / "in.mp4", **SMALL, audio=("aac",))
    restore(source, tmp_path / "out.mp4", audio=False)
    assert packets(tmp_path / "out.mp4") == []


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"max_frames": 5}, slice(0, 5)),
        ({"start": Fraction(1, 5)}, slice(5, None)),
        ({"end": Fraction(1, 5)}, slice(0, 5)),
        ({"start": Fraction(3, 25), "end": Fraction(8, 25)}, slice(3, 8)),
        ({"start": Fraction(3, 25), "max_frames": 2}, slice(3, 5)),
        ({"max_frames": 99}, slice(0, None)),
    ],
    ids=str,
)
def test_a_part_is_cut_exactly(tmp_path: Path, options: dict, kept: slice):
    """The frames between the instants, as they would be in the whole video's middle: from time 0 on."""
    source = make_clip(tmp_path / "in.mp4", **SMALL)
    restore(source, tmp_path / "whole.mp4", encoding=LOSSLESS)
    finished = restore(source, tmp_path / "out.mp4", encoding=LOSSLESS, **options)
    expected = pictures(tmp_path / "whole.mp4")[kept]
    assert finished.frames == len(expected)
    assert np.array_equal(pictures(tmp_path / "out.mp4")[0][0], expected[0][0])
    assert np.array_equal(pictures(tmp_path / "out.mp4")[-1][0], expected[-1][0])
    times = frame_times(source)[kept]
    assert frame_times(tmp_path / "out.mp4") == [time - times[0] for time in times]


# --- Shots


@pytest.mark.parametrize("cut", [6, 3, 10], ids=["even", "short first", "short second"])
def test_no_pixel_depends_on_another_shot(tmp_path: Path, cut: int):
    """With another second shot the first one's frames stay what they were; also if shorter than a window."""
    model = random_network()
    for second in (1, 2):
        source = make_clip(tmp_path / f"in{second}.mp4", **SMALL, cut=(cut, second))
        for shots in (True, False):
            target = tmp_path / f"out{second}{shots}.mp4"
            restore(source, target, model=model, split_at_cuts=shots, encoding=LOSSLESS, precision="fp32")
    one, two = (pictures(tmp_path / f"out{second}True.mp4") for second in (1, 2))
    assert [np.array_equal(a[0], b[0]) for a, b in zip(one, two, strict=True)] == [True] * cut + [False] * (12 - cut)
    one, two = (pictures(tmp_path / f"out{second}False.mp4") for second in (1, 2))
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(one[:cut], two[:cut], strict=True))


def test_a_shot_is_restored_like_a_video_of_its_own():
    """Padded at its ends in the same way."""
    model = random_network()
    generator = torch.Generator().manual_seed(0)
    dark, bright = (torch.rand(3, 12, 16, generator=generator) * 0.3 for _ in range(2))
    first = [dark.roll(n, dims=2) for n in range(7)]
    second = [0.6 + bright.roll(n, dims=1) for n in range(3)]
    together = list(restore_frames(first + second, model))
    apart = [*restore_frames(first, model), *restore_frames(second, model)]
    assert all(torch.equal(a, b) for a, b in zip(together, apart, strict=True))
    one_shot = list(restore_frames(first + second, model, split_at_cuts=False))
    assert not torch.equal(one_shot[6], apart[6])
    assert not torch.equal(one_shot[7], apart[7])


# --- Sizes


def test_a_video_of_one_frame_is_restored(tmp_path: Path):
    """Its window is that frame, repeated."""
    source = make_clip(tmp_path / "in.mp4", **SMALL, frames=1)
    assert restore(source, tmp_path / "out.mp4", model=random_network()).frames == 1
    assert len(pictures(tmp_path / "out.mp4")) == 1


@pytest.mark.parametrize("size", [(33, 17), (17, 16), (5, 9), (64, 2)])
@pytest.mark.parametrize("scale", [4, 1])
def test_any_size_comes_out_whole(tmp_path: Path, size: tuple[int, int], scale: int, deblurring_identity: Identity):
    """Odd ones, and ones smaller than what the network works on."""
    source = make_clip(
        tmp_path / "in.mkv", width=size[0], height=size[1], pix_fmt="yuv444p", codec="ffv1", options={}, frames=3
    )
    model = Identity(LEAST) if scale == 4 else deblurring_identity
    restore(source, tmp_path / "out.mkv", model=model, encoding=Encoding("ffv1"))
    for before, after in zip(pictures(source), pictures(tmp_path / "out.mkv"), strict=True):
        expected = before[0].repeat(scale, 0).repeat(scale, 1)
        assert after[0].shape == expected.shape
        assert abs(after[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("scale", "size"), [(4, (120, 92)), (3, (90, 69)), (2, (60, 46)), (1.5, (44, 34)), (1.0, (30, 23)), (2.7, (80, 62))]
)
def test_other_scales_are_the_model_s_output_shrunk(tmp_path: Path, scale: float, size: tuple[int, int]):
    """Of the right size, even where there is a choice, and the same picture."""
    source = make_clip(tmp_path / "in.mkv", width=30, height=23, pix_fmt="yuv444p", codec="ffv1", options={}, frames=2)
    events: list[Event] = []
    model = Identity(LEAST)
    for target, factor in (("whole.mkv", None), ("out.mkv", scale)):
        restore(source, tmp_path / target, model=model, scale=factor, encoding=Encoding("ffv1"), on_event=events.append)
    assert events[-1] == Finished(tmp_path / "out.mkv", 2, events[-1].seconds, restored=2)
    last = [event for event in events if isinstance(event, Started)][-1]
    assert (last.output_size, last.resized) == (size, scale != 4)
    picture, whole = (
        torch.from_numpy(pictures(tmp_path / name)[0][0])[None, None] for name in ("out.mkv", "whole.mkv")
    )
    assert tuple(picture.shape[:1:-1]) == size
    expected = F.interpolate(whole.float(), picture.shape[2:], mode="bicubic", antialias=True)
    assert (picture - expected).abs().mean() < 1


def test_sizes_are_even_where_the_scale_leaves_a_choice():
    """Whole factors are kept exactly."""
    assert output_size(Size(161, 121), 4) == (644, 484)
    assert output_size(Size(161, 121), 1) == (161, 121)
    assert output_size(Size(161, 121), 1.5) == (242, 182)
    assert output_size(Size(1, 1), 1.2) == (2, 2)


@pytest.mark.parametrize("scale", [0, 0.5, 4.1, 8, float("nan")])
def test_a_scale_beyond_the_model_s_is_refused(tmp_path: Path, scale: float):
    """Before any work, with what is possible."""
    source = make_clip(tmp_path / "in.mp4", **SMALL, frames=2)
    with pytest.raises(ModelError, match="edvr enlarges by 4: choose a scale from 1 to that"):
        restore(source, tmp_path / "out.mp4", scale=scale)
    with pytest.raises(ModelError, match="from 1 to that"):
        next(restore_frames([torch.zeros(3, 8, 8)], Identity(LEAST), scale=scale))


@pytest.mark.parametrize("changes", [{}, {"predeblur": True, "hr_in": True}], ids=["sr", "deblur"])
def test_tiles_change_neither_size_nor_frames(tmp_path: Path, changes: dict):
    """An identity in tiles is an identity; the events tell their size."""
    source = make_clip(tmp_path / "in.mp4", width=100, height=50, frames=3)
    model = Identity(replace(LEAST, **changes))
    events: list[Event] = []
    for name, tile in (("whole", 0), ("tiled", 48)):
        target = tmp_path / f"{name}.mp4"
        restore(source, target, model=model, tile=tile, tile_pad=16, encoding=LOSSLESS, on_event=events.append)
    whole, tiled = pictures(tmp_path / "whole.mp4"), pictures(tmp_path / "tiled.mp4")
    assert all(np.array_equal(a, b) for x, y in zip(whole, tiled, strict=True) for a, b in zip(x, y, strict=True))
    tiles = [event.tile for event in events if isinstance(event, Started)]
    assert tiles[0] == 0 and 0 < tiles[1] <= 48


def test_when_memory_runs_out_the_video_is_told_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The frame is redone in tiles, and none is lost."""
    source = make_clip(tmp_path / "in.mp4", width=96, height=64, frames=4)
    model = random_network()
    align = model.pcd_align.align

    def short_of_memory(neighbor, *rest):
        if neighbor[0].shape[-1] > 80:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return align(neighbor, *rest)

    monkeypatch.setattr(model.pcd_align, "align", short_of_memory)
    events: list[Event] = []
    finished = restore(
        source, tmp_path / "out.mp4", model=model, tile=0, tile_pad=8, precision="fp32", on_event=events.append
    )
    assert finished.frames == len(pictures(tmp_path / "out.mp4")) == 4
    assert Notice("Out of memory: continuing with tiles of 48 pixels.") in events


# --- Color


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
@pytest.mark.parametrize(
    "tags",
    [
        {"colorspace": 6, "color_range": 1, "color_primaries": 6, "color_trc": 6},
        {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1},
        {"colorspace": 1, "color_range": 2, "color_primaries": 1, "color_trc": 1},
        {"colorspace": 5, "color_range": 2, "color_primaries": 5, "color_trc": 6},
        {},
    ],
    ids=["601", "709", "709 full", "601 full", "untagged"],
)
def test_the_identity_returns_the_video_within_a_level(
    tmp_path: Path, tags: dict, codec: str, deblurring_identity: Identity
):
    """Through RGB and back with the stream's own matrix and range, which the output names."""
    source = make_clip(tmp_path / "in.mkv", tags=tags, frames=4)
    encoding = LOSSLESS if codec == "libx264" else Encoding(codec)
    restore(source, tmp_path / "out.mkv", model=deblurring_identity, encoding=encoding)
    for before, after in zip(pictures(source), pictures(tmp_path / "out.mkv"), strict=True):
        for plane, original in zip(after, before, strict=True):
            assert abs(plane.astype(int) - original).max() <= 1
    color = probe(tmp_path / "out.mkv").color
    assert color == replace(probe(source).color, assumed=False)
    assert (color.matrix, 1 + color.full_range) == (tags.get("colorspace", 6), tags.get("color_range", 1))


def test_a_quantizer_that_is_asked_for_replaces_the_default_quality(tmp_path: Path, deblurring_identity: Identity):
    """The encoder would follow the crf if it were given both."""
    source = make_clip(tmp_path / "in.mp4", frames=2)
    encoding = Encoding(preset="ultrafast", options={"qp": "0"})
    restore(source, tmp_path / "out.mp4", model=deblurring_identity, encoding=encoding)
    for before, after in zip(pictures(source), pictures(tmp_path / "out.mp4"), strict=True):
        assert abs(after[0].astype(int) - before[0]).max() <= 1


def test_untagged_sd_stays_bt_601_when_it_becomes_hd(tmp_path: Path):
    """A player would take an untagged 1280×720 for BT.709."""
    source = make_clip(tmp_path / "in.mp4", width=320, height=180, frames=1)
    model = Identity(LEAST)
    restore(source, tmp_path / "out.mp4", model=model)
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.width, context.height, context.colorspace, context.color_range) == (1280, 720, 6, 1)


def test_ten_bits_stay_ten_bits(tmp_path: Path, deblurring_identity: Identity):
    """The file states the depth."""
    source = make_clip(tmp_path / "in.mkv", pix_fmt="yuv420p10le", codec="ffv1", options={}, frames=2)
    restore(source, tmp_path / "out.mkv", model=deblurring_identity, encoding=Encoding("ffv1"))
    assert probe(tmp_path / "out.mkv").pix_fmt == "yuv420p10le"


# --- Events


def test_events_tell_of_the_start_each_frame_and_the_end(tmp_path: Path):
    """In order, in the calling thread, with the facts that a bar needs."""
    source, target = make_clip(tmp_path / "in.mp4", **SMALL, frames=7), tmp_path / "out.mp4"
    events: list[Event] = []
    threads = set()

    def listen(event: Event) -> None:
        events.append(event)
        threads.add(threading.current_thread())

    finished = restore(source, target, on_event=listen, precision="fp32", scale=2)
    assert threads == {threading.current_thread()}
    assert events[0] == Started(
        source=source,
        target=target,
        segment_frames=events[0].segment_frames,
        size=(32, 24),
        output_size=(64, 48),
        total=7,
        model="edvr",
        device="cpu",
        precision="fp32",
        tile=0,
        resized=True,
    )
    assert events[1:-2] == [FrameRestored(done, 7) for done in range(1, 8)]
    assert events[-2] == Joining(7)
    assert events[-1] == finished == Finished(target, 7, finished.seconds, restored=7)


def test_what_is_lost_is_told_before_the_work(tmp_path: Path):
    """As notices right after the start."""
    source = make_clip(tmp_path / "in.mkv", **SMALL, frames=3, attachment=True)
    events: list[Event] = []
    restore(source, tmp_path / "out.mp4", on_event=events.append)
    kinds = [type(event) for event in events]
    assert kinds == [Started, Notice, FrameRestored, FrameRestored, FrameRestored, Joining, Finished]
    assert "is dropped" in events[1].message


@pytest.mark.parametrize(
    ("options", "total"),
    [
        ({"max_frames": 5}, 5),
        ({"max_frames": 50}, 12),
        ({"start": Fraction(1, 5)}, 7),
        ({"end": Fraction(1, 5)}, 5),
        ({"start": Fraction(1, 5), "max_frames": 3}, 3),
    ],
    ids=str,
)
def test_the_total_of_a_part_is_known_beforehand(tmp_path: Path, options: dict, total: int):
    """And is what comes."""
    source = make_clip(tmp_path / "in.mp4", **SMALL)
    events: list[Event] = []
    finished = restore(source, tmp_path / "out.mp4", on_event=events.append, **options)
    assert (events[0].total, finished.frames) == (total, total)


# --- Failures


def raising(error: BaseException, after: int):
    """A function that raises at its call number ``after``."""
    calls = []

    def function(*_):
        calls.append(1)
        if len(calls) == after:
            raise error

    return function


@pytest.mark.parametrize("existing", [False, True])
def test_ctrl_c_leaves_nothing(tmp_path: Path, existing: bool):
    """No scratch file, no thread, and an older output as it was."""
    source, target = make_clip(tmp_path / "in.mp4", **SMALL), tmp_path / "out.mp4"
    if existing:
        target.write_bytes(b"old")
    before = names(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        restore(source, target, overwrite=existing, on_event=raising(KeyboardInterrupt(), after=4))
    assert names(tmp_path) == before
    assert not existing or target.read_bytes() == b"old"


def test_an_error_while_encoding_is_raised_with_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From the writer's thread to the caller, and nothing is left."""
    source = make_clip(tmp_path / "in.mp4", **SMALL)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(VideoWriter, "write", raising(full, after=3))
    with pytest.raises(OSError, match="No space left") as caught:
        restore(source, tmp_path / "out.mp4")
    assert any(entry.name == "function" for entry in caught.traceback)
    assert names(tmp_path) == ["in.mp4"]


def test_an_error_while_decoding_is_raised_after_the_frames_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From the reader's thread to the caller, and nothing is left."""
    source = make_clip(tmp_path / "in.mp4", **SMALL)
    error = InputError("in.mp4: 500 video packets in a row do not decode")
    check = raising(error, after=9)
    to_planes = reader.to_planes
    monkeypatch.setattr(reader, "to_planes", lambda *args: check() or to_planes(*args))
    events: list[Event] = []
    with pytest.raises(InputError, match="500 video packets"):
        restore(source, tmp_path / "out.mp4", on_event=events.append)
    assert sum(isinstance(event, FrameRestored) for event in events) >= 5
    assert names(tmp_path) == ["in.mp4"]


def test_an_error_in_the_network_is_raised_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With its traceback, and nothing is left."""
    source, model = make_clip(tmp_path / "in.mp4", **SMALL), Identity(LEAST)
    monkeypatch.setattr(model, "fuse", raising(RuntimeError("a bug"), after=1))
    with pytest.raises(RuntimeError, match="a bug"):
        restore(source, tmp_path / "out.mp4", model=model)
    assert names(tmp_path) == ["in.mp4"]


def test_a_lost_frame_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The finished file is read again and counted before it gets its name."""
    source = make_clip(tmp_path / "in.mp4", **SMALL)
    mux = job.mux

    def careless(video, info, streams, target, **cuts):
        timeline = mux(video, info, streams, target, **cuts)
        make_clip(target, **SMALL, frames=11)
        return timeline

    model = Identity(LEAST)
    with monkeypatch.context() as patch:
        patch.setattr(job, "mux", careless)
        with pytest.raises(OutputError, match="holds 11 frames instead of 12"):
            restore(source, tmp_path / "out.mp4", model=model)
    assert names(tmp_path) == [".out.mp4.edvr", "in.mp4"]  # The frames are not lost with it.
    assert restore(source, tmp_path / "out.mp4", model=model).restored == 0
    assert names(tmp_path) == ["in.mp4", "out.mp4"]


def test_an_existing_output_is_refused_unless_told_otherwise(tmp_path: Path):
    """Before the model is even loaded."""
    source, target = make_clip(tmp_path / "in.mp4", **SMALL, frames=2), tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with raises(OutputError, "exist", hint="overwrite"):
        restore(source, target, model="no-such-model")
    assert target.read_bytes() == b"old"
    restore(source, target, overwrite=True)
    assert len(pictures(target)) == 2


@pytest.mark.parametrize("kind", ["same", "symlink", "hardlink"])
def test_the_input_is_never_written_over(tmp_path: Path, kind: str):
    """By whatever name."""
    source = make_clip(tmp_path / "in.mp4", **SMALL, frames=2)
    whole, target = source.read_bytes(), tmp_path / "alias.mp4"
    if kind == "same":
        target = source
    else:
        (target.symlink_to if kind == "symlink" else target.hardlink_to)(source)
    with pytest.raises(OutputError, match="is the input"):
        restore(source, target, overwrite=True)
    assert source.read_bytes() == whole


def test_a_model_may_be_a_file_or_a_name(tmp_path: Path):
    """Loaded on the spot."""
    source = make_clip(tmp_path / "in.mp4", **SMALL, frames=2)
    save_model(random_network(), tmp_path / "mine.safetensors")
    assert restore(source, tmp_path / "out.mp4", model=tmp_path / "mine.safetensors").frames == 2
    with pytest.raises(ModelError, match="unknown model"):
        restore(source, tmp_path / "other.mp4", model="zzz")


# --- Memory


def test_frames_are_let_go_as_windows_pass():
    """A stream of any length takes the memory of two windows."""
    alive: list[weakref.ref] = []

    def stream(count: int):
        for n in range(count):
            frame = torch.full((3, 8, 8), n / count)
            alive.append(weakref.ref(frame))
            yield frame
            del frame

    most = 0
    for _ in restore_frames(stream(30), Identity(LEAST)):
        most = max(most, sum(ref() is not None for ref in alive))
    assert 5 <= most <= 2 * 5 + 1


def test_a_video_of_any_length_takes_the_memory_of_a_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two windows and the bounded queues, however far ahead the decoder could run."""
    alive: list[weakref.ref] = []
    convert = pipeline.planes_to_rgb

    def counted(*arguments, **options):
        rgb = convert(*arguments, **options)
        alive.append(weakref.ref(rgb))
        return rgb

    monkeypatch.setattr(pipeline, "planes_to_rgb", counted)
    most = []
    for frames in (20, 60):
        source = make_clip(tmp_path / "in.mp4", **SMALL, frames=frames)
        alive.clear()
        counts = []
        restore(
            source,
            tmp_path / "out.mp4",
            overwrite=True,
            on_event=lambda _, counts=counts: counts.append(sum(ref() is not None for ref in alive)),
        )
        assert len(alive) == frames
        most.append(max(counts))
    assert max(most) <= 2 * 5 + 4 + 2


# --- Streams of frames


def test_frames_come_back_as_they_were_given():
    """Tensors as tensors of their type, arrays as arrays; in [0, 1] and 0 to 255."""
    arrays = [np.random.default_rng(n).integers(0, 256, (10, 14, 3), dtype=np.uint8) for n in range(6)]
    restored = list(restore_frames(iter(arrays), Identity(LEAST)))
    assert all(frame.dtype == np.uint8 and frame.flags.c_contiguous for frame in restored)
    for frame, array in zip(restored, arrays, strict=True):
        assert np.array_equal(frame, array.repeat(4, 0).repeat(4, 1))
    for dtype in (torch.float32, torch.float16, torch.float64):
        tensors = [torch.rand(3, 10, 14).to(dtype) for _ in range(2)]
        restored = list(restore_frames(tensors, Identity(LEAST)))
        assert all(frame.dtype == dtype and frame.shape == (3, 40, 56) for frame in restored)
        assert torch.equal(restored[1], tensors[1].repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_what_the_network_overshoots_is_clamped():
    """A caller may count on the range."""
    model = random_network()
    model.conv_last.bias.fill_(3)
    (frame,) = restore_frames([torch.rand(3, 8, 8)], model)
    assert frame.max() == 1


def test_frames_may_be_brought_to_another_scale():
    """As in a video."""
    (frame,) = restore_frames([torch.rand(3, 10, 15)], Identity(LEAST), scale=1.5)
    assert frame.shape == (3, 16, 22)
    (frame,) = restore_frames([np.zeros((10, 15, 3), np.uint8)], Identity(LEAST), scale=2)
    assert frame.shape == (20, 30, 3)


def test_no_frames_give_none():
    """And nothing else happens."""
    assert list(restore_frames([], Identity(LEAST))) == []


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), r"uint8 \(H, W, 3\), got float32"),
        (np.zeros((3, 8, 8), np.uint8), r"got uint8 \(3, 8, 8\)"),
        (np.zeros((8, 8), np.uint8), r"got uint8 \(8, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"floating \(3, H, W\), got torch.uint8"),
        (torch.zeros(1, 3, 8, 8), r"got torch.float32 \(1, 3, 8, 8\)"),
        (torch.zeros(8, 8, 3), r"got torch.float32 \(8, 8, 3\)"),
        (torch.zeros(3, 0, 8), r"got torch.float32 \(3, 0, 8\)"),
        (np.zeros((0, 8, 3), np.uint8), r"got uint8 \(0, 8, 3\)"),
        (torch.zeros(3, 9, 8), r"one size: got \(3, 9, 8\) after \(3, 8, 8\)"),
        ([[0]], "got list"),
    ],
)
def test_other_kinds_of_frames_raise_with_what_was_given(frame: object, message: str):
    """So does a change of size on the way."""
    good = torch.zeros(3, 8, 8)
    with pytest.raises(ValueError, match=message):
        list(restore_frames([good, frame], Identity(LEAST)))
