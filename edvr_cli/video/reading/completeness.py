"""Whether a file is as long as it says itself: downloads and recordings that broke off are not."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av

from edvr_cli.video.pyav import time_base
from edvr_cli.video.reading.info import VideoInfo

__all__ = ["Shortage", "ends_early", "find_shortage"]

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_BOXES = {
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"mfra", b"free", b"skip", b"wide", b"pnot", b"sidx", b"ssix", b"uuid",
    b"meta", b"udta", b"emsg", b"prft", b"pdin",
}  # fmt: skip
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_PROMISING_TIME = ("asf", "avi", "flv", "matroska,webm", "mxf")
_PAUSE = 0.5  # seconds that a header may promise and nobody misses
_PADDING = 16  # bytes that writers of AVI may count and leave out


@dataclass(frozen=True)
class Shortage:
    """The bytes that a file has, and those that it promises."""

    size: int
    promised: int

    @property
    def sentence(self) -> str:
        """What people should know."""
        percent = 100 * self.size // self.promised
        return f"The input breaks off: {percent} % of the bytes that it promises are there; the rest is missing."


def find_shortage(path: Path) -> Shortage | None:
    """What a file lacks of its promised length; None for nothing, and for formats that promise none."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            promised = _promised(file)
    except (OSError, struct.error):  # Whoever opens it as a video says so.
        return None
    return Shortage(size, promised) if promised is not None and promised > size else None


def ends_early(info: VideoInfo) -> bool:
    """Whether no stream lasts as long as the header of a file says; reads it all."""
    if info.container not in _PROMISING_TIME or info.duration is None:
        return False
    end = 0.0
    with info.source.side_streams() as container:
        try:
            for packet in container.demux() if container is not None else ():
                if packet.size and packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * time_base(packet)))
        except av.FFmpegError:  # As far as it goes.
            pass
    return end < info.duration - _PAUSE


def _promised(file: BinaryIO) -> int | None:
    head = file.read(16)
    file.seek(0)
    if head[4:8] in _BOXES:
        return _end_of_boxes(file)
    if head[:4] == b"RIFF":
        return _end_of_riff(file)
    if head == _ASF_HEADER:
        return _end_of_asf(file)
    if int.from_bytes(head[:4], "big") == _EBML:
        return _end_of_segment(file)
    return None


def _end_of_boxes(file: BinaryIO) -> int | None:
    """Where the last box of an mp4 or mov ends."""
    end = 0
    while len(head := file.read(16)) >= 8:
        size, kind = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if kind not in _BOXES or size < 8:  # The last one may be as long as it gets; what follows may be anything.
            break
        end += size
        file.seek(end)
    return end


def _end_of_riff(file: BinaryIO) -> int | None:
    """Where the last part of an AVI file ends."""
    end = 0
    while len(head := file.read(12)) == 12:
        size, kind = struct.unpack("<4xI4s", head)
        if head[:4] != b"RIFF" or kind not in (b"AVI ", b"AVIX") or size in (0, 0xFFFFFFFF):
            break
        end += 8 + size + size % 2
        file.seek(end)
    return end - _PADDING if end else None


def _end_of_asf(file: BinaryIO) -> int | None:
    """Where the data of a Windows Media file end, unless it was written live."""
    (header,) = struct.unpack("<16xQ", file.read(24))
    file.seek(header)
    kind, size = struct.unpack("<16sQ", file.read(24))
    return header + size if kind == _ASF_DATA and size > 50 else None


def _end_of_segment(file: BinaryIO) -> int | None:
    """Where the segment of a Matroska or WebM file ends, unless it was written live."""
    for name, size in _elements(file):
        if name == _SEGMENT:
            return None if size is None else file.tell() + size
        if size is None:
            return None
        file.seek(size, 1)
    return None


def _elements(file: BinaryIO) -> Iterator[tuple[int, int | None]]:
    """(name, bytes of content, None where these are unknown) of the element that begins here, again and again."""
    while (first := file.read(1)) and first[0]:
        name = first + file.read(8 - first[0].bit_length())
        first = file.read(1)
        if not first or not first[0]:
            return
        length = 9 - first[0].bit_length()
        size = int.from_bytes(first + file.read(length - 1), "big") & ((1 << 7 * length) - 1)
        yield int.from_bytes(name, "big"), None if size == (1 << 7 * length) - 1 else size
