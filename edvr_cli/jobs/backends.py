"""Who restores a job's segments: this machine, or others that are told to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from edvr_cli.errors import DeviceError
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.memory_plan import free_memory
from edvr_cli.inference.precision import Precision, name_of
from edvr_cli.jobs.manifest import Gap
from edvr_cli.jobs.pipeline import decode, restore_segments
from edvr_cli.jobs.segment_files import SegmentWriter
from edvr_cli.jobs.segments import Lengths, Segment
from edvr_cli.jobs.source_range import Excerpt
from edvr_cli.network.edvr import EDVR
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["Hire", "ThisMachine", "Work", "Workers"]

_DOUBT = 1.2  # the need is an estimate


@dataclass(frozen=True)
class Work:
    """A job's part that does not change from gap to gap.

    ``on_segment`` is told of each segment that is in ``directory``, ``on_frame`` called after each frame, and
    ``stop`` asked between segments.
    """

    source: Excerpt
    encoder: EncoderPlan
    directory: Path
    shots: bool
    lengths: Lengths
    on_segment: Callable[[Segment], None]
    on_frame: Callable[[], None]
    stop: Callable[[], bool]


class Workers(Protocol):
    """Restores gaps; ``tile`` is the largest side of a tile's core (0: whole frames), ``notes`` what to say first."""

    device: str
    precision: Precision
    tile: int
    notes: tuple[str, ...]

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""

    def fill(self, gap: Gap, work: Work) -> bool:
        """Restore the frames of ``gap`` into segments. True when all is done, False when it was stopped before."""


class Hire(Protocol):
    """Finds workers for a video: its network, what it is, and how it is to be restored."""

    def __call__(
        self, model: EDVR, info: VideoInfo, *, precision: Precision, compiled: bool, tile: int | None, halo: int
    ) -> Workers:
        """Workers that have chosen their tiles."""


class ThisMachine:
    """Restores with an engine of this process."""

    def __init__(self, engine: StreamingEDVR, info: VideoInfo) -> None:
        self._engine = engine
        self._size = info.height, info.width
        self.device = str(engine.device)
        self.precision = name_of(engine.dtype)
        self.notes = tuple(engine.notes)
        engine.prepare(*self._size)
        self.tile = engine.tile_size
        self._check_memory(info)

    def _check_memory(self, info: VideoInfo) -> None:
        """Raises DeviceError where a processor's memory cannot do, rather than have the system end the process."""
        device, needed = self._engine.device, self._engine.memory_needed()
        free = free_memory(device) if device.type == "cpu" else None
        if free is not None and needed > free * _DOUBT:
            how = f"tiles of {self.tile} pixels" if self.tile else "whole frames"
            raise DeviceError(
                f"Frames of {info.width}×{info.height} need about {needed / 1e9:.1f} GB of memory in {how}, and "
                f"{free / 1e9:.1f} GB are free: restore smaller pictures, or free some memory."
            )

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""
        self._engine.tile = tile
        self._engine.prepare(*self._size)
        self.tile = self._engine.tile_size

    def fill(self, gap: Gap, work: Work) -> bool:
        """Restore the frames of ``gap`` into segments. True when all is done, False when it was stopped before."""
        engine = self._engine
        engine.prepare(*self._size)  # Frames are numbered anew.
        # Frames that are too large for the device's memory wait on the host.
        device = engine.device if engine.whole_frames else torch.device("cpu")
        return restore_segments(
            decode(work.source, gap.begin, shots=work.shots, device=device),
            engine,
            SegmentWriter(work.directory, work.encoder, work.source.info.time_base, work.on_segment),
            begin=gap.begin.frame,
            end=gap.end,
            lengths=work.lengths,
            on_frame=work.on_frame,
            stop=work.stop,
        )
