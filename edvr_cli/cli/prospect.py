"""What a run would take: memory of each device, disk space and time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edvr_cli.inference.options import describe_look
from edvr_cli.system.device_names import device_label
from edvr_cli.system.text import format_bytes, format_estimate

if TYPE_CHECKING:
    from edvr_cli.jobs.estimate import Estimate
    from edvr_cli.jobs.plan import RestorePlan

__all__ = ["Prospect", "prospect_of"]


@dataclass(frozen=True)
class Prospect:
    """The plan of a run, what it takes of each device, and the seconds per frame (None: not measured)."""

    plan: RestorePlan
    estimates: tuple[Estimate, ...]
    pace: float | None

    @property
    def devices(self) -> str:
        """Their names in a line."""
        return device_label(str(each.device) for each in self.estimates)

    @property
    def seconds(self) -> float | None:
        """For all frames."""
        frames = self.plan.total_frames
        return None if self.pace is None or not frames else self.pace * frames

    def sentences(self) -> Iterator[str]:
        """Disk space, memory and time, a sentence each."""
        from edvr_cli.jobs.disk_space import output_bytes, space_needed  # noqa: PLC0415 (torch takes seconds)

        plan = self.plan
        if frames := plan.total_frames:
            size, space = (
                format_bytes(count(plan.encoder, plan.info, frames)) for count in (output_bytes, space_needed)
            )
            yield f"Output: about {size}; {space} of disk space during the work."
        if len(self.estimates) > 1:
            yield f"Devices: {self.devices}, a worker process each."
        look = describe_look(plan.inference)
        for each in dict.fromkeys(self.estimates):
            pieces = f"tiles of {each.tile} pixels" if each.tile else "whole frames"
            free = "" if each.free is None else f", of {format_bytes(each.free)} available"
            whose = " for each worker" if self.estimates.count(each) > 1 else ""
            yield (
                f"Memory: about {format_bytes(each.memory)} for the network{free}{whose} "
                f"({each.model} on {each.device}, {each.precision}, {pieces}{look})."
            )
        if self.pace is None:
            yield "Time: use --measure to estimate it."
        else:
            total = "" if self.seconds is None else f", {format_estimate(self.seconds)} in total"
            yield f"Time: {self.pace:.2g} s per frame, measured{total}; decoding and encoding run in parallel."

    def facts(self) -> dict[str, Any]:
        """The same for JSON; what is outside of ``devices`` is of the first one."""
        work = self.estimates[0]
        return {
            "model": work.model,
            "device": self.devices,
            "precision": work.precision,
            "tile": work.tile,
            "strength": self.plan.inference.strength,
            "sharpen": self.plan.inference.sharpen,
            "tta": self.plan.inference.tta,
            "memory": work.memory,
            "free_memory": work.free,
            "devices": [
                {
                    "device": str(each.device),
                    "precision": each.precision,
                    "tile": each.tile,
                    "memory": each.memory,
                    "free_memory": each.free,
                }
                for each in self.estimates
            ],
            "seconds_per_frame": self.pace,
            "seconds": self.seconds,
        }


def prospect_of(plan: RestorePlan, devices: tuple[str, ...], *, measure: bool) -> Prospect:
    """What a run of ``plan`` on ``devices`` takes; ``measure``: restore a few frames for the time."""
    return Prospect(plan, _estimates(plan, devices), _pace(plan, devices, measure=measure))


def _estimates(plan: RestorePlan, devices: tuple[str, ...]) -> tuple[Estimate, ...]:
    """What a run takes of each device; several on the CPU share its memory."""
    import torch  # noqa: PLC0415 (torch takes seconds)

    from edvr_cli.jobs.device_workers import engine_setups  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.jobs.estimate import estimate  # noqa: PLC0415 (torch takes seconds)

    if len(devices) == 1:
        return (estimate(plan),)
    return tuple(
        estimate(replace(plan, inference=setup.inference), torch.device(setup.device))
        for setup in engine_setups(plan, devices)
    )


def _pace(plan: RestorePlan, devices: tuple[str, ...], *, measure: bool) -> float | None:
    """Seconds per frame of all devices together: measured now, or by an earlier run on this machine."""
    from edvr_cli.jobs.estimate import estimate, seconds_per_frame  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.jobs.rates import known_pace, store_pace  # noqa: PLC0415 (likewise)

    pixels, precision = plan.info.width * plan.info.height, estimate(plan).precision
    gpus = sum(name != "cpu" for name in devices) or 1  # workers on the CPU share its cores
    if not measure:
        known = known_pace(plan.model, precision, pixels)
        return None if known is None else known / gpus
    pace = seconds_per_frame(plan)
    store_pace(plan.model, precision, pixels, pace)
    return pace / gpus
