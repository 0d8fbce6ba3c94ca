"""edvr-cli: restore video with EDVR.

>>> import edvr_cli
>>> edvr_cli.restore_video("in.mp4", "out.mp4", model="edvr-s-x4")  # doctest: +SKIP

The network, its operations and the engine need torch alone; what works on files is imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edvr_cli.errors import EdvrError as EdvrError
    from edvr_cli.inference.frames import restore_frames as restore_frames
    from edvr_cli.jobs.restore_video import restore_video as restore_video
    from edvr_cli.models.checkpoint import load_model as load_model
    from edvr_cli.network.edvr import EDVR as EDVR
    from edvr_cli.video.writing.options import Encoding as Encoding

__version__ = "0.1.0"

_HOMES = {
    "EDVR": "edvr_cli.network.edvr",
    "EdvrError": "edvr_cli.errors",
    "Encoding": "edvr_cli.video.writing.options",
    "load_model": "edvr_cli.models.checkpoint",
    "restore_frames": "edvr_cli.inference.frames",
    "restore_video": "edvr_cli.jobs.restore_video",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 (all strings)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
