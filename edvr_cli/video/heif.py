"""Pictures in the format of an mp4: HEIF and AVIF (ISO/IEC 23008-12, and 23000-22 about their colors).

Phones store a photo as tiles, each of which is a stream for PyAV. FFmpeg's command, which comes with imageio-ffmpeg,
joins them; a picture of one piece is decoded here.
"""

import io
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import imageio_ffmpeg
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edvr_cli.errors import InputError
from edvr_cli.video.stream_text import file_text

__all__ = ["SUFFIXES", "color_profile", "decode_heif", "is_heif", "is_sequence"]

SUFFIXES = (".heic", ".heif", ".hif", ".avif")

_PICTURES = frozenset((b"mif1", b"mif2", b"mif3", b"heic", b"heix", b"avif"))
_SEQUENCES = frozenset((b"msf1", b"hevc", b"hevx", b"avis"))
_MAX_BRANDS = 4096  # bytes of a first box that are looked at
_PROFILE = b"colrprof"
_AS_PNG = "make a PNG of it first (heif-convert, or Preview on a Mac)"
_SIZE = re.compile(r"Tile Grid: .*?, (\d+)x(\d+)")
_ODD = 2  # pixels
_PATIENCE = 300  # seconds; a photo of 200 million pixels takes twenty
_FORMAT = "mov"  # and no other, whatever else the content might pass for
_UNSPECIFIED = 2
_JFIF_MATRIX, _FULL_RANGE, _SRGB_PRIMARIES, _SRGB_TRANSFER = 5, 2, 1, 13  # as FFmpeg counts


def is_heif(head: bytes) -> bool:
    """Whether a file that begins with ``head`` says that it is a picture, whether or not FFmpeg can open it."""
    return not _PICTURES.isdisjoint(_brands(head))


def is_sequence(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is first of all an animation."""
    return next(_brands(head), b"") in _SEQUENCES


def decode_heif(path: Path, threads: int = 0) -> VideoFrame:
    """The picture of a file, with its display matrix, and color tags that say all.

    What the file says counts before what the coded picture says, which FFmpeg takes, and what neither says is as in
    JFIF: the matrix of BT.601, and sRGB. Raises InputError for a kind that FFmpeg does not read, av.FFmpegError for a
    damaged one.
    """
    with _opened(path) as container:
        streams = container.streams.video
        first = next((item for item in streams if item.disposition & Disposition.default), streams[0])
        said = first.codec_context  # the decoder's, which says what the file does until it has decoded
        tags = (
            (said.colorspace, _UNSPECIFIED, _JFIF_MATRIX),
            (said.color_range, 0, _FULL_RANGE),
            (said.color_primaries, _UNSPECIFIED, _SRGB_PRIMARIES),
            (said.color_trc, _UNSPECIFIED, _SRGB_TRANSFER),
        )
        if any(stream.disposition & Disposition.dependent for stream in streams):
            frame = _joined(path, file_text(container))
        else:
            said.thread_type, said.thread_count = "SLICE", threads
            frame = _first(container, first)
    coded = frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc
    frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = (
        next((value for value in (of_file, of_picture) if value != unspecified), usual)
        for (of_file, unspecified, usual), of_picture in zip(tags, coded, strict=True)
    )
    return frame


def color_profile(picture: bytes) -> bytes | None:
    """The color profile in a file: what its first box for one holds."""
    at = picture.find(_PROFILE)
    if at < 4:
        return None
    (size,) = struct.unpack_from(">I", picture, at - 4)
    return picture[at + len(_PROFILE) : at - 4 + size]


def _first(container: InputContainer, stream: VideoStream) -> VideoFrame:
    """The first picture of a stream. Raises av.FFmpegError where there is none."""
    for frame in container.decode(stream):
        return frame
    raise av.error.InvalidDataError(0, "no picture")


def _opened(path: Path) -> InputContainer:
    unreadable = f"{path} is a HEIF or AVIF picture of a kind that cannot be read here, or is damaged: {_AS_PNG}."
    try:
        container = av.open(f"file:{path}", format=_FORMAT, options={"protocol_whitelist": "file"})
    except (av.FFmpegError, ValueError) as error:
        raise InputError(unreadable) from error
    if not container.streams.video:
        container.close()
        raise InputError(unreadable)
    return container


def _joined(path: Path, text: str) -> VideoFrame:
    """The tiles as one picture, upright; ``text`` is what libav says of the file."""
    damaged = InputError(f"{path} is a photo in tiles that cannot be joined here, or is damaged: {_AS_PNG}.")
    # Samples as they are: FFmpeg would bring those of another codec into limited range.
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "quiet", "-xerror", "-protocol_whitelist", "file,pipe",
        "-f", _FORMAT, "-i", f"file:{path}", "-frames:v", "1", "-c:v", "rawvideo", "-f", "nut", "pipe:1",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_PATIENCE)
    except subprocess.SubprocessError as error:
        raise damaged from error
    size = _SIZE.search(text)
    if size is None:
        raise damaged
    try:
        with av.open(io.BytesIO(done.stdout), "r") as container:
            frame = _first(container, container.streams.video[0])
    except (av.FFmpegError, IndexError) as error:
        raise damaged from error
    # FFmpeg leaves out a last odd row of halved chroma, and leaves in what surrounds a picture of less than a block.
    if abs(sum(map(int, size.groups())) - frame.width - frame.height) > _ODD:
        raise damaged
    return frame


def _brands(head: bytes) -> Iterator[bytes]:
    """The brand of a file and those that it is compatible with; none of another kind of file."""
    if head[4:8] != b"ftyp":
        return
    content = head[8 : min(int.from_bytes(head[:4], "big"), _MAX_BRANDS)]
    yield content[:4]
    yield from (content[at : at + 4] for at in range(8, len(content), 4))  # behind the version
