"""Backends, which restore the frames of a job: this process, or others."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edvr_cli.events import Notice, OnEvent
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import Precision
from edvr_cli.inference.precision import name_of
from edvr_cli.jobs.manifest import MissingRange
from edvr_cli.jobs.pipeline import read_rgb, restore_segments
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.jobs.segment_files import SegmentWriter
from edvr_cli.jobs.segments import Segment, SegmentLimits
from edvr_cli.jobs.source_range import SourceRange
from edvr_cli.jobs.worker_engine import check_memory
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["Backend", "BackendFactory", "LocalBackend", "RestoreContext"]


@dataclass(frozen=True)
class RestoreContext:
    """What all missing ranges of a job have in common.

    ``on_segment`` receives each segment that is in ``directory``, ``on_frame`` is called after each frame, and
    ``stop`` after each segment.
    """

    source: SourceRange
    encoder: EncoderPlan
    directory: Path
    split_at_cuts: bool
    limits: SegmentLimits
    on_segment: Callable[[Segment], None]
    on_frame: Callable[[], None]
    stop: Callable[[], bool]


class Backend(Protocol):
    """Restores missing ranges of one video.

    ``tile`` is the largest side of a tile (0: whole frames); ``notes`` are sentences for the user; ``here`` says
    whether it works on this machine's devices alone.
    """

    here: bool
    device: str
    precision: Precision
    tile: int
    notes: tuple[str, ...]

    @property
    def workers(self) -> int:
        """How many segments are restored at once."""

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""

    def restore_range(self, missing: MissingRange, context: RestoreContext) -> bool:
        """Restore the frames of ``missing`` into segments. Returns False where it was stopped before the end."""


class BackendFactory(Protocol):
    """Makes the backend for a plan; it reports to ``emit``."""

    def __call__(self, plan: RestorePlan, emit: OnEvent) -> Backend:
        """A backend that has chosen its tiles."""


class LocalBackend:
    """Restores with an engine in this process."""

    here = True
    workers = 1

    def __init__(self, plan: RestorePlan, emit: OnEvent) -> None:
        self.engine = StreamingEDVR(plan.model, plan.inference, on_notice=lambda sentence: emit(Notice(sentence)))
        self._size = plan.info.height, plan.info.width
        self.engine.prepare(*self._size)
        self.device = str(self.engine.device)
        self.precision = name_of(self.engine.dtype)
        self.notes = tuple(self.engine.notes)
        self.tile = self.engine.tile_size
        check_memory(self.engine, plan.info)

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""
        self.engine.use_tile(tile, *self._size)
        self.tile = self.engine.tile_size

    def restore_range(self, missing: MissingRange, context: RestoreContext) -> bool:
        """Restore the frames of ``missing`` into segments. Returns False where it was stopped before the end."""
        engine = self.engine
        engine.prepare(*self._size)  # Frame numbers do not continue those of the last range.
        return restore_segments(
            read_rgb(context.source, missing.begin, split_at_cuts=context.split_at_cuts, device=engine.staging_device),
            engine,
            SegmentWriter(context.directory, context.encoder, context.source.info.time_base, context.on_segment),
            begin=missing.begin.frame,
            end=missing.end,
            limits=context.limits,
            on_frame=context.on_frame,
            stop=context.stop,
        )
