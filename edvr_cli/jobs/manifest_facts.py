"""Checks of the facts in a manifest: even an intact line may come from another version, or an editor."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

from edvr_cli.jobs.segments import FrameId, Position, Segment

__all__ = [
    "checked_choices",
    "checked_count",
    "checked_identity",
    "checked_segment",
    "checked_settings",
    "checked_source",
]

_MAX_FRAMES = 1 << 40
_MAX_TICKS = 1 << 62
_MIN_TILE = 16  # pixels; less is not offered, and would take for ever
_MAX_THREADS = 1 << 12
_SEGMENT_NAME = re.compile(r"\d{8,16}\.mkv")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def checked_source(fact: object) -> Mapping[str, Any]:
    """A source's fingerprint. Raises ValueError for anything else, as do all functions here."""
    source = _mapping(fact, {"size", "sha256"})
    return {"size": _integer(source["size"], 0, _MAX_TICKS), "sha256": _digest(source["sha256"])}


def checked_settings(fact: object) -> Mapping[str, Any]:
    """Names and values that decide the frames, or a model's name and digest."""
    settings = _mapping(fact)
    if not all(value is None or isinstance(value, bool | int | float | str) for value in settings.values()):
        raise ValueError("a setting is no plain value")
    return settings


def checked_choices(fact: object) -> Mapping[str, int]:
    """What the first run chose: the side of tiles (0: whole frames), and the number of threads."""
    has_segment = isinstance(fact, dict) and "segment" in fact
    choices = _mapping(fact, {"tile", "threads", "segment"} if has_segment else {"tile", "threads"})
    tile = _integer(choices["tile"], 0, _MAX_TICKS)
    if 0 < tile < _MIN_TILE:
        raise ValueError("tiles are too small")
    segment = {"segment": _integer(choices["segment"], 1, _MAX_TICKS)} if has_segment else {}
    return {"tile": tile, "threads": _integer(choices["threads"], 1, _MAX_THREADS), **segment}


def checked_count(fact: object) -> int:
    """The number of a video's frames."""
    return _integer(fact, 1, _MAX_FRAMES)


def checked_identity(fact: object) -> Mapping[str, int]:
    """The identity of a finished file."""
    identity = _mapping(fact, {"size", "modified", "inode"})
    return {name: _integer(value, 0, 1 << 64) for name, value in identity.items()}


def checked_segment(fact: object, window: int) -> Segment:
    """A finished segment of a job whose windows hold ``window`` frames."""
    names = {"name", "first", "frame_count", "first_pts", "last_duration", "size", "sha256", "end"}
    segment = _mapping(fact, names)
    first = _integer(segment["first"], 0, _MAX_FRAMES)
    count = _integer(segment["frame_count"], 1, _MAX_FRAMES)
    end = _position(segment["end"])
    if not isinstance(segment["name"], str) or not _SEGMENT_NAME.fullmatch(segment["name"]):
        raise ValueError("a segment has another kind of name")
    if end.frame != first + count or len(end.before) != min(window, end.frame):
        raise ValueError("a segment does not end where its frames do")
    first_pts = _integer(segment["first_pts"], -_MAX_TICKS, _MAX_TICKS)
    times = [frame_id.pts for frame_id in end.before]
    if any(later <= earlier for earlier, later in itertools.pairwise(times)) or times[-1] < first_pts:
        raise ValueError("times do not rise")
    return Segment(
        name=segment["name"],
        first=first,
        frame_count=count,
        first_pts=first_pts,
        last_duration=_integer(segment["last_duration"], 1, _MAX_TICKS),
        size=_integer(segment["size"], 1, _MAX_TICKS),
        sha256=_digest(segment["sha256"]),
        end=end,
    )


def _position(fact: object) -> Position:
    position = _mapping(fact, {"frame", "before", "motion"})
    before, motion = position["before"], position["motion"]
    if not isinstance(before, list) or not isinstance(motion, list):
        raise ValueError("a position has no lists")
    if not all(isinstance(value, int | float) and abs(value) < 1e9 for value in motion):
        raise ValueError("motion is no number")
    return Position(
        frame=_integer(position["frame"], 1, _MAX_FRAMES),
        before=tuple(_frame_id(item) for item in before),
        motion=tuple(float(value) for value in motion),
    )


def _frame_id(fact: object) -> FrameId:
    frame_id = _mapping(fact, {"pts", "checksum", "starts_shot"})
    if not isinstance(frame_id["starts_shot"], bool):
        raise ValueError("a frame starts a shot, or it does not")
    pts, checksum = _integer(frame_id["pts"], -_MAX_TICKS, _MAX_TICKS), _integer(frame_id["checksum"], 0, (1 << 32) - 1)
    return FrameId(pts, checksum, frame_id["starts_shot"])


def _mapping(fact: object, names: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(fact, dict) or (names is not None and fact.keys() != names):
        raise ValueError(f"not the facts {', '.join(sorted(names or ()))}")
    return fact


def _integer(value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"no whole number from {least} to {most}")
    return value


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("no digest")
    return value
