"""The restored file differs from its source in its picture only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from edvr_cli.errors import OutputError
from edvr_cli.image.turns import UNTURNED
from edvr_cli.video.muxing.mux import mux
from edvr_cli.video.muxing.plan import MuxPlan, plan_mux, turn_for
from edvr_cli.video.muxing.timeline import Timeline
from edvr_cli.video.muxing.verify import verify
from edvr_cli.video.pixels.color import planes_to_rgb, rgb_to_planes
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import probe
from edvr_cli.video.writing.encoders import plan_encoder
from edvr_cli.video.writing.options import Encoding
from edvr_cli.video.writing.writer import EncodedVideo, VideoWriter
from tests.support.clips import HARD, frame_times, make_clip, packets, shared

VARIABLE = (0, 40, 41, 100, 1000, 1001, 1500, 1800, 2000, 2100, 5000, 5001)
FAST = Encoding(preset="ultrafast", options={"bf": "2"})


@dataclass(frozen=True)
class Restored:
    """A source that went through reader, writer and mux unchanged."""

    info: VideoInfo
    plan: MuxPlan
    path: Path


def encode(source: Path, path: Path, encoding: Encoding, **part: object) -> EncodedVideo:
    """The source's frames, encoded as they are."""
    info = probe(source)
    plan = plan_encoder(encoding, info, width=info.width, height=info.height)
    with (
        VideoReader(source, info=info, **part) as frames,  # type: ignore[arg-type]
        VideoWriter(path, plan, time_base=info.time_base) as writer,
    ):
        for frame in frames:
            rgb = planes_to_rgb(frame.planes, frame.layout, info.color)
            writer.write(rgb_to_planes(rgb, plan.layout, plan.color), frame.pts, frame.duration)
        return writer.finish()


def restore(source: Path, target: Path, encoding: Encoding = FAST, **part: object) -> Restored:
    """All the way through with an identity network."""
    info = probe(source)
    encoder = plan_encoder(encoding, info, width=info.width, height=info.height)
    plan = plan_mux(info, encoder, target)
    encoded = encode(source, target.with_name("encoded.mkv"), encoding, **part)
    trim_end = bool({"end", "max_frames"} & set(part))
    timeline = mux(encoded, info, plan, target, trim_start="start" in part, trim_end=trim_end)
    verify(target, timeline)
    return Restored(info, plan, target)


@pytest.mark.parametrize("audio", ["aac", "flac", "libopus", "ac3", "pcm_s16le"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_every_audio_track_is_copied_bit_for_bit(tmp_path: Path, suffix: str, audio: str):
    """Two tracks with their languages; where a container cannot hold a codec, that is known before."""
    source = make_clip(tmp_path / "in.mkv", audio=(audio, "aac"), languages=("eng", "fra"), frames=20)
    result = restore(source, tmp_path / f"out{suffix}")
    kept = [plan.action == "copy" for plan in result.plan.streams]
    before = [track for track, keep in zip(packets(source), kept, strict=True) if keep]
    after = packets(result.path)
    assert [[digest for digest, _ in track] for track in after] == [[digest for digest, _ in track] for track in before]
    for track, original in zip(after, before, strict=True):
        assert max(abs(time - was) for (_, time), (_, was) in zip(track, original, strict=True)) <= Fraction(1, 1000)
    languages = [stream.language for stream in probe(result.path).of_kind("audio")]
    assert languages == [name for name, keep in zip(("eng", "fra"), kept, strict=True) if keep]
    assert all(kept) == (not result.plan.warnings)
    if suffix == ".mkv":
        assert all(kept)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("offset", [0, 10_000, 123_457])
@pytest.mark.parametrize("tick", [Fraction(1, 1000), Fraction(1001, 30000), Fraction(1, 23_040_000)])
def test_times_and_time_base_are_the_sources(tmp_path: Path, suffix: str, offset: int, tick: Fraction):
    """Variable rate, any tick, any start: exactly, with sound that stays where it was."""
    times = [offset + time for time in VARIABLE]
    source = make_clip(tmp_path / f"in{suffix}", time_base=tick, pts=times, audio=("aac",))
    info = probe(source)
    result = restore(source, tmp_path / f"out{suffix}")
    assert frame_times(result.path) == frame_times(source)
    assert probe(result.path).time_base == info.time_base
    assert packets(result.path) == packets(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_last_frame_lasts_as_long_as_before(tmp_path: Path, suffix: str):
    """The length of the video stream is the source's, to the tick."""
    source = make_clip(tmp_path / f"in{suffix}", time_base=Fraction(1, 600), pts=[24 * index for index in range(12)])
    result = restore(source, tmp_path / f"out{suffix}")
    with av.open(str(source)) as before, av.open(str(result.path)) as after:
        assert after.streams.video[0].duration == before.streams.video[0].duration == 12 * 24


def test_matroska_keeps_milliseconds_and_says_so(tmp_path: Path):
    """Its times are milliseconds: exact from Matroska, rounded from others, with a note."""
    exact = make_clip(tmp_path / "a.mkv", rate=Fraction(30000, 1001))
    assert frame_times(restore(exact, tmp_path / "b.mkv").path) == frame_times(exact)
    fine = make_clip(tmp_path / "c.mp4", time_base=Fraction(1001, 30000), pts=range(12))
    result = restore(fine, tmp_path / "d.mkv")
    assert any("millisecond" in note for note in result.plan.warnings)
    pairs = zip(frame_times(result.path), frame_times(fine), strict=True)
    assert max(abs(after - before) for after, before in pairs) <= Fraction(1, 2000)


def test_sound_that_begins_before_zero_moves_nothing(tmp_path: Path):
    """AAC in mp4 begins 21 ms early; in Matroska the picture still begins where it did, and the sound too."""
    source = make_clip(tmp_path / "in.mp4", audio=("aac",))
    assert packets(source)[0][0][1] < 0
    result = restore(source, tmp_path / "out.mkv")
    assert frame_times(result.path) == frame_times(source)
    (before,), (after,) = packets(source), packets(result.path)
    assert [digest for digest, _ in after] == [digest for digest, _ in before]
    assert max(abs(a - b) for (_, a), (_, b) in zip(after, before, strict=True)) <= Fraction(1, 1000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_picture_that_begins_before_zero_is_moved_with_its_sound(tmp_path: Path, suffix: str):
    """Players would skip it; nothing is lost, and the distance between the two stays."""
    source = make_clip(tmp_path / "in.mkv", audio=("flac",))
    encoded = replace(encode(source, tmp_path / "video.mkv", FAST), first_pts=-200)
    info = probe(source)
    encoder = plan_encoder(FAST, info, width=64, height=48)
    target = tmp_path / f"out{suffix}"
    mux(encoded, info, plan_mux(info, encoder, target), target)
    assert frame_times(target) == frame_times(source)
    assert float(packets(target)[0][0][1] - packets(source)[0][0][1]) == pytest.approx(0.2, abs=1e-3)


def test_everything_else_of_a_matroska_file_is_kept(tmp_path: Path):
    """Subtitles, chapters, font, cover, tags, languages, titles."""
    source = make_clip(
        tmp_path / "in.mkv",
        audio=("aac",),
        subtitles="srt",
        chapters=True,
        attachment=True,
        metadata={"title": "Waves"},
    )
    result = restore(source, tmp_path / "out.mkv")
    assert result.plan.warnings == ()
    assert packets(result.path, "subtitle") == packets(source, "subtitle")
    with av.open(str(source)) as before, av.open(str(result.path)) as after:
        assert after.chapters() == before.chapters()
        assert after.metadata["title"] == "Waves"
        assert after.streams.attachments[0].data == before.streams.attachments[0].data
        assert after.streams.attachments[0].name == "font.ttf"
        subtitle = after.streams.subtitles[0]
        assert (subtitle.language, subtitle.metadata["title"]) == ("deu", "Untertitel")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_tags_that_are_not_utf8_are_kept_byte_for_byte(tmp_path: Path, suffix: str):
    """Old Windows programs write tags in their own encoding; what cannot be decoded cannot be changed either."""
    source = make_clip(tmp_path / "in.mkv", subtitles="srt", chapters=True, metadata={"title": "Bl\xfcte"})
    data = source.read_bytes()
    for word in (b"Bl\xc3\xbcte", b"Untertitel", b"Two"):
        assert word in data
        data = data.replace(
            word, word.replace(b"\xc3\xbc", b"\xfcu").replace(b"titel", b"t\xfctel").replace(b"wo", b"\xf6o")
        )
    source.write_bytes(data)
    info = probe(source)
    assert info.readable_metadata["title"] == "Bl\ufffdute" and info.streams[0].title == "Untert\ufffdtel"
    result = restore(source, tmp_path / f"out{suffix}")
    assert not any("Metadata" in warning for warning in result.plan.warnings)
    written = result.path.read_bytes()
    assert b"Bl\xfcute" in written and b"T\xf6o" in written
    assert b"Untert\xfctel" in written or suffix == ".mp4"


def test_text_subtitles_become_what_mp4_holds(tmp_path: Path):
    """Converted with a sentence about it, times kept, styles kept where they can be."""
    source = make_clip(tmp_path / "in.mkv", subtitles="srt", chapters=True)
    result = restore(source, tmp_path / "out.mp4")
    assert [plan.action for plan in result.plan.streams] == ["convert"]
    assert any("converted to mov_text" in warning for warning in result.plan.warnings)
    with av.open(str(result.path)) as after:
        stream = after.streams.subtitles[0]
        found = [(packet.pts, packet.duration, bytes(packet)) for packet in after.demux(stream) if packet.size > 2]
        assert [(pts, duration) for pts, duration, _ in found] == [(100, 200), (300, 150)]
        assert b"First line" in found[0][2] and b"Second line" in found[1][2]
        assert stream.language == "deu"
        assert [chapter["metadata"]["title"] for chapter in after.chapters()] == ["One", "Two"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_cover_art_is_carried_and_is_not_the_video(tmp_path: Path, suffix: str):
    """The attached picture comes out as an attached picture, byte for byte."""
    source = make_clip(tmp_path / "in.mp4", cover=True)
    info = probe(source)
    assert (info.width, info.height) == (64, 48)
    result = restore(source, tmp_path / f"out{suffix}")
    after = probe(result.path)
    assert (after.width, after.height, sum(stream.cover for stream in after.streams)) == (64, 48, 1)
    pictures = [[digest for digest, _ in track] for track in packets(source, "video")]
    assert pictures[1] in [[digest for digest, _ in track] for track in packets(result.path, "video")]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("rotation", [(90.0, False, False), (180.0, False, False), (90.0, True, False)])
def test_rotation_and_aspect_are_metadata_still(tmp_path: Path, suffix: str, rotation: tuple[float, bool, bool]):
    """Neither baked in nor lost; what Matroska cannot say (mirroring) `turn_for` sees to."""
    source = make_clip(tmp_path / "in.mp4", rotation=rotation, sample_aspect_ratio=Fraction(4, 3))
    result = restore(source, tmp_path / f"out{suffix}")
    before, after = probe(source), probe(result.path)
    assert after.sample_aspect_ratio == before.sample_aspect_ratio == Fraction(4, 3)
    assert (turn_for(result.path, before) != UNTURNED) == (suffix == ".mkv" and rotation[1])
    if suffix != ".mkv" or not rotation[1]:
        assert after.rotation == before.rotation != 0
        assert after.display_size == before.display_size
        assert suffix == ".mkv" or after.display_matrix == before.display_matrix


@pytest.mark.parametrize(("mirrored", "target", "lost"), [
    (False, "out/%03d.png", True), (False, "out.mkv", False), (True, "out.mkv", True), (True, "out.mp4", False),
])  # fmt: skip
def test_an_angle_that_is_no_right_one_is_lost_where_it_cannot_be_said(
    tmp_path: Path, mirrored: bool, target: str, lost: bool
):
    """Pixels are turned by right angles alone; Matroska says any angle, and no mirroring."""
    info = probe(make_clip(tmp_path / "in.mp4", rotation=(30.0, mirrored, False)))
    assert info.upright is None
    assert turn_for(tmp_path / target, info) == UNTURNED
    encoding = Encoding("png") if target.endswith("png") else FAST
    plan = plan_mux(info, plan_encoder(encoding, info, width=64, height=48), tmp_path / target)
    assert any("rotation is lost" in warning for warning in plan.warnings) == lost


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_moves_subtitles_and_chapters_with_the_picture(tmp_path: Path, suffix: str):
    """From frame 5 to 10: the picture starts at 0 and everything keeps its distance to it."""
    source = make_clip(tmp_path / "in.mkv", frames=20, subtitles="srt", chapters=True)
    start, end = Fraction(5, 25), Fraction(10, 25)
    result = restore(source, tmp_path / f"out{suffix}", start=start, end=end)
    assert frame_times(result.path) == [Fraction(index, 25) for index in range(5)]
    with av.open(str(result.path)) as after:
        subtitles = [
            (packet.pts * packet.time_base, packet.duration * packet.time_base)
            for packet in after.demux(subtitles=0)
            if packet.size > 2
        ]
        # 0.1-0.3 s and 0.3-0.45 s, seen from 0.2 s and up to 0.4 s.
        assert subtitles == [(0, Fraction(1, 10)), (Fraction(1, 10), Fraction(1, 10))]
        (chapter,) = after.chapters()
        assert (chapter["start"], chapter["end"] * chapter["time_base"]) == (0, Fraction(1, 5))


def test_segments_are_joined_as_if_encoded_at_once(tmp_path: Path):
    """Three parts of a clip, each in a file of its own: all frames, all times, playable across the joints."""
    source = make_clip(tmp_path / "in.mp4", frames=24, audio=("aac",))
    info = probe(source)
    third = Fraction(8, 25)
    parts = [
        encode(source, tmp_path / f"part{number}.mkv", FAST, start=third * number, end=third * (number + 1))
        for number in range(3)
    ]
    encoder = plan_encoder(FAST, info, width=info.width, height=info.height)
    target = tmp_path / "out.mp4"
    reports: list[int] = []
    timeline = mux(parts, info, plan_mux(info, encoder, target), target, on_frames=reports.append)
    verify(target, timeline)
    assert frame_times(target) == frame_times(source)
    assert packets(target) == packets(source)


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks"])
def test_every_encoders_video_is_muxed_exactly(tmp_path: Path, codec: str):
    """Each in a container that holds it, times exact, color named, hevc tagged for Apple's players."""
    suffix = {"ffv1": ".mkv", "prores_ks": ".mov"}.get(codec, ".mp4")
    preset = None if codec in ("ffv1", "prores_ks") else "ultrafast"
    source = make_clip(tmp_path / f"in{suffix}", width=64, height=64, tags={"colorspace": 1, "color_range": 1})
    result = restore(source, tmp_path / f"out{suffix}", Encoding(codec, preset=preset))
    assert frame_times(result.path) == frame_times(source)
    after = probe(result.path)
    assert (after.color.matrix, after.color.full_range, after.color.assumed) == (1, False, False)
    if codec == "libx265":
        with av.open(str(result.path)) as container:
            assert container.streams.video[0].codec_context.codec_tag == "hvc1"


def test_streams_can_be_left_out(tmp_path: Path):
    """--no-audio and --no-subs drop without a warning."""
    source = make_clip(tmp_path / "in.mkv", audio=("aac",), subtitles="srt")
    info = probe(source)
    encoder = plan_encoder(FAST, info, width=64, height=48)
    plan = plan_mux(info, encoder, tmp_path / "out.mp4", audio=False, subtitles=False)
    assert [item.action for item in plan.streams] == ["drop", "drop"] and plan.warnings == ()
    target = tmp_path / "out.mp4"
    mux(encode(source, tmp_path / "video.mkv", FAST), info, plan, target)
    assert probe(target).streams == ()


def test_what_a_container_cannot_hold_is_dropped_with_its_reason(tmp_path: Path):
    """A sentence names the stream, the container and the way out."""
    source = make_clip(tmp_path / "in.mkv", audio=("aac",), attachment=True)
    info = probe(source)
    encoder = plan_encoder(Encoding("libvpx-vp9"), info, width=64, height=48)
    warnings = plan_mux(info, encoder, tmp_path / "out.webm").warnings
    assert "Audio stream 1 (aac) is dropped: webm does not hold it; .mkv would keep it." in warnings
    assert any("Attachment stream 2" in text and ".mkv would keep it" in text for text in warnings)


def test_cover_art_that_a_container_would_silently_lose_is_said(tmp_path: Path):
    """The mov muxer takes a cover and leaves it out: the trial reads back what it wrote."""
    info = probe(make_clip(tmp_path / "in.mp4", cover=True))
    encoder = plan_encoder(FAST, info, width=64, height=48)
    (warning,) = plan_mux(info, encoder, tmp_path / "out.mov").warnings
    assert warning.startswith("Cover art (mjpeg) is dropped: mov does not hold it")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("o.webm", "webm does not hold h264 video"),
        ("o.xyz", r"suffix '\.xyz'; use one of \.mp4"),
        ("o", "suffix"),
    ],
)
def test_an_impossible_target_is_refused_before_the_work(tmp_path: Path, target: str, message: str):
    """Wrong container for the codec, unknown suffix, no suffix."""
    info = probe(make_clip(tmp_path / "in.mp4"))
    encoder = plan_encoder(FAST, info, width=64, height=48)
    with pytest.raises(OutputError, match=message):
        plan_mux(info, encoder, tmp_path / target)


def test_a_missing_frame_is_noticed(tmp_path: Path):
    """The count is read from the file itself."""
    source = make_clip(tmp_path / "in.mp4")
    with pytest.raises(OutputError, match="holds 12 frames instead of 13"):
        verify(source, Timeline(Fraction(1, 25), range(13), frozenset({0})))


@pytest.mark.parametrize(
    ("ticks", "beginnings", "message"),
    [
        ([*range(11), 12], {0}, r"frame 11 is at 0\.4400 s instead of 0\.4800 s"),
        (range(12), {0, 1}, "frame 1 does not decode"),
    ],
    ids=["time", "segment"],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(
    tmp_path: Path, ticks: Sequence[int], beginnings: set[int], message: str
):
    """A frame elsewhere, or one that should begin a segment and needs others."""
    source = make_clip(tmp_path / "in.mp4")
    verify(source, Timeline(Fraction(1, 25), range(12), frozenset({0, 6})))
    with pytest.raises(OutputError, match=message):
        verify(source, Timeline(Fraction(1, 25), ticks, frozenset(beginnings)))


def test_a_segment_that_lost_frames_is_noticed(tmp_path: Path):
    """A scratch file cut short is not joined."""
    source = make_clip(tmp_path / "in.mp4")
    encoded = encode(source, tmp_path / "video.mkv", FAST)
    data = encoded.path.read_bytes()
    encoded.path.write_bytes(data[: len(data) * 2 // 3])
    info = probe(source)
    encoder = plan_encoder(FAST, info, width=64, height=48)
    with pytest.raises(OutputError, match="instead of 12"):
        mux(encoded, info, plan_mux(info, encoder, "out.mp4"), tmp_path / "out.mp4")


@pytest.mark.parametrize(
    "name",
    [
        "mkv_sample_with_chapters.mkv",
        "mp4_sample_with_chapters.mp4",
        "mp4_sample_shorter_audio.mp4",
        "mp4_sample_edit_list_only_preroll_sync_sample.mp4",
        "mp4_bt601.mov",
        "flv_sample-with-key-frame-index.flv",
        "3gp_bbb_176x144_128kbps_15fps_h263.3gp",
    ],
)
def test_real_files_keep_frames_times_and_sound(tmp_path: Path, name: str):
    """Edit lists, chapters, starts that are not zero, sound shorter than the picture."""
    source = shared(HARD / name)
    result = restore(source, tmp_path / "out.mp4")
    assert frame_times(result.path) == frame_times(source)
    before, after = packets(source), packets(result.path)
    assert [[digest for digest, _ in track] for track in after] == [[digest for digest, _ in track] for track in before]
    assert probe(result.path).chapters == result.info.chapters
