"""edvr-cli: restore video with EDVR.

>>> import edvr_cli
>>> edvr_cli.restore_video("in.mp4", "out.mp4", model="edvr-s-x4")  # doctest: +SKIP

The network, its operations and the engine need torch alone; modules that work on files are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edvr_cli.version import __version__

if TYPE_CHECKING:
    from edvr_cli.errors import EdvrError as EdvrError
    from edvr_cli.inference.frames import restore_frames as restore_frames
    from edvr_cli.inference.options import InferenceOptions as InferenceOptions
    from edvr_cli.jobs.options import JobOptions as JobOptions
    from edvr_cli.jobs.options import OutputOptions as OutputOptions
    from edvr_cli.jobs.restore_video import restore_video as restore_video
    from edvr_cli.models.checkpoint import load_model as load_model
    from edvr_cli.network.edvr import EDVR as EDVR
    from edvr_cli.network.model import Model as Model
    from edvr_cli.video.reading.options import InputOptions as InputOptions
    from edvr_cli.video.writing.options import Encoding as Encoding

_HOMES = {
    "EDVR": "edvr_cli.network.edvr",
    "EdvrError": "edvr_cli.errors",
    "Encoding": "edvr_cli.video.writing.options",
    "InferenceOptions": "edvr_cli.inference.options",
    "InputOptions": "edvr_cli.video.reading.options",
    "JobOptions": "edvr_cli.jobs.options",
    "Model": "edvr_cli.network.model",
    "OutputOptions": "edvr_cli.jobs.options",
    "load_model": "edvr_cli.models.checkpoint",
    "restore_frames": "edvr_cli.inference.frames",
    "restore_video": "edvr_cli.jobs.restore_video",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 (all strings)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
