"""Numbered pictures as a source of frames."""

from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from av.video.frame import VideoFrame

from edvr_cli.system.limits import cpu_count
from edvr_cli.video.color_profiles import profile_in
from edvr_cli.video.image_sequences import decode_images, gaps
from edvr_cli.video.pixels.color import LINEAR, UNSPECIFIED, ColorSpec, resolve
from edvr_cli.video.pixels.layout import PixelLayout, native_layout, nearest_layout
from edvr_cli.video.pixels.planes import is_opaque
from edvr_cli.video.reading.decoder import Warn
from edvr_cli.video.reading.describe import color_of, tags_of
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.source_clock import STEADY, SourceClock

__all__ = ["DEFAULT_RATE", "ImageSource"]

DEFAULT_RATE = Fraction(25)
# Of JFIF, and of WebP as its library enlarges it. Of video it is usually left.
_CHROMA_LOCATION = "center"
# How a PNG file's header calls its samples, and what they decode to, for up to 8 bits and for 16.
_PNG_TYPES = {0: ("gray", "gray16be"), 2: ("rgb24", "rgb48be"), 4: ("ya8", "ya16be"), 6: ("rgba", "rgba64be")}
_PNG_TRANSPARENT = {0: ("ya8", "ya16be"), 2: ("rgba", "rgba64be")}


@dataclass(frozen=True)
class ImageSource:
    """Numbered pictures, ``rate`` of them per second; their times are their places in the sequence."""

    path: Path
    pictures: tuple[Path, ...]
    rate: Fraction | None = None
    rereadable: bool = field(default=True, init=False)

    def describe(self) -> VideoInfo:
        """What is in the first picture, what holds all of them, and how many there are."""
        _, frame = next(decode_images(self.pictures))
        first = nearest_layout(frame.format.name)
        layout = common_layout({first, *self._other_layouts})
        tags = tags_of(frame)
        # A layout of none of the pictures has a color of its own; then each says what it is.
        own = first == layout
        rate = self.rate or DEFAULT_RATE
        told = self.rate is not None or len(self.pictures) == 1
        notes = [] if told else [f"Pictures have no frame rate: {rate} per second are assumed."]
        missing = gaps(self.pictures)
        if missing:
            notes.append(f"{missing} numbers between the first and the last picture have no picture.")
        count = len(self.pictures)
        return VideoInfo(
            source=self,
            container="pictures",
            stream_index=0,
            codec=self.pictures[0].suffix.lower().removeprefix("."),
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.format.name if own else layout.name,
            layout=layout,
            color=color_of(frame, _CHROMA_LOCATION) if own else _color_of_all(layout, frame),
            tags=tags if own else ("", UNSPECIFIED, 0, UNSPECIFIED, UNSPECIFIED),
            time_base=1 / rate,
            average_rate=rate,
            start_time=Fraction(0),
            duration=float(count / rate),
            frame_count=count,
            notes=tuple(notes),
            opaque=is_opaque(frame),
            color_profile=profile_in(self.pictures[0].read_bytes()),
        )

    @cached_property
    def _other_layouts(self) -> frozenset[PixelLayout]:
        """Those of all pictures but the first; decodes the ones whose headers are not read here."""
        with ThreadPoolExecutor(cpu_count()) as pool:
            return frozenset(pool.map(_layout_of, self.pictures[1:]))

    def frames(self, *, instant: Fraction | None, threads: int, on_warning: Warn) -> Iterator[VideoFrame]:
        """The pictures in order, from the one shown at ``instant`` (seconds)."""
        rate = self.rate or DEFAULT_RATE
        first = 0 if instant is None else max(0, int(instant * rate))
        for index, frame in decode_images(self.pictures, first=first, threads=threads, on_warning=on_warning):
            frame.pts, frame.time_base, frame.duration = index, 1 / rate, 1
            yield frame

    def files(self) -> tuple[Path, ...]:
        """The pictures."""
        return self.pictures

    @property
    def clock(self) -> SourceClock:
        """Places in the sequence."""
        return STEADY

    def side_streams(self) -> AbstractContextManager[None]:
        """Pictures have no other streams."""
        return nullcontext()


def common_layout(layouts: Set[PixelLayout]) -> PixelLayout:
    """A layout that holds what pictures of different ones have: the color, depth and transparency of all."""
    if len(layouts) == 1:
        return next(iter(layouts))
    colored = [layout for layout in layouts if layout.family != "gray"]
    alpha = any(layout.alpha for layout in layouts)
    deep = any(layout.depth > 8 for layout in layouts)
    if colored and not alpha and not deep and all(layout.family == "yuv" for layout in colored):
        return min(colored, key=lambda layout: layout.shift_x + layout.shift_y)
    if any(layout.floating for layout in layouts):
        name = "gbrapf32le" if alpha else "gbrpf32le" if colored else "grayf32le"
    elif colored:
        name = ("rgba64le" if deep else "rgba") if alpha else ("rgb48le" if deep else "rgb24")
    else:
        name = ("ya16le" if deep else "ya8") if alpha else ("gray16le" if deep else "gray")
    layout = native_layout(name)
    assert layout is not None
    return layout


def _color_of_all(layout: PixelLayout, frame: VideoFrame) -> ColorSpec:
    transfer = LINEAR if layout.floating else UNSPECIFIED
    return resolve(
        layout, frame.width, frame.height, color_range=2, transfer=transfer, chroma_location=_CHROMA_LOCATION
    )


def _layout_of(path: Path) -> PixelLayout:
    """By the header of a PNG file, else by decoding. Raises InputError as `decode_images` does."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    depth, kind = (head[24], head[25]) if head.startswith(b"\x89PNG") and len(head) > 40 else (0, None)
    name = _PNG_TYPES.get(kind) if kind is not None else None
    if name is not None and kind is not None and b"acTL" not in head:
        chunks = head[: head.find(b"IDAT")]
        name = _PNG_TRANSPARENT.get(kind, name) if b"tRNS" in chunks else name
        layout = native_layout(name[depth == 16])
        assert layout is not None
        return layout
    _, frame = next(decode_images([path]))
    return nearest_layout(frame.format.name)
