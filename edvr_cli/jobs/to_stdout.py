"""Restored frames streamed to standard output; not resumable."""

from collections.abc import Callable

from edvr_cli.errors import StoppedError
from edvr_cli.events import FrameRestored, Notice, OnEvent
from edvr_cli.jobs.backends import LocalBackend
from edvr_cli.jobs.pipeline import read_rgb, restore_segments
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.jobs.segments import START
from edvr_cli.video.file_names import Y4M
from edvr_cli.video.writing.y4m import PipeWriter

__all__ = ["restore_to_stdout"]


def restore_to_stdout(plan: RestorePlan, backend: LocalBackend, emit: OnEvent, stop: Callable[[], bool]) -> int:
    """Restore every frame of the plan's source and write it to standard output; returns their number.

    Raises StoppedError where ``stop`` says so; it is called as often as a segment would end.
    """
    engine, source = backend.engine, plan.source
    writer = PipeWriter(plan.encoder, source.info.time_base, header=plan.mux.format == Y4M)
    done = 0

    def on_frame() -> None:
        nonlocal done
        done += 1
        emit(FrameRestored(done, plan.total_frames))

    complete = restore_segments(
        read_rgb(source, START, split_at_cuts=plan.job.split_at_cuts, device=engine.staging_device),
        engine,
        writer,
        begin=0,
        end=None,
        limits=plan.limits,
        on_frame=on_frame,
        stop=stop,
    )
    for note in writer.notes:
        emit(Notice(note))
    if not complete:
        raise StoppedError("Standard output did not get the whole video.")
    return writer.count
