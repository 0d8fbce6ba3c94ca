"""The journal of a job: its settings and finished segments, one line of JSON per fact, only ever appended.

The first line says what is restored and how; each further line that a segment is finished, that the last frame was
reached, or that the output is complete. A line is on disk before the work continues, and carries a checksum: a line
that a power failure cut short, or that was damaged later, is ignored, and its segment is restored again.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edvr_cli.errors import OutputError, reason_of
from edvr_cli.jobs.manifest_facts import (
    checked_choices,
    checked_count,
    checked_identity,
    checked_segment,
    checked_settings,
    checked_source,
)
from edvr_cli.jobs.segments import START, Position, Segment
from edvr_cli.system.files import append_to, read_regular, write_file

__all__ = ["FORMAT", "Header", "Manifest", "MissingRange", "file_identity"]

FORMAT = 2  # of the manifest; others are refused


@dataclass(frozen=True)
class Header:
    """What decides a job's frames: a run with another header cannot continue the job.

    ``choices`` were made by the first run where the user left them open, and apply to all later runs.
    """

    source: Mapping[str, Any]
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    choices: Mapping[str, int] = field(default_factory=dict)

    def changes(self, other: "Header") -> list[str]:
        """The differences of ``other``, in words: ``scale (2 → 4)``."""
        found = []
        if self.source != other.source:
            found.append("the input's content")
        if self.model["sha256"] != other.model["sha256"]:
            names = self.model["name"], other.model["name"]
            found.append("the model ({} → {})".format(*names) if names[0] != names[1] else "the model's content")
        for name in sorted({*self.settings, *other.settings}):
            before, after = self.settings.get(name), other.settings.get(name)
            if before != after:
                found.append(f"{name} ({_text(before)} → {_text(after)})")
        return found


@dataclass(frozen=True)
class MissingRange:
    """Frames still to be restored: from ``begin`` to number ``end`` (exclusive; None: the last)."""

    begin: Position
    end: int | None


class Manifest:
    """The facts of a job, read from the file ``path`` and appended to it."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        self.segments: list[Segment] = []
        self.frame_count: int | None = None  # of the whole video, once its end was reached
        self.output: Mapping[str, int] | None = None  # the finished file's identity, once it is verified

    @classmethod
    def create(cls, path: Path, header: Header) -> "Manifest":
        """Begin a job; replaces the manifest of another."""
        write_file(path, f"{_line({'edvr': FORMAT, **asdict(header)})}\n".encode())
        return cls(path, header)

    @classmethod
    def read(cls, path: Path) -> "Manifest | None":
        """The manifest at ``path``, or None for none. Raises OutputError where its first line cannot be used."""
        try:
            lines = read_regular(path).split(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{path} cannot be read: {reason_of(error)}.") from error
        first = _parse(lines[0])
        if first is None or "edvr" not in first:
            raise OutputError(f"{path} is damaged, so that its segments cannot be used.", hint="fresh")
        try:
            manifest = cls(path, _header(first))
        except ValueError as error:
            raise OutputError(f"{path} was written by another version of this program.", hint="fresh") from error
        for line in lines[1:]:
            manifest._take(_parse(line) or {})
        return manifest

    def add(self, segment: Segment) -> None:
        """Record a finished segment."""
        self._append({"segment": asdict(segment)})
        self.segments.append(segment)

    def set_end(self, frame_count: int) -> None:
        """Record that the source has ``frame_count`` frames and no more."""
        self._append({"frame_count": frame_count})
        self.frame_count = frame_count

    def doubt_end(self) -> None:
        """Drop the number of frames: the source has more."""
        self.frame_count = None

    def set_output(self, output: Mapping[str, int]) -> None:
        """Record that the output is complete and about to be renamed; ``output`` is its `file_identity`."""
        self._append({"output": output})
        self.output = output

    def keep(self, is_whole: Callable[[Segment], bool]) -> None:
        """Drop segments that are damaged or overlap others."""
        kept: list[Segment] = []
        for segment in sorted(self.segments, key=lambda item: item.first):
            follows = not kept or segment.first >= kept[-1].end.frame
            if follows and is_whole(segment):
                kept.append(segment)
        self.segments = kept

    def missing_ranges(self) -> Iterator[MissingRange]:
        """The frames that no segment contains."""
        begin = START
        for segment in self.segments:
            if segment.first > begin.frame:
                yield MissingRange(begin, segment.first)
            begin = segment.end
        if self.frame_count is None or begin.frame < self.frame_count:
            yield MissingRange(begin, self.frame_count)

    def frames_done(self) -> int:
        """Number of frames in the segments."""
        return sum(segment.frame_count for segment in self.segments)

    def _take(self, fact: Mapping[str, Any]) -> None:
        """Take a fact over; one that cannot be true is ignored, and its segment is restored again."""
        with suppress(ValueError):
            if "segment" in fact:
                self.segments.append(checked_segment(fact["segment"], self.header.settings["window"]))
            if "frame_count" in fact:
                self.frame_count = checked_count(fact["frame_count"])
            if "output" in fact:
                self.output = checked_identity(fact["output"])

    def _append(self, fact: Mapping[str, Any]) -> None:
        # The newline first: an interrupted run may have left half a line.
        append_to(self.path, f"\n{_line(fact)}\n".encode())


def _line(fact: Mapping[str, Any]) -> str:
    text = json.dumps(fact, separators=(",", ":"))
    return json.dumps({"crc": zlib.crc32(text.encode()), "fact": fact}, separators=(",", ":"))


def _parse(line: bytes) -> dict[str, Any] | None:
    """The fact in a line, or None for one that is damaged."""
    try:
        content = json.loads(line)
        fact = content["fact"]
        text = json.dumps(fact, separators=(",", ":"))
        return fact if isinstance(fact, dict) and zlib.crc32(text.encode()) == content["crc"] else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _header(fact: Mapping[str, Any]) -> Header:
    """The first line's facts. Raises ValueError where they are not those of this version."""
    if fact.keys() != {"edvr", "source", "model", "settings", "choices"} or fact["edvr"] != FORMAT:
        raise ValueError("other facts")
    header = Header(
        source=checked_source(fact["source"]),
        model=checked_settings(fact["model"]),
        settings=checked_settings(fact["settings"]),
        choices=checked_choices(fact["choices"]),
    )
    if header.model.keys() != {"name", "sha256"}:
        raise ValueError("another model's facts")
    checked_count(header.settings.get("window"))
    return header


def file_identity(path: Path) -> dict[str, int]:
    """Properties of a file that renaming does not change."""
    facts = path.stat()
    return {"size": facts.st_size, "modified": facts.st_mtime_ns, "inode": facts.st_ino}


def _text(value: object) -> str:
    return "none" if value is None else str(value)
