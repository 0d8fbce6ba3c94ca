"""Encoded files hold each frame at its own time, in the right format, with its color named."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from edvr_cli.errors import OutputError
from edvr_cli.video.pixels.color import ColorSpec
from edvr_cli.video.pixels.hdr import HdrMetadata
from edvr_cli.video.pixels.layout import native_layout
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.sources import probe
from edvr_cli.video.writing.encoder_options import QUALITY
from edvr_cli.video.writing.encoders import EncoderPlan, plan_encoder
from edvr_cli.video.writing.hdr_messages import is_byte_stream
from edvr_cli.video.writing.options import CODEC_ALIASES, Encoding
from edvr_cli.video.writing.writer import EncodedVideo, VideoWriter
from tests.support.clips import frame_times, make_clip

SOFTWARE = ("libx264", "libx264rgb", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks")
FAST = {"ffv1": None, "prores_ks": None}
TIMES = (-5000, -4999, -4000, 0, 1, 2, 900, 901, 20_000, 20_033, 20_067, 20_100, 20_101, 99_999, 100_000, 3_000_000)


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VideoInfo]:
    """An 8-bit 4:2:0 source."""
    yield probe(make_clip(tmp_path_factory.mktemp("source") / "clip.mp4"))


def source_like(info: VideoInfo, pix_fmt: str) -> VideoInfo:
    """The source as if it decoded to another format."""
    layout = native_layout(pix_fmt)
    assert layout is not None
    matrix = 0 if layout.family == "rgb" else 1
    return replace(info, pix_fmt=pix_fmt, layout=layout, color=ColorSpec(matrix, layout.full_range_by_name))


def write(
    path: Path, plan: EncoderPlan, times: tuple[int, ...] = TIMES, tick: Fraction = Fraction(1, 1000)
) -> EncodedVideo:
    """Encode frames of one color each at the given times."""
    with VideoWriter(path, plan, time_base=tick) as writer:
        for number, pts in enumerate(times):
            shapes = plan.layout.plane_shapes(plan.height, plan.width)
            value = (40 + 10 * number) << max(0, plan.layout.depth - 8)
            planes = [torch.full(shape, value, dtype=torch.int32).to(plan.layout.sample_dtype) for shape in shapes]
            writer.write(planes, pts, 7)
        return writer.finish()


@pytest.mark.parametrize("tick", [Fraction(1, 1000), Fraction(1001, 30000), Fraction(1, 23_040_000)])
@pytest.mark.parametrize("codec", SOFTWARE)
def test_every_encoder_keeps_every_time(tmp_path: Path, info: VideoInfo, codec: str, tick: Fraction):
    """Variable rate, negative and large times, odd ticks: frames in are frames out at their own ticks."""
    plan = plan_encoder(Encoding(codec, preset=FAST.get(codec, "ultrafast")), info, width=64, height=48)
    encoded = write(tmp_path / "video.mkv", plan, tick=tick)
    ticks = [encoded.first_pts + round(time * 1000) for time in frame_times(encoded.path)]
    assert ticks == list(TIMES)
    assert (encoded.frame_count, encoded.last_duration, encoded.time_base) == (len(TIMES), 7, tick)


@pytest.mark.parametrize(
    ("alias", "codec"),
    [
        ("h264", "libx264"),
        ("H264", "libx264"),
        ("h265", "libx265"),
        ("hevc", "libx265"),
        ("av1", "libsvtav1"),
        ("vp9", "libvpx-vp9"),
        ("prores", "prores_ks"),
    ],
)
def test_a_format_means_its_encoder_with_the_default_quality(info: VideoInfo, alias: str, codec: str):
    """The plan is the one of the encoder's own name: quality, preset, and silence on the terminal."""
    size = {"width": 64, "height": 48}
    assert plan_encoder(Encoding(alias), info, **size) == plan_encoder(Encoding(codec), info, **size)


def test_every_alias_has_a_default_quality():
    """An alias of an encoder without one would be encoded at FFmpeg's quality."""
    assert set(CODEC_ALIASES.values()) <= QUALITY.keys()


def test_times_must_rise(tmp_path: Path, info: VideoInfo):
    """A caller's mistake is a ValueError, not a broken file."""
    plan = plan_encoder(Encoding(preset="ultrafast"), info, width=64, height=48)
    with pytest.raises(ValueError, match="must rise: 5 after 5"):
        write(tmp_path / "video.mkv", plan, times=(5, 5))


@pytest.mark.parametrize(
    ("codec", "source", "scale", "expected"),
    [
        ("libx264", "yuv420p", 4, "yuv420p"),
        ("libx264", "yuvj420p", 4, "yuv420p"),
        ("libx264", "nv12", 4, "yuv420p"),
        ("libx264", "yuv420p10le", 4, "yuv420p10le"),
        ("libx264", "yuv420p12le", 4, "yuv420p10le"),
        ("libx264", "yuv444p", 4, "yuv420p"),
        ("libx264", "yuv444p", 1, "yuv444p"),
        ("libx264", "yuv422p10le", 1, "yuv422p10le"),
        ("libx264", "rgb24", 1, "yuv444p"),
        ("libx264", "gray", 1, "yuv420p"),
        ("libx265", "yuv420p12le", 4, "yuv420p12le"),
        ("libsvtav1", "yuv444p10le", 1, "yuv420p10le"),
        ("libvpx-vp9", "yuv420p", 4, "yuv420p"),
        ("ffv1", "yuv422p12le", 1, "yuv422p12le"),
        ("prores_ks", "yuv420p", 4, "yuv422p10le"),
    ],
)
def test_the_format_keeps_depth_and_chroma(info: VideoInfo, codec: str, source: str, scale: int, expected: str):
    """As deep as the source where the encoder can; 4:2:0 unless that holds less chroma than the source."""
    plan = plan_encoder(Encoding(codec), source_like(info, source), width=64 * scale, height=48 * scale)
    assert plan.layout.name == expected
    assert any("bits" in note for note in plan.notes) == (plan.layout.depth < source_like(info, source).depth)


def test_a_format_that_is_asked_for_is_used(info: VideoInfo):
    """--pix-fmt overrides."""
    assert plan_encoder(Encoding(pix_fmt="yuv422p10le"), info, width=64, height=48).layout.name == "yuv422p10le"


@pytest.mark.parametrize(
    ("codec", "expected"), [("libx264", "yuv444p"), ("libvpx-vp9", "yuv420p"), ("ffv1", "yuv420p")]
)
def test_odd_sizes_are_kept(tmp_path: Path, info: VideoInfo, codec: str, expected: str):
    """Where an encoder takes an odd size in 4:4:4 only, it gets that; no row is cut off."""
    plan = plan_encoder(Encoding(codec), info, width=61, height=47)
    assert plan.layout.name == expected
    encoded = write(tmp_path / "video.mkv", plan)
    with av.open(str(encoded.path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (61, 47)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_color_is_named_on_the_stream(tmp_path: Path, info: VideoInfo, codec: str):
    """Matrix, primaries, transfer, range and siting read back as they were set."""
    color = ColorSpec(9, False, "topleft", primaries=9, transfer=16)
    source = replace(source_like(info, "yuv420p10le"), color=color)
    plan = plan_encoder(Encoding(codec, preset="ultrafast"), source, width=64, height=48)
    result = probe(write(tmp_path / "video.mkv", plan).path)
    assert result.color == color


MASTERING = (*(Fraction(n, 50000) for n in (35400, 14600, 8500, 39850, 6550, 2300, 15635, 16450)), Fraction(1, 200),
             Fraction(1000))  # fmt: skip


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_static_hdr_metadata_is_carried(tmp_path: Path, info: VideoInfo, codec: str):
    """Mastering display and content light levels are read back."""
    source = replace(source_like(info, "yuv420p10le"), hdr=HdrMetadata(MASTERING, (1000, 400)))
    plan = plan_encoder(Encoding(codec, preset="ultrafast"), source, width=64, height=64)
    assert not plan.notes
    found = probe(write(tmp_path / "video.mkv", plan).path).hdr
    assert found.content_light == (1000, 400)
    assert found.mastering is not None
    assert [float(value) for value in found.mastering] == pytest.approx(list(map(float, MASTERING)), abs=1e-3)


@pytest.mark.parametrize("levels", [(1000, 400), (0, 1), (65535, 0), (100_000, 3)])
def test_hevc_says_its_hdr_metadata_where_the_encoder_does_not(
    tmp_path: Path, info: VideoInfo, levels: tuple[int, int]
):
    """Encoders in hardware are given nothing: the packets are completed."""
    source = replace(source_like(info, "yuv420p10le"), hdr=HdrMetadata(MASTERING, levels))
    plan = plan_encoder(Encoding("libx265", preset="ultrafast"), source, width=64, height=64)
    result = write(tmp_path / "video.mkv", replace(plan, options={"x265-params": "log-level=error:keyint=2"}))
    found = probe(result.path).hdr
    assert found.content_light == tuple(min(level, 65535) for level in levels)
    assert found.mastering == pytest.approx(MASTERING)
    with av.open(str(result.path)) as container:
        packets = [bytes(packet) for packet in container.demux() if packet.is_keyframe and packet.size]
        messages = [packet.count(bytes((39 << 1, 1, 144, 4))) for packet in packets]
    assert len(messages) > 1
    assert set(messages) == {1}


def test_hdr_messages_of_the_encoder_are_not_repeated(tmp_path: Path, info: VideoInfo):
    """What the stream says already, in its headers or packets, is not added."""
    source = replace(source_like(info, "yuv420p10le"), hdr=HdrMetadata(MASTERING, (1000, 400)))
    plan = plan_encoder(Encoding("libx265", preset="ultrafast"), source, width=64, height=64)
    display = struct.pack(">4H", 8500, 39850, 6550, 2300)  # green and blue, as the message begins
    by_encoder = write(tmp_path / "own.mkv", replace(plan, hdr=None)).path.read_bytes()
    assert by_encoder.count(display) > 0
    assert write(tmp_path / "both.mkv", plan).path.read_bytes().count(display) == by_encoder.count(display)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [(b"", True), (b"\x00\x00\x00\x01\x40\x01", True), (b"\x00\x00\x01\x40", True), (b"\x01\x02\x20\x00\x00", False)],
)
def test_only_byte_streams_are_completed(headers: bytes, expected: bool):
    """Where lengths stand before units, as in hvcC, a length of 256 to 511 looks like a start code."""
    assert is_byte_stream(headers) is expected


def test_lost_hdr_metadata_is_said(info: VideoInfo):
    """An encoder that cannot carry it has a note that names those that can."""
    source = replace(source_like(info, "yuv420p10le"), hdr=HdrMetadata(MASTERING, (1000, 400)))
    plan = plan_encoder(Encoding("libvpx-vp9"), source, width=64, height=64)
    assert any("HDR" in note and "libx265" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        (Encoding("h266"), "Unknown video encoder 'h266'; usual ones here: .*libx264"),
        (Encoding("aac"), "encoder for audio"),
        (Encoding(preset="quick"), "no preset 'quick'; it has ultrafast, .*placebo"),
        (Encoding("libsvtav1", preset="quick"), "no preset 'quick'"),
        (Encoding(pix_fmt="yuv410p"), "does not take pixel format 'yuv410p'; it takes yuv420p, "),
        (Encoding(options={"crff": "3"}), "no option 'crff'; did you mean crf"),
        (Encoding(options={"me_range": "many"}), "does not accept 64x48 yuv420p with .*me_range=many"),
        (Encoding("ffv1", crf=3), "ffv1 has no constant quality"),
        (Encoding("prores_ks", preset="slow"), "prores_ks has no presets"),
    ],
)
def test_a_wrong_name_lists_what_there_is(info: VideoInfo, encoding: Encoding, message: str):
    """Before any work, in one sentence."""
    with pytest.raises(OutputError, match=message):
        plan_encoder(encoding, info, width=64, height=48)


def test_own_parameters_join_ours(info: VideoInfo):
    """-e x265-params=... does not undo the quiet log."""
    plan = plan_encoder(Encoding("libx265", options={"x265-params": "keyint=10"}), info, width=64, height=48)
    assert plan.options["x265-params"] == "log-level=error:keyint=10"


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "libx264"])
def test_encoders_are_quiet(tmp_path: Path, info: VideoInfo, codec: str, capfd: pytest.CaptureFixture[str]):
    """Libraries that talk on stderr would tear the progress bar."""
    write(tmp_path / "video.mkv", plan_encoder(Encoding(codec, preset="ultrafast"), info, width=64, height=64))
    assert capfd.readouterr() == ("", "")


def test_a_file_that_cannot_be_made_is_said(tmp_path: Path, info: VideoInfo):
    """The path is in the message."""
    plan = plan_encoder(Encoding(preset="ultrafast"), info, width=64, height=48)
    with pytest.raises(OutputError, match="nowhere"):
        VideoWriter(tmp_path / "nowhere" / "video.mkv", plan, time_base=Fraction(1, 25))


HARDWARE = [name for name in QUALITY if name.endswith(("_nvenc", "_qsv", "_amf"))]


@pytest.mark.parametrize("codec", HARDWARE)
def test_hardware_that_takes_fewer_bits_than_it_lists_gets_fewer(
    info: VideoInfo, codec: str, monkeypatch: pytest.MonkeyPatch
):
    """The next layout is tried, and the loss is said; a layout that was asked for is not exchanged."""
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV was built without {codec}")
    tried: list[str] = []

    def open_plan(self: EncoderPlan) -> None:
        tried.append(self.layout.name)
        if self.layout.depth > 8:
            raise OutputError(f"{self.codec} does not accept {self.layout.name}")

    monkeypatch.setattr(EncoderPlan, "open", open_plan)
    deep = source_like(info, "yuv420p10le")
    plan = plan_encoder(Encoding(codec), deep, width=64, height=48)
    assert plan.layout.depth == 8
    assert tried[-1] == plan.layout.name
    if len(tried) > 1:
        assert any("bits per sample are reduced to 8" in note for note in plan.notes)
        with pytest.raises(OutputError, match=tried[0]):
            plan_encoder(Encoding(codec, pix_fmt=tried[0]), deep, width=64, height=48)


@pytest.mark.parametrize("codec", HARDWARE)
def test_the_options_of_hardware_encoders_exist(codec: str):
    """Quality, presets and what is always set, by the names that this build of FFmpeg has."""
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV was built without {codec}")
    supported = av.Codec(codec, "w").create().supported_options
    names = {option.name for option in (*supported.private, *supported.generic)}
    quality = QUALITY[codec]
    assert {quality.crf_option, quality.preset_option, *quality.fixed} <= names
