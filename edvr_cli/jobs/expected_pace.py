"""The expected pace of a run: from earlier runs on this machine, or measured on two frames."""

from contextlib import suppress

from edvr_cli.errors import EdvrError
from edvr_cli.jobs.backends import Backend
from edvr_cli.jobs.estimate import seconds_per_frame
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.jobs.rates import known_pace, store_pace

__all__ = ["expected_pace", "keep_pace"]

_MIN_PIXELS = 500_000  # of all frames; shorter runs take about as long as measuring
_BUDGET = 1.5  # seconds for the measured frames


def expected_pace(plan: RestorePlan, backend: Backend) -> float | None:
    """Seconds per frame, of all workers together; None where it is not worth measuring, or other machines do the work.

    Workers on the CPU share its cores, and are about as fast as one; a GPU each is that many times as fast.
    """
    if not backend.here or not _is_long(plan):
        return None
    gpus = 1 if plan.model.device.type == "cpu" else backend.workers
    known = known_pace(plan.model, backend.precision, plan.info.size.pixels)
    if known is not None:
        return known * plan.inference.tta / gpus
    # The GPU's memory is the workers' already.
    if gpus > 1 or plan.inference.torch_compile or not plan.info.source.rereadable:
        return None
    with suppress(EdvrError, RuntimeError):  # the run itself reports faults of the video or the device
        pace = seconds_per_frame(plan, budget=_BUDGET)
        keep_pace(plan, backend, pace)
        return pace
    return None


def keep_pace(plan: RestorePlan, backend: Backend, seconds: float) -> None:
    """Store the pace of a run, for the next one."""
    if backend.here and backend.workers == 1 and _is_long(plan):
        store_pace(plan.model, backend.precision, plan.info.size.pixels, seconds / plan.inference.tta)


def _is_long(plan: RestorePlan) -> bool:
    frames = plan.total_frames
    return frames is None or frames * plan.info.size.pixels >= _MIN_PIXELS
