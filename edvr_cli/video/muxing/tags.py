"""Metadata tags: which of a source's are kept, and which of them a container holds."""

import io
import re
from collections.abc import Mapping
from fractions import Fraction

import av

from edvr_cli.video.containers import readable
from edvr_cli.video.pyav import TAGS_AS_BYTES

# What muxers write themselves, or what is true only of the source's own encoding.
_STALE = {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "bps", "alpha_mode"}
_STALE_PREFIXES = ("_statistics", "number_of_", "bps-", "duration-")
_PLACE = re.compile(r"[+-]\d+(\.\d+)?[+-]\d+(\.\d+)?")
_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")


def kept_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The tags that also apply to the restored file."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _STALE and not key.lower().startswith(_STALE_PREFIXES)
    }


def lost_tags(metadata: Mapping[str, str], format_name: str, options: dict[str, str]) -> list[str]:
    """The tags of a file that a container does not give back, by a trial: a file of one packet in memory."""
    wanted = kept_metadata(metadata)
    if not wanted:
        return []
    memory = io.BytesIO()
    with av.open(memory, "w", format=format_name, container_options=options, **TAGS_AS_BYTES) as trial:
        codec = "vp8" if format_name == "webm" else "mpeg4"
        stream = trial.add_mux_stream(codec, width=16, height=16)
        trial.metadata.update(wanted)
        trial.start_encoding()
        packet = av.Packet(bytes(16))
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
        packet.time_base = Fraction(1, 25)
        trial.mux_one(packet)
    memory.seek(0)
    with av.open(memory, **TAGS_AS_BYTES) as written:
        found = {key.lower(): value for key, value in written.metadata.items()}
    return sorted(readable(key) for key, value in wanted.items() if not _alike(value, found.get(key.lower())))


def advanced_timecode(timecode: str, frames: int, rate: Fraction) -> str:
    """The timecode ``frames`` frames later; drop-frame ones (``;``) leave out what they must.

    Other texts are returned unchanged.
    """
    match = _TIMECODE.fullmatch(timecode)
    if match is None:
        return timecode
    hours, minutes, seconds, separator, frame = match.groups()
    base = round(rate)
    dropped = base // 15 if separator != ":" and rate.denominator == 1001 else 0  # a minute, except every tenth
    whole_minutes = int(hours) * 60 + int(minutes)
    number = (whole_minutes * 60 + int(seconds)) * base + int(frame) + frames
    number -= dropped * (whole_minutes - whole_minutes // 10)
    if dropped:
        ten, rest = divmod(number, 600 * base - 9 * dropped)
        number += dropped * 9 * ten + dropped * max(0, (rest - dropped) // (60 * base - dropped))
    total, frame_number = divmod(number, base)
    return f"{total // 3600 % 24:02}:{total // 60 % 60:02}:{total % 60:02}{separator}{frame_number:02}"


def _alike(value: str, found: str | None) -> bool:
    """Whether a tag came back; dates lose zeros, places are written with four digits, ``3`` is ``3/0``."""
    if found is None:
        return False
    if _PLACE.match(value) and _PLACE.match(found):
        here, there = (list(map(float, re.findall(r"[+-][\d.]+", text)))[:2] for text in (value, found))
        return all(abs(a - b) < 1e-3 for a, b in zip(here, there, strict=True))
    return found in (value, f"{value}/0") or (len(found) >= 19 and value.startswith(found[:19]))
