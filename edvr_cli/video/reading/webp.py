"""Animated WebP as a video, decoded by Pillow, which is an extra (edvr-cli[webp]): FFmpeg decodes still ones alone."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import VideoFrame

from edvr_cli.errors import InputError
from edvr_cli.video.pixels.layout import nearest_layout
from edvr_cli.video.pixels.planes import is_opaque
from edvr_cli.video.reading.decoder import Warn
from edvr_cli.video.reading.describe import color_of, tags_of
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.source_clock import STEADY, SourceClock

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["AnimatedWebPSource", "is_animated_webp"]

_TICK = Fraction(1, 1000)


@dataclass(frozen=True)
class AnimatedWebPSource:
    """An animated WebP file; its times are milliseconds."""

    path: Path
    rereadable: bool = field(default=True, init=False)

    def describe(self) -> VideoInfo:
        """What its first frame is, and how many there are; decodes them all, because only they know their times."""
        ticks: list[tuple[int, int]] = []
        first: VideoFrame | None = None
        opaque = True
        for frame in self._decoded():
            opaque = opaque and is_opaque(frame)
            first = first or frame
            ticks.append((frame.pts or 0, frame.duration))
        assert first is not None
        duration = sum(ticks[-1]) * _TICK
        return VideoInfo(
            source=self,
            container="webp",
            stream_index=0,
            codec="webp",
            width=first.width,
            height=first.height,
            pix_fmt=first.format.name,
            layout=nearest_layout(first.format.name),
            color=color_of(first),
            time_base=_TICK,
            average_rate=len(ticks) / duration,
            start_time=Fraction(0),
            duration=float(duration),
            frame_count=len(ticks),
            tags=tags_of(first),
            opaque=opaque,
        )

    def frames(self, *, instant: Fraction | None, threads: int, on_warning: Warn) -> Iterator[VideoFrame]:
        """Frames in order, always from the first one: each is drawn over the one before it."""
        yield from self._decoded()

    @property
    def clock(self) -> SourceClock:
        """Durations, added up."""
        return STEADY

    def files(self) -> tuple[Path, ...]:
        """The file itself."""
        return (self.path,)

    def side_streams(self) -> AbstractContextManager[None]:
        """The file has no other streams."""
        return nullcontext()

    def _decoded(self) -> Iterator[VideoFrame]:
        with _opened(self.path) as animation:
            pts = 0
            for number in range(getattr(animation, "n_frames", 1)):
                try:
                    animation.seek(number)
                    picture = animation.convert("RGBA" if "A" in animation.getbands() else "RGB")
                except (OSError, EOFError, ValueError) as error:
                    raise InputError(f"{self.path}: frame {number + 1} of the animation does not decode.") from error
                name = "rgba" if picture.mode == "RGBA" else "rgb24"
                frame = VideoFrame.from_ndarray(np.asarray(picture), format=name)
                # Browsers show a frame of no duration for a tenth of a second.
                frame.pts, frame.time_base = pts, _TICK
                frame.duration = int(animation.info.get("duration", 0)) or 100
                pts += frame.duration
                yield frame


def is_animated_webp(path: Path) -> bool:
    """By the file's first bytes: an extended WebP whose flags say animation."""
    if path.suffix.lower() != ".webp" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(21)
    return len(head) == 21 and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


@contextmanager
def _opened(path: Path) -> Iterator["Image"]:
    if find_spec("PIL") is None:
        raise InputError(f"{path}: animated WebP needs Pillow: pip install 'edvr-cli[webp]'.")
    from PIL import Image  # noqa: PLC0415 (an extra)

    try:
        animation = Image.open(path, formats=["WEBP"])
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is not a readable animation: {error}.") from error
    with animation:
        yield animation
