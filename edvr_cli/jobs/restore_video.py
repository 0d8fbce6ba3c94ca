"""Restore one video: check the request, make the plan, run it."""

import os
from collections.abc import Callable
from pathlib import Path

import torch

from edvr_cli.events import Event, Finished, OnEvent
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.jobs.backends import BackendFactory
from edvr_cli.jobs.options import JobOptions, OutputOptions
from edvr_cli.jobs.plan import plan_restore
from edvr_cli.jobs.request import check_request
from edvr_cli.jobs.runner import run_plan
from edvr_cli.jobs.target_size import TargetSize
from edvr_cli.network.edvr import EDVR
from edvr_cli.network.model import Model
from edvr_cli.video.reading.options import InputOptions

__all__ = ["restore_video"]


def restore_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    model: str | Path | Model | EDVR,
    scale: float | TargetSize | None = None,
    device: str | torch.device = "auto",
    inference: InferenceOptions | None = None,
    input: InputOptions | None = None,
    output: OutputOptions | None = None,
    job: JobOptions | None = None,
    backend: BackendFactory | None = None,
    stop: Callable[[], bool] | None = None,
    on_event: OnEvent | None = None,
) -> Finished:
    """Restore a video into a file with the same frame times, audio, subtitles, chapters and metadata.

    The target appears under its name when it is complete and verified, or not at all. Until then its segments are
    kept in a hidden directory next to it, and the same call continues an interrupted one.

    Args:
        source: a file, numbered pictures (``frames/%06d.png``, or their folder), or ``-`` for standard input.
        target: the same; ``-`` is standard output.
        model: a name, a checkpoint file, or a loaded model or network (whose device is then used).
        scale: enlargement, 1 to the model's, or a size in pixels; None: the model's.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto``, the first available.
        inference, input, output, job: see the classes.
        backend: restores the frames; None: this process. :class:`~edvr_cli.jobs.device_workers.DeviceWorkers` and
            :class:`~edvr_cli.jobs.ray_backend.RayCluster` are others. Standard output is always this process's.
        stop: called after each segment; True stops the work there.
        on_event: receives the events of :mod:`edvr_cli.events`, in the calling thread.

    Raises the subclasses of :class:`~edvr_cli.errors.EdvrError`; StoppedError after ``stop``.
    """
    input, output, job = input or InputOptions(), output or OutputOptions(), job or JobOptions()
    check_request(source, target, input=input, output=output, job=job)
    plan = plan_restore(
        source,
        target,
        model=model,
        scale=scale,
        device=device,
        inference=inference,
        input=input,
        output=output,
        job=job,
    )
    return run_plan(plan, backend=backend, stop=stop or _never, emit=on_event or _ignore)


def _never() -> bool:
    return False


def _ignore(event: Event) -> None:
    pass
