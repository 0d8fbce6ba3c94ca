"""Borders that are not shown: of the container, and of H.264 and HEVC at any place."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import probe
from tests.video.test_cases import FFMPEG, ffmpeg, restore  # noqa: F401 (a fixture)

SHOT = ("-f", "lavfi", "-i", "testsrc2=s=96x64:d=0.2:r=25", "-pix_fmt", "yuv420p")


def with_matroska_crop(path: Path, left: int, top: int) -> Path:
    """The file's display size becomes a crop: elements of the same length."""
    data = bytearray(path.read_bytes())
    for name, other, value in ((b"\x54\xb0\x81", b"\x54\xcc\x81", left), (b"\x54\xba\x81", b"\x54\xbb\x81", top)):
        place = data.index(name)
        data[place : place + 4] = other + bytes([value])
    path.write_bytes(data)
    return path


def with_clean_aperture(path: Path, width: int, height: int, across: int, down: int) -> Path:
    """A ``clap`` box at the end of the sample description of an mp4 whose index is at its end."""
    box = struct.pack(">I4s8i", 40, b"clap", width, 1, height, 1, across, 1, down, 1)
    data = bytearray(path.read_bytes())
    begin, end = 0, len(data)
    for name, header in zip(("moov", "trak", "mdia", "minf", "stbl", "stsd", "avc1"), (8,) * 5 + (16, 86), strict=True):
        while data[begin + 4 : begin + 8] != name.encode():
            begin += struct.unpack_from(">I", data, begin)[0]
        (size,) = struct.unpack_from(">I", data, begin)
        struct.pack_into(">I", data, begin, size + len(box))
        begin, end = begin + header, begin + size
    data[end:end] = box
    path.write_bytes(data)
    return path


def shown(path: Path) -> bytes:
    """The samples of every frame as FFmpeg's command shows them."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-f", "rawvideo", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def read(path: Path) -> bytes:
    """The samples of every frame as they are read here."""
    with VideoReader(path) as reader:
        return b"".join(plane.numpy().tobytes() for frame in reader for plane in frame.planes)


@pytest.mark.parametrize("edges", [(8, 6), (2, 0), (0, 10), (6, 2)])
def test_matroskas_crop_is_applied(ffmpeg: Callable[..., Path], edges: tuple[int, int]):  # noqa: F811
    """To each frame, and to nothing else; the output is of the size that is shown."""
    left, top = edges
    source = ffmpeg(*SHOT, "-c:v", "libx264", "-qp", "10", "-aspect", "4:3", "in.mkv")
    with_matroska_crop(source, left, top)
    assert (probe(source).width, probe(source).height) == (96 - left, 64 - top)
    assert read(source) == shown(source)
    result, told = restore(source, "out.mkv")
    assert (probe(result).width, probe(result).height) == (4 * (96 - left), 4 * (64 - top))
    assert probe(result).sample_aspect_ratio == probe(source).sample_aspect_ratio
    assert told == []


@pytest.mark.parametrize("aperture", [(80, 50, 2, -1), (94, 64, 0, 0), (48, 32, -10, 4)])
def test_the_clean_aperture_of_mp4_is_applied(ffmpeg: Callable[..., Path], aperture: tuple[int, ...]):  # noqa: F811
    """As FFmpeg's command does."""
    source = with_clean_aperture(ffmpeg(*SHOT, "-c:v", "libx264", "-qp", "10", "in.mp4"), *aperture)
    assert (probe(source).width, probe(source).height) == aperture[:2]
    assert read(source) == shown(source)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("edges", [(6, 2, 4, 2), (2, 0, 0, 0), (34, 0, 2, 0)])
def test_crops_in_the_stream_need_no_alignment(ffmpeg: Callable[..., Path], codec: str, edges: tuple[int, ...]):  # noqa: F811
    """A left border of any width is cut off, on the left."""
    left, right, top, bottom = edges
    crop = f"{codec}_metadata=crop_left={left}:crop_right={right}:crop_top={top}:crop_bottom={bottom}"
    encoder = "libx264" if codec == "h264" else "libx265"
    source = ffmpeg(*SHOT, "-c:v", encoder, "-x265-params", "log-level=error", "-bsf:v", crop, "in.mp4")
    assert (probe(source).width, probe(source).height) == (96 - left - right, 64 - top - bottom)
    assert read(source) == shown(source)
