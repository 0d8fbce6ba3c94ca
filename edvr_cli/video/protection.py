"""Whether the samples of an mp4 are encrypted: the file says so for all of them, and may say otherwise for some.

A packager that encrypts a part of a film, or none of it, describes groups of samples ('seig' in `sgpd` and `sbgp`)
that are not protected although the track's default says so. libav knows the default alone.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

__all__ = ["has_protected_samples"]

_MAX_BOXES = 200_000
_MAX_TABLE = 64 << 20  # bytes of a moov or moof: no film needs more
_CONTAINERS = {b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"sinf", b"schi", b"traf"}
_FRAGMENT_GROUP = 0x10000  # from here on a group is described in the fragment itself


@dataclass
class _Track:
    video: bool = False
    default: bool = False  # whether samples without a group are protected
    groups: list[bool] = field(default_factory=list)  # whether those of each described group are


def has_protected_samples(path: Path) -> bool | None:
    """Whether any video sample is encrypted; None for a file that is no mp4, or that cannot be followed."""
    try:
        with path.open("rb") as file:
            return _any_protected(file)
    except (OSError, ValueError, LookupError, OverflowError, RecursionError):
        return None


def _any_protected(file: BinaryIO) -> bool | None:
    tracks: dict[int, _Track] = {}
    seen = False
    for kind, content in _top_boxes(file):
        if kind == b"moov":
            seen = True
            tracks = dict(_track(body) for name, body in _boxes(content) if name == b"trak")
            samples = [_samples(dict(_all(body))) for name, body in _boxes(content) if name == b"trak"]
            for track, (count, runs) in zip(tracks.values(), samples, strict=True):
                if track.video and _protected(track, [], count, runs):
                    return True
        elif kind == b"moof":
            for name, body in _boxes(content):
                if name == b"traf" and _fragment_is_protected(dict(_all(body)), tracks):
                    return True
    return False if seen else None


def _fragment_is_protected(boxes: dict[bytes, bytes], tracks: dict[int, _Track]) -> bool:
    track = tracks.get(_number(boxes[b"tfhd"], 4), _Track()) if b"tfhd" in boxes else _Track()
    count = _number(boxes[b"trun"], 4) if b"trun" in boxes else 0
    return track.video and _protected(track, _groups(boxes), count, _runs(boxes))


def _protected(track: _Track, own: list[bool], count: int, runs: list[tuple[int, int]]) -> bool:
    """Whether one of ``count`` samples is, by (how many, which group) after (how many, which group)."""
    for length, group in runs:
        if not length:
            continue
        if group == 0:
            protected = track.default
        elif group > _FRAGMENT_GROUP:
            protected = own[group - _FRAGMENT_GROUP - 1]
        else:
            protected = track.groups[group - 1]
        if protected:
            return True
        count -= length
    return count > 0 and track.default


def _track(content: bytes) -> tuple[int, _Track]:
    boxes = dict(_all(content))
    header = boxes[b"tkhd"]
    number = _number(header, 20 if header[0] == 1 else 12)
    track = _Track(video=boxes.get(b"hdlr", b"")[8:12] == b"vide", groups=_groups(boxes))
    for entry, body in _boxes(boxes.get(b"stsd", b"")[8:]):
        if entry == b"encv":
            # Boxes follow a video entry's fixed part of 78 bytes.
            tenc = dict(_all(body[78:])).get(b"tenc")
            track.default = tenc is None or tenc[6] != 0
    return number, track


def _samples(boxes: dict[bytes, bytes]) -> tuple[int, list[tuple[int, int]]]:
    """How many samples a track has outside fragments, and their groups."""
    sizes = boxes.get(b"stsz", b"")
    return (_number(sizes, 8) if len(sizes) >= 12 else 0), _runs(boxes)


def _groups(boxes: dict[bytes, bytes]) -> list[bool]:
    """Whether the samples of each described group are protected."""
    content = boxes.get(b"sgpd", b"")
    if content[4:8] != b"seig":
        return []
    version, place = content[0], 8
    size = 0
    if version >= 1:
        size, place = _number(content, place), place + 4
    if version >= 2:
        place += 4
    count, place = _number(content, place), place + 4
    found = []
    for _ in range(min(count, len(content))):
        if version >= 1 and size == 0:
            length, place = _number(content, place), place + 4
        else:
            length = size or 20
        found.append(content[place + 2] != 0)
        place += length
    return found


def _runs(boxes: dict[bytes, bytes]) -> list[tuple[int, int]]:
    content = boxes.get(b"sbgp", b"")
    if content[4:8] != b"seig":
        return []
    place = 12 if content[0] == 1 else 8
    count, place = _number(content, place), place + 4
    return [(_number(content, place + 8 * n), _number(content, place + 8 * n + 4)) for n in range(count)]


def _all(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every box in ``content`` and in the containers among them; of `sgpd` and `sbgp` those of encryption."""
    for kind, body in _boxes(content):
        if kind in _CONTAINERS:
            yield from _all(body)
        elif kind not in (b"sgpd", b"sbgp") or body[4:8] == b"seig":
            yield kind, body


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(content):
        size, begin = _number(content, place), place + 8
        if size == 1:
            size, begin = int.from_bytes(content[begin : begin + 8], "big"), place + 16
        if size == 0:
            size = len(content) - place
        if size < begin - place or place + size > len(content):
            raise ValueError("a box ends elsewhere")
        yield content[place + 4 : place + 8], content[begin : place + size]
        place += size


def _top_boxes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The boxes that say what there is; the data is passed over."""
    for _ in range(_MAX_BOXES):
        header = file.read(8)
        if len(header) < 8:
            return
        size, used = _number(header, 0), 8
        if size == 1:
            size, used = int.from_bytes(file.read(8), "big"), 16
        if header[4:] in (b"moov", b"moof"):
            if not used <= size <= _MAX_TABLE:
                raise ValueError("a table is too large")
            content = file.read(size - used)
            if len(content) < size - used:
                return
            yield header[4:], content
        elif size < used:
            return
        else:
            file.seek(size - used, os.SEEK_CUR)


def _number(content: bytes, place: int) -> int:
    if len(content) < place + 4:
        raise ValueError("a box is too short")
    return int.from_bytes(content[place : place + 4], "big")
