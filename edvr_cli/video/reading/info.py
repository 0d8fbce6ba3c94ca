"""Facts about a source as plain data, and what a source can do."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

from av.container import InputContainer
from av.video.frame import VideoFrame

from edvr_cli.image.turns import UNTURNED, Turn
from edvr_cli.size import Size
from edvr_cli.video.containers import readable
from edvr_cli.video.pixels.color import ColorSpec
from edvr_cli.video.pixels.hdr import HdrMetadata
from edvr_cli.video.pixels.layout import PixelLayout
from edvr_cli.video.reading.source_clock import SourceClock

StreamKind = Literal["video", "audio", "subtitle", "data", "attachment", "unknown"]


class Source(Protocol):
    """A file, numbered pictures, or a pipe: the frames of one video, and the other streams."""

    @property
    def path(self) -> Path:
        """Path or label used in messages."""

    @property
    def rereadable(self) -> bool:
        """Whether it can be read again, and from the middle."""

    def describe(self) -> "VideoInfo":
        """Describe it; decodes one frame. Raises InputError where none decodes."""

    def frames(
        self, *, instant: Fraction | None, threads: int, on_warning: Callable[[str], None]
    ) -> Iterator[VideoFrame]:
        """Decoded frames in display order, from the start or from a little before ``instant`` (seconds)."""

    @property
    def clock(self) -> SourceClock:
        """Its clock, corrected where it jumps."""

    def files(self) -> tuple[Path, ...]:
        """Its files, for the fingerprint; none for a pipe."""

    def side_streams(self) -> AbstractContextManager[InputContainer | None]:
        """The container with the other streams, to be closed; None where there are none to be had."""


@dataclass(frozen=True)
class StreamInfo:
    """One of the other streams: its number in the file, kind, codec, and properties."""

    index: int
    kind: StreamKind
    codec: str
    language: str | None = None
    title: str | None = None
    dispositions: tuple[str, ...] = ()
    cover: bool = False
    sample_rate: int | None = None
    channels: int | None = None


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a source: its video as it decodes, and its other streams.

    Attributes:
        width, height: pixels of a decoded frame, cropping honored.
        pix_fmt: as decoded; ``layout`` is the native layout that the reader hands out.
        time_base: seconds per tick; average_rate: frames per second, None where unknown.
        start_time: seconds on the file's clock at which it begins; ranges count from here.
        frame_count: what the file claims, or duration times rate; an estimate, None where unknown.
        unkept: metadata of frames that no encoder here can write: "Dolby Vision".
        tags: of the frame that ``color`` is the color of, as `tags_of` gives them.
        opaque: whether the frames that were looked at have no transparency, or have it nowhere.
        color_profile: ICC profile of the first frame; pictures of a sequence may have one each.
        share: how much of the bytes that the file promises is there.
        notes: sentences on what is assumed about the source, for the user.
        metadata: tags, bytes that are not UTF-8 kept as surrogates: see ``readable_metadata``.
        rotation: degrees counter-clockwise to turn a frame for display; ``display_matrix`` also mirrors.
    """

    source: Source
    container: str
    stream_index: int
    codec: str
    width: int
    height: int
    pix_fmt: str
    layout: PixelLayout
    color: ColorSpec
    time_base: Fraction
    average_rate: Fraction | None
    start_time: Fraction
    duration: float | None
    frame_count: int | None
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation: int = 0
    display_matrix: tuple[int, ...] | None = None
    interlaced: bool = False
    hdr: HdrMetadata = field(default_factory=HdrMetadata)
    unkept: tuple[str, ...] = ()
    streams: tuple[StreamInfo, ...] = ()
    chapters: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tags: tuple[str, int, int, int, int] | None = None
    opaque: bool = False
    color_profile: bytes | None = None
    share: float = 1.0

    @property
    def path(self) -> Path:
        """Path or label used in messages."""
        return self.source.path

    @property
    def depth(self) -> int:
        """Bits per sample."""
        return self.layout.depth

    @property
    def size(self) -> Size:
        """Size of the frames as they are stored."""
        return Size(self.width, self.height)

    @property
    def display_size(self) -> Size:
        """Size in square pixels as a player shows it, aspect ratio and rotation applied."""
        stored = Size(round(self.width * self.sample_aspect_ratio), self.height)
        return stored.turned() if self.rotation % 180 else stored

    @property
    def upright(self) -> Turn | None:
        """What makes the frames as a player shows them; None for an angle between right ones."""
        return UNTURNED if self.display_matrix is None else Turn.of_display_matrix(self.display_matrix)

    def turned(self, turn: Turn) -> "VideoInfo":
        """The facts of the same frames once ``turn``, which makes them upright, has been applied."""
        if turn == UNTURNED:
            return self
        size, aspect = self.size, self.sample_aspect_ratio
        if turn.transposed:
            size, aspect = size.turned(), 1 / aspect
        return replace(
            self,
            width=size.width,
            height=size.height,
            sample_aspect_ratio=aspect,
            rotation=0,
            display_matrix=None,
        )

    @property
    def readable_metadata(self) -> dict[str, str]:
        """The tags as they can be printed."""
        return {readable(key): readable(value) for key, value in self.metadata.items()}

    def measured(self) -> "VideoInfo":
        """The same with the count and the length of a source whose clock jumps, which its container cannot know."""
        clock = self.source.clock
        if not clock.jumps or clock.end is None:
            return self
        count = clock.packets.get(self.stream_index, self.frame_count)
        return replace(self, frame_count=count, duration=float(clock.end - self.start_time))

    def of_kind(self, kind: StreamKind) -> tuple[StreamInfo, ...]:
        """The other streams of one kind, cover art left out."""
        return tuple(stream for stream in self.streams if stream.kind == kind and not stream.cover)


def plain_rate(rate: Fraction) -> Fraction:
    """A frame rate in numbers that any header holds: beyond 1/1001, near is near enough."""
    return rate.limit_denominator(1001) or Fraction(1, min(round(1 / rate), (1 << 31) - 1))
