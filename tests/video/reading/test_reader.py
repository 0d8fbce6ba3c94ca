"""Every frame that a file holds is read, once, with its own time."""

import io
import re
import weakref
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.container import InputContainer

from edvr_cli.errors import InputError
from edvr_cli.video.reading import decoder
from edvr_cli.video.reading.info import Source
from edvr_cli.video.reading.options import Deinterlace, InputOptions
from edvr_cli.video.reading.reader import SourceFrame, VideoReader
from edvr_cli.video.reading.sources import as_source, probe
from tests.support.clips import HARD, Clip, make_clip, shared, waves

VARIABLE = (0, 40, 41, 100, 1000, 1001, 1500, 1800, 2000, 2100, 5000, 5001)


def read(path: Path | Source, **options: object) -> list[SourceFrame]:
    """All frames of a file."""
    with VideoReader(path, **options) as reader:  # type: ignore[arg-type]
        return list(reader)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".nut"])
def test_all_frames_come_out_exactly_as_encoded(tmp_path: Path, suffix: str):
    """A lossless clip with B-frames: the decoder's delayed frames too, in order, sample for sample."""
    frames = read(make_clip(tmp_path / f"clip{suffix}"))
    assert len(frames) == 12
    for frame, expected in zip(frames, waves(Clip()), strict=True):
        for plane, samples in zip(frame.planes, expected, strict=True):
            assert torch.equal(plane, torch.from_numpy(samples))


def test_a_decoder_is_gone_before_the_file_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Opening reads libav's log; a decoder freed then waits forever for a thread of its own that wants to log."""
    path = make_clip(tmp_path / "clip.mp4")
    opened: list[weakref.ref[io.BytesIO]] = []  # what containers read from, and keep

    def opener() -> InputContainer:
        assert all(container_file() is None for container_file in opened)
        file = io.BytesIO(path.read_bytes())
        opened.append(weakref.ref(file))
        return av.open(file)

    monkeypatch.setattr(decoder, "_begins_cleanly", lambda frame, instant: False)
    frames = list(decoder.decode(path, opener, instant=Fraction(3), threads=2, on_warning=print))
    assert len(frames) == 12
    assert len(opened) == 3


@pytest.mark.parametrize("offset", [0, 90_000_000, 7])
def test_variable_times_are_the_sources(tmp_path: Path, offset: int):
    """Ticks and time base as stored, whatever the start."""
    tick = Fraction(1, 90000)
    clip = make_clip(tmp_path / "clip.mp4", time_base=tick, pts=[offset + time for time in VARIABLE])
    frames = read(clip)
    assert [frame.pts for frame in frames] == [offset + time for time in VARIABLE]
    assert {frame.time_base for frame in frames} == {tick}


@pytest.mark.parametrize("first", range(12))
def test_start_is_exact_for_every_frame(tmp_path: Path, first: int):
    """Wherever the key frames are, the first frame is the first one not before the start."""
    clip = make_clip(tmp_path / "clip.mp4", audio=("aac",))
    whole = read(clip)
    for start in (Fraction(first, 25), Fraction(first, 25) - Fraction(1, 1000)):
        part = read(clip, start=start)
        assert [frame.pts for frame in part] == [frame.pts for frame in whole[first:]]
        assert torch.equal(part[0].planes[0], whole[first].planes[0])
        assert part[0].index == 0


def test_end_is_exclusive_and_frames_bound_the_count(tmp_path: Path):
    """--end and --frames."""
    clip = make_clip(tmp_path / "clip.mkv")
    assert len(read(clip, end=Fraction(8, 25))) == 8
    assert len(read(clip, start=Fraction(2, 25), end=Fraction(8, 25))) == 6
    assert len(read(clip, max_frames=5)) == 5


def test_start_counts_from_the_files_beginning(tmp_path: Path):
    """A clip whose clock starts at 10 s is cut as players show it, from 0."""
    clip = make_clip(tmp_path / "clip.mp4", time_base=Fraction(1, 1000), pts=[10_000 + 40 * i for i in range(12)])
    assert read(clip, start=Fraction(80, 1000))[0].pts == 10_080


def test_a_range_without_frames_is_an_error(tmp_path: Path):
    """Not an empty result."""
    clip = make_clip(tmp_path / "clip.mp4")
    with pytest.raises(InputError, match="in the chosen range"):
        read(clip, start=Fraction(100))


def test_frames_without_times_follow_at_the_frame_rate(tmp_path: Path):
    """A bare H.264 stream holds no times at all: they rise evenly."""
    clip = make_clip(tmp_path / "clip.h264", options={"preset": "ultrafast", "bf": "0"})
    frames = read(clip)
    assert len(frames) == 12
    steps = {after.pts - before.pts for before, after in pairwise(frames)}
    assert len(steps) == 1 and min(steps) * frames[0].time_base == Fraction(1, 25)


@pytest.mark.parametrize("place", [4, 5, 10, 11])
def test_a_damaged_packet_costs_its_own_frame_only(tmp_path: Path, place: int):
    """One notice reports it, and the frames after it are read, at the end of the file too."""
    clip = make_clip(tmp_path / "clip.mp4", options={"preset": "ultrafast", "bf": "0", "g": "1"})
    with av.open(str(clip)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][place]
        offset, size = packet.pos, packet.size
    data = bytearray(clip.read_bytes())
    data[offset : offset + size] = b"\xff" * size
    clip.write_bytes(data)
    warnings: list[str] = []
    frames = read(clip, on_warning=warnings.append)
    times = [round(frame.pts * frame.time_base * 25) for frame in frames]
    assert times == [index for index in range(12) if index != place]
    assert len(warnings) == 1 and "does not decode" in warnings[0]


def test_a_file_cut_short_gives_what_is_there(tmp_path: Path):
    """Half a Matroska file is half the frames, not an error."""
    clip = make_clip(tmp_path / "clip.mkv", frames=50, width=128, height=96)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    frames = read(clip)
    assert 10 < len(frames) < 40
    assert [frame.index for frame in frames] == list(range(len(frames)))


@pytest.mark.parametrize("deinterlace", [None, "frame"])
def test_a_change_of_size_is_scaled_away_with_a_word(tmp_path: Path, deinterlace: Deinterlace | None):
    """Two broadcasts spliced together: all frames, of the first size, and one sentence with both sizes and the time."""
    first = make_clip(tmp_path / "a.ts")
    second = make_clip(tmp_path / "b.ts", width=128, height=96, pts=range(12, 24))
    spliced = tmp_path / "spliced.ts"
    spliced.write_bytes(first.read_bytes() + second.read_bytes())
    told: list[str] = []
    frames = read(as_source(spliced, InputOptions(deinterlace=deinterlace)), on_warning=told.append)
    assert len(frames) == 24
    assert {tuple(frame.planes[0].shape) for frame in frames} == {(48, 64)}
    assert len({frame.pts for frame in frames}) == 24
    (message,) = (text for text in told if "size" in text or "scaled" in text)
    assert re.search(r"from 64x48 to 128x96 at 0\.\d+ s; from there on it is scaled to 64x48", message)
    # The same waves, twice as large and made as large again.
    expected = torch.from_numpy(waves(Clip(width=128, height=96))[5][0]).float()
    smaller = torch.nn.functional.avg_pool2d(expected[None], 2)[0]
    assert (frames[17].planes[0].float() - smaller).abs().mean() < 3


@pytest.mark.parametrize("pix_fmt", ["uyvy422", "rgb24", "gray", "yuv411p", "bgr0", "yuv420p10le", "rgb565le"])
def test_formats_that_are_not_native_arrive_in_the_nearest_layout(tmp_path: Path, pix_fmt: str):
    """Nothing is squeezed into 8-bit 4:2:0; planes have the shapes that the layout says."""
    path = tmp_path / "clip.nut"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("rawvideo", 25)
        stream.width, stream.height, stream.pix_fmt = 62, 46, pix_fmt
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(np.full((46, 62, 3), 90, np.uint8), "rgb24").reformat(format=pix_fmt)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    frames = read(path)
    assert len(frames) == 2
    layout = frames[0].layout
    assert [tuple(plane.shape) for plane in frames[0].planes] == layout.plane_shapes(46, 62)
    assert layout.depth == (10 if pix_fmt.endswith("10le") else 8)


def test_leaving_early_closes_the_file(tmp_path: Path):
    """A consumer that stops leaves no open file behind, and may start over."""
    clip = make_clip(tmp_path / "clip.mp4")
    with VideoReader(clip) as reader:
        frames = iter(reader)
        next(frames)
        assert next(iter(reader)).index == 0
    assert next(frames, None) is None
    open_files = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink() and path.exists()]
    assert clip not in open_files


def test_cropping_is_honored(tmp_path: Path):
    """H.264 stores multiples of 16 and says what to cut off."""
    clip = make_clip(tmp_path / "clip.mp4", width=50, height=34)
    assert (probe(clip).width, probe(clip).height) == (50, 34)
    assert tuple(read(clip)[0].planes[0].shape) == (34, 50)


def test_sources_that_are_no_video_are_one_sentence_each(tmp_path: Path):
    """Missing, directory, empty, text, sound only, cover art only."""
    empty = tmp_path / "empty.mp4"
    empty.touch()
    text = tmp_path / "notes.txt"
    text.write_text("not a video, but ffmpeg would draw it\n" * 50)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n")
    sound = make_clip(tmp_path / "sound.mkv", audio=("aac",))
    cover = tmp_path / "cover.m4a"
    with av.open(str(sound)) as source, av.open(str(cover), "w", format="mp4") as output:
        audio = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = audio
                output.mux_one(packet)
    cases = {
        tmp_path / "missing.mp4": "no such file",
        tmp_path: "is a directory",
        empty: "is empty",
        text: "not a video that can be read",
        playlist: "not a video that can be read",
        cover: "no video stream",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            probe(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drm_sample_fragmented_clearkey.mp4", "encrypted"),
        ("cmaf_multi-segment_video_init.mp4", "holds no frames"),
        ("mp4_sample_malformed_free_box.mp4", "damaged"),
    ],
)
def test_what_cannot_be_decoded_says_why(name: str, message: str):
    """Real files that no decoder here can open."""
    with pytest.raises(InputError, match=message):
        probe(shared(HARD / name))
