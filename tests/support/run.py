"""Run a restoration with options named one by one, as a test reads best."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from edvr_cli.events import Finished
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.jobs.options import JobOptions, OutputOptions
from edvr_cli.jobs.restore_video import restore_video
from edvr_cli.video.reading.options import InputOptions

__all__ = ["grouped", "restore"]

GROUPS = {"inference": InferenceOptions, "input": InputOptions, "output": OutputOptions, "job": JobOptions}


def grouped(**options: Any) -> dict[str, Any]:
    """Arguments of `restore_video`, of option groups' fields (``crf`` is in ``encoding``) and its other arguments."""
    arguments: dict[str, Any] = {}
    for name, group in GROUPS.items():
        of_group = {field.name: options.pop(field.name) for field in fields(group) if field.name in options}
        if of_group:
            arguments[name] = group(**of_group)
    return {**arguments, **options}


def restore(source: str | Path, target: str | Path, **options: Any) -> Finished:
    """`restore_video` with options named one by one."""
    return restore_video(source, target, **grouped(**options))
