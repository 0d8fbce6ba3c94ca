"""Files that were taken for something else: encrypted, damaged, without a frame rate, or with data nobody named."""

import base64
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edvr_cli.errors import EdvrError, InputError
from edvr_cli.size import Size
from edvr_cli.system.limits import available_memory
from edvr_cli.video.clip_folders import read_frames
from edvr_cli.video.pixels.hdr import hdr_metadata
from edvr_cli.video.pixels.side_data import side_data
from edvr_cli.video.protection import has_protected_samples
from edvr_cli.video.reading import sources
from edvr_cli.video.reading.info import plain_rate
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import ImageSource, probe
from edvr_cli.video.writing.png_jpeg import jpeg, png
from tests.models.test_file_kind import EXAMPLES
from tests.support.clips import make_clip

# A gray picture of 128×64 pixels in two tiles, as libavif 0.11's avifenc --grid 2x1 wrote it.
TWO_TILES = """
AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAAF/bWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxp
YmF2aWYAAAAADnBpdG0AAAAAAAEAAAA6aWxvYwAAAABEAAADAAEAAAABAAABpwAAAAgAAgAAAAEAAAGvAAAAGwADAAAAAQAAAa8AAAAb
AAAAXGlpbmYAAAAAAAMAAAAaaW5mZQIAAAAAAQAAZ3JpZENvbG9yAAAAABppbmZlAgAAAQACAABhdjAxQ29sb3IAAAAAGmluZmUCAAAB
AAMAAGF2MDFDb2xvcgAAAAAcaXJlZgAAAAAAAAAQZGltZwABAAIAAgADAAAAi2lwcnAAAABfaXBjbwAAABRpc3BlAAAAAAAAAIAAAABA
AAAAEHBpeGkAAAAAAwgICAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAAxhdjFDgQAMAAAAACRpcG1hAAAA
AAAAAAMAAQMBAgMAAgQEAoUDAAMEBAKFAwAAACttZGF0AAAAAQCAAEASAAoJGBV//YICGg0IMgwfQD///8QAtxHiu8A=
"""

# --- Encryption: whose samples are protected


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of an mp4."""
    content = b"".join(parts)
    return struct.pack(">I4s", len(content) + 8, kind) + content


def rebuilt(content: bytes, change: Callable[[bytes, bytes], bytes]) -> bytes:
    """``content`` with each box as ``change`` makes it of its kind and content."""
    place, parts = 0, []
    while place < len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        parts.append(change(kind, content[place + 8 : place + size]))
        place += size
    return b"".join(parts)


@pytest.fixture(scope="module")
def fragmented(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An mp4 of one fragment with ten pictures."""
    path = tmp_path_factory.mktemp("fragmented") / "f.mp4"
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(str(path), "w", options=options) as output:
        stream = output.add_stream("libx264", 25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame(32, 24, "yuv420p")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


def described(content: bytes, *, default: bool, group: bool | None, version: int = 1) -> bytes:
    """The same as a packager for DRM describes it: protected by default, and in the fragment's group of samples."""
    tenc = box(b"tenc", bytes(6), bytes([default, 8 * default]), bytes(range(16)))
    sinf = box(
        b"sinf", box(b"frma", b"avc1"), box(b"schm", bytes(4), b"cenc", b"\0\1\0\0"), box(b"schi", tenc)
    )  # fmt: skip
    added = box(b"senc", bytes(4), struct.pack(">I", 10), bytes(80))
    if group is not None:
        entry = b"\0\0" + bytes([group, 8 * group]) + bytes(range(16))
        size = struct.pack(">I", len(entry)) if version else b""
        default_group = struct.pack(">I", 1) if version == 2 else b""
        added += box(b"sgpd", bytes([version, 0, 0, 0]), b"seig", size, default_group, struct.pack(">I", 1), entry)
        added += box(b"sbgp", bytes(4), b"seig", struct.pack(">III", 1, 10, 0x10001))

    def change(kind: bytes, body: bytes) -> bytes:
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof"):
            return box(kind, rebuilt(body, change))
        if kind == b"stsd":
            (size,) = struct.unpack_from(">I", body, 8)
            return box(kind, body[:8], box(b"encv", body[16 : 8 + size], sinf))
        if kind == b"traf":
            place = body.find(b"trun") + 12
            moved = struct.pack(">i", struct.unpack_from(">i", body, place)[0] + len(added))
            return box(kind, body[:place], moved, body[place + 4 :], added)
        return box(kind, body)

    return rebuilt(content, change)


@pytest.mark.parametrize(
    ("default", "group", "encrypted"),
    [(False, None, False), (False, False, False), (False, True, True), (True, None, True), (True, False, False)],
)
@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_file_is_encrypted_where_its_samples_are(
    tmp_path: Path, fragmented: bytes, default: bool, group: bool | None, encrypted: bool, version: int
):
    """A description of groups says so, or says the opposite of the track's default."""
    path = tmp_path / "in.mp4"
    path.write_bytes(described(fragmented, default=default, group=group, version=version))
    assert has_protected_samples(path) is encrypted
    if encrypted:
        with pytest.raises(InputError, match=r"is encrypted \(DRM\)"):
            probe(path)
    else:
        assert probe(path).width == 32


@settings(max_examples=EXAMPLES, deadline=None)
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6), cut=st.floats())
def test_any_damage_to_the_description_is_survived(tmp_path_factory, fragmented: bytes, edits: list, cut: float):
    """It is true, false or unknown whether it is encrypted."""
    content = bytearray(described(fragmented, default=True, group=False))
    for place, value in edits:
        content[int(place * len(content))] = value
    path = tmp_path_factory.mktemp("damaged") / "in.mp4"
    path.write_bytes(content[: int(cut * len(content))] if 0 < cut < 1 else content)
    assert has_protected_samples(path) in (True, False, None)


# --- Side data that PyAV has no name for


def with_exif(tmp_path: Path) -> Path:
    """A time lapse of photographs with Exif: each frame carries it."""
    import torch

    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x0f\0\2\0\0\0\7\0\0\0\x1a\0\0\0\0Camera\0"
    photo = jpeg(torch.full((3, 32, 48), 90, dtype=torch.uint8))
    photo = photo[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + photo[2:]
    path = tmp_path / "lapse.mov"
    with av.open(str(path), "w") as output:
        stream = output.add_mux_stream("mjpeg", rate=25, width=48, height=32)
        stream.time_base = Fraction(1, 25)
        for number in range(3):
            packet = av.Packet(photo)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            packet.is_keyframe = True
            output.mux_one(packet)
    return path


def test_frames_with_data_that_has_no_name_are_read(tmp_path: Path):
    """And that data can be had."""
    path = with_exif(tmp_path)
    assert probe(path).width == 48
    with VideoReader(path) as reader:
        assert len(list(reader)) == 3
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert b"Camera" in (side_data(frame, "EXIF") or b"")
    assert side_data(frame, "DISPLAYMATRIX") is None and not hdr_metadata(frame)


# --- Pictures by themselves


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "tga", "webp", "ppm"])
def test_one_picture_is_a_source_of_one_frame(tmp_path: Path, suffix: str):
    """Whatever its kind; nothing is assumed about its frame rate."""
    import torch

    path = tmp_path / f"photo.{suffix}"
    if suffix in ("png", "jpg"):
        path.write_bytes((png if suffix == "png" else jpeg)(torch.zeros(3, 24, 32, dtype=torch.uint8)))
    else:
        image = pytest.importorskip("PIL.Image")
        image.new("RGB", (32, 24)).save(path)
    info = probe(path)
    assert isinstance(info.source, ImageSource) and (info.width, info.height, info.frame_count) == (32, 24, 1)
    assert info.notes == ()
    with VideoReader(path) as reader:
        assert len(list(reader)) == 1


def test_an_animated_png_is_a_video(tmp_path: Path):
    """As other animations are."""
    path = make_clip(tmp_path / "a.apng", codec="apng", pix_fmt="rgb24", options={}, frames=3)
    path = path.rename(tmp_path / "a.png")
    assert not isinstance(probe(path).source, ImageSource)


# --- Rates, packets and memory


@pytest.mark.parametrize(
    ("rate", "plain"),
    [
        (Fraction(25), Fraction(25)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        (Fraction(1, 3000), Fraction(1, 3000)),
        (Fraction(1, 2_147_483_647), Fraction(1, 2_147_483_647)),
        (Fraction(1, 1 << 40), Fraction(1, (1 << 31) - 1)),
    ],
)
def test_a_slow_rate_is_still_a_rate(rate: Fraction, plain: Fraction):
    """One picture an hour, too."""
    assert plain_rate(rate) == plain


def test_a_slow_show_of_pictures_is_read(tmp_path: Path):
    """Its rate is below one in a thousand seconds."""
    path = tmp_path / "slow.y4m"
    path.write_bytes(b"YUV4MPEG2 W16 H16 F1:3000 Ip C420jpeg\n" + (b"FRAME\n" + bytes(384)) * 3)
    assert probe(path).average_rate == Fraction(1, 3000)


def test_pictures_larger_than_the_memory_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With what they would need."""
    path = make_clip(tmp_path / "in.mp4", frames=2)
    assert available_memory() > 64 * 48 * 8
    monkeypatch.setattr(sources, "available_memory", lambda: 10_000)
    with pytest.raises(InputError, match=r"pictures of 64×48 need 0\.0 GB of memory"):
        probe(path)


# --- Damage at random


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small files by suffix."""
    folder = tmp_path_factory.mktemp("whole")
    small = {"width": 32, "height": 24, "frames": 4}
    made = {
        ".mp4": make_clip(folder / "a.mp4", **small, audio=("aac",), rotation=(90, False, False)),
        ".mkv": make_clip(folder / "a.mkv", **small, subtitles="ass", chapters=True, metadata={"title": "[/i] \x1b"}),
        ".ts": make_clip(folder / "a.ts", **small, codec="mpeg2video", options={}),
        ".avi": make_clip(folder / "a.avi", **small, codec="mjpeg", pix_fmt="yuvj420p", options={}),
        ".mov": with_exif(folder),
    }
    return {suffix: path.read_bytes() for suffix, path in made.items()}


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    suffix=st.sampled_from([".mp4", ".mkv", ".ts", ".avi", ".mov"]),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=5),
    cut=st.floats(0.05, 3),
)
def test_damaged_videos_are_read_or_refused(tmp_path_factory, whole, suffix: str, edits: list, cut: float):
    """In a sentence; frames that come have times that rise."""
    content = bytearray(whole[suffix])
    for place, value in edits:
        begin = int(place * len(content))
        content[begin : begin + len(value)] = value
    path = tmp_path_factory.mktemp("fuzz") / f"in{suffix}"
    path.write_bytes(content[: int(cut * len(content))] if cut < 1 else content)
    try:
        info = probe(path)
        with VideoReader(path, info=info) as reader:
            times = [frame.pts for _, frame in zip(range(50), reader, strict=False)]
    except EdvrError as error:
        assert len(str(error)) > 10 and "\n" not in str(error)
    else:
        assert times == sorted(set(times))
    finally:
        path.unlink()


def test_a_photo_in_tiles_is_joined(tmp_path: Path):
    """Each tile is a stream, and one of them alone would look like the picture: telephones store photos so."""
    photo = tmp_path / "photo.avif"
    photo.write_bytes(base64.b64decode(TWO_TILES))
    assert probe(photo).size == Size(128, 64)
    with Image.open(photo) as opened:
        expected = np.asarray(opened.convert("RGB")).astype(float)
    assert np.abs(next(read_frames(photo)).permute(1, 2, 0).numpy() - expected).max() <= 1


def test_a_photo_is_known_by_its_name(tmp_path: Path):
    """Named as a video it is not one of its tiles, either."""
    photo = tmp_path / "photo.mp4"
    photo.write_bytes(base64.b64decode(TWO_TILES))
    with pytest.raises(InputError, match=r"photo\.mp4 is a HEIF picture: give it a name that ends in \.heic"):
        probe(photo)


def test_a_tile_that_is_damaged_is_no_picture(tmp_path: Path):
    """FFmpeg would leave its place empty."""
    photo = tmp_path / "photo.heic"
    data = base64.b64decode(TWO_TILES)
    photo.write_bytes(data[: data.index(b"mdat") + 30])
    with pytest.raises(InputError, match=r"photo\.heic"):
        probe(photo)
