"""The pace that a run can expect: as earlier runs measured it on this machine, or measured on two frames."""

from contextlib import suppress

from edvr_cli.errors import EdvrError
from edvr_cli.jobs.backends import Backend, LocalBackend
from edvr_cli.jobs.estimate import seconds_per_frame
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.jobs.rates import known_pace, store_pace

__all__ = ["expected_pace", "keep_pace"]

_MIN_PIXELS = 500_000  # of all frames; less takes about as long as measuring
_BUDGET = 1.5  # seconds for the measured frames


def expected_pace(plan: RestorePlan, backend: Backend) -> float | None:
    """Seconds per frame; None where it is not worth measuring, or other machines do the work."""
    if not isinstance(backend, LocalBackend) or not _is_long(plan):
        return None
    known = known_pace(plan.model, backend.precision, plan.info.size.pixels)
    if known is not None or plan.inference.torch_compile or not plan.info.source.rereadable:
        return known
    with suppress(EdvrError, RuntimeError):  # what is wrong with the video or the device, the work itself reports
        pace = seconds_per_frame(plan, budget=_BUDGET)
        keep_pace(plan, backend, pace)
        return pace
    return None


def keep_pace(plan: RestorePlan, backend: Backend, seconds: float) -> None:
    """Keep the pace that a run had, for the next one."""
    if isinstance(backend, LocalBackend) and _is_long(plan):
        store_pace(plan.model, backend.precision, plan.info.size.pixels, seconds)


def _is_long(plan: RestorePlan) -> bool:
    frames = plan.total_frames
    return frames is None or frames * plan.info.size.pixels >= _MIN_PIXELS
