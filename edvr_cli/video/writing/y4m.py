"""Restored frames on standard output: a y4m stream, or raw samples."""

import sys
from collections.abc import Sequence
from fractions import Fraction
from types import TracebackType
from typing import BinaryIO, Self, TextIO

from torch import Tensor

from edvr_cli.errors import OutputError, reason_of
from edvr_cli.system.pipes import write_all
from edvr_cli.video.pixels.layout import PixelLayout
from edvr_cli.video.writing.encoders import EncoderPlan

_CHROMA = {(1, 1): "420", (1, 0): "422", (0, 0): "444"}
# What y4m calls the places of 8-bit 4:2:0 chroma; deeper samples have no names for it.
_SITINGS = {"left": "420mpeg2", "topleft": "420paldv", "center": "420jpeg"}


class PipeWriter:
    """Writes frames to standard output, or another binary ``stream``; a context manager.

    ``header`` writes what y4m readers need before and between the frames; without it there are samples only, plane
    after plane. Raises OutputError where the reader has gone.
    """

    def __init__(
        self, encoder: EncoderPlan, time_base: Fraction, *, header: bool, stream: BinaryIO | None = None
    ) -> None:
        self.encoder = encoder
        self._time_base = time_base
        self.count = 0
        if stream is None and sys.stdout is None:
            raise OutputError("Standard output is closed.")
        self._stream = stream if stream is not None else _unbuffered(sys.stdout)
        self._header = header
        self._first: Fraction | None = None
        self._uneven = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write()

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what the pipe format could not express."""
        if not self._uneven:
            return ()
        return (f"The source's frame times vary; the pipe gets {float(self.encoder.rate):g} frames per second.",)

    def write(self, number: int, planes: Sequence[Tensor], pts: int, duration: int | None = None) -> None:
        """Write frame ``number``: planes of the encoder's layout on the CPU, its time in ticks."""
        seconds = pts * self._time_base
        if self._first is None:
            self._first = seconds
            if self._header:
                self._write(f"{y4m_header(self.encoder)}\n".encode())
        even = self._first + self.count / self.encoder.rate
        self._uneven |= abs(seconds - even) * self.encoder.rate > Fraction(1, 2)
        stored = self.encoder.layout.stored_dtype
        parts = [b"FRAME\n"] if self._header else []
        self._write(*parts, *(plane.numpy().astype(stored, copy=False).tobytes() for plane in planes))
        self.count += 1

    def end(self, position: object) -> None:
        """Segments do not matter for a pipe."""

    def _write(self, *parts: bytes) -> None:
        try:
            for part in parts:
                if isinstance(self._stream, int):
                    write_all(self._stream, part)
                else:
                    self._stream.write(part)
            if not isinstance(self._stream, int):
                self._stream.flush()
        except BrokenPipeError as error:
            raise OutputError("Standard output was closed by its reader before the video's end.") from error
        except OSError as error:
            raise OutputError(f"Standard output cannot be written: {reason_of(error)}.") from error


def _unbuffered(stream: TextIO) -> int | BinaryIO:
    """A stream's descriptor, where it has one: writing to that can be left while the other end stalls."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return stream.buffer


def y4m_header(plan: EncoderPlan) -> str:
    """The first line of a y4m stream."""
    aspect = plan.sample_aspect_ratio
    color = "FULL" if plan.color.full_range else "LIMITED"
    return (
        f"YUV4MPEG2 W{plan.width} H{plan.height} F{plan.rate.numerator}:{plan.rate.denominator} Ip "
        f"A{aspect.numerator}:{aspect.denominator} C{_chroma(plan.layout, plan.color.chroma_location)} "
        f"XCOLORRANGE={color}"
    )


def _chroma(layout: PixelLayout, siting: str) -> str:
    if layout.family == "gray":
        return "mono" if layout.depth == 8 else f"mono{layout.depth}"
    if layout.alpha:
        return "444alpha"
    name = _CHROMA[layout.shift_x, layout.shift_y]
    if layout.depth > 8:
        return f"{name}p{layout.depth} XYSCSS={name.upper()}P{layout.depth}"
    return _SITINGS.get(siting, "420jpeg") if name == "420" else name
