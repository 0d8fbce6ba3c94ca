"""A rehearsal of the whole work: three frames of a tiny video are made, read, restored, written and verified."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from edvr_cli.errors import EdvrError
from edvr_cli.inference.frames import restore_frames
from edvr_cli.jobs.restore_video import restore_video
from edvr_cli.models.checkpoint import load_model
from edvr_cli.models.registry import default_model
from edvr_cli.system.installation import Fault, named_versions
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import probe
from edvr_cli.video.writing.preview_clip import write_clip

__all__ = ["Rehearsal", "rehearse"]

_FRAMES = 3
_HEIGHT, _WIDTH = 32, 48
_VIDEO = ("av", "imageio-ffmpeg", "numpy")
_NETWORK = ("torch", "numba", "llvmlite", "triton")
_REINSTALL_AV = "pip install --force-reinstall 'av>=18,<20'"
_REINSTALL = "install edvr-cli again: pip install --force-reinstall --no-deps edvr-cli, from where it came from"


@dataclass(frozen=True)
class Rehearsal:
    """How long it took, and the first step that failed, if one did."""

    device: str
    seconds: float
    fault: Fault | None


class _StepError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


def rehearse(device: torch.device) -> Rehearsal:
    """Restore three frames on ``device``, in a folder that is removed."""
    began = time.perf_counter()
    fault = None
    try:
        with tempfile.TemporaryDirectory(prefix="edvr-doctor-") as folder:
            _perform(Path(folder), device)
    except _StepError as error:
        fault = error.fault
    return Rehearsal(str(device), time.perf_counter() - began, fault)


def _perform(folder: Path, device: torch.device) -> None:
    source, target = folder / "in.mp4", folder / "out.mp4"
    pictures = [torch.full((3, _HEIGHT, _WIDTH), 60 * number, dtype=torch.uint8) for number in range(1, _FRAMES + 1)]
    with _step("encoding a tiny H.264 video", _VIDEO, _REINSTALL_AV):
        write_clip(source, ((picture, number / 25) for number, picture in enumerate(pictures)), Fraction(25))
    with _step("opening the video", _VIDEO, _REINSTALL_AV):
        info = probe(source)
    with _step("decoding the video", _VIDEO, _REINSTALL_AV), VideoReader(source, info=info) as reader:
        _expect(len(list(reader)), _FRAMES, "frames decoded")
    with _step("loading the model", ("edvr-cli", "torch", "safetensors"), _REINSTALL):
        model = load_model(default_model("sr", str(device)), device)
    other = "--device cpu" if device.type != "cpu" else "EDVR_KERNEL_CACHE= (empty), or pip uninstall numba"
    with _step(f"restoring frames on {device}", _NETWORK, f"update the driver and PyTorch, or try {other}"):
        frames = [picture.float() / 255 for picture in pictures]
        _expect(len(list(restore_frames(frames, model))), _FRAMES, "frames restored")
    with _step("restoring the video into another", (*_VIDEO, *_NETWORK), _REINSTALL_AV):
        restore_video(source, target, model=model)
    with _step("opening the restored video", _VIDEO, _REINSTALL_AV):
        restored = probe(target)
        _expect(restored.height, model.config.scale * info.height, "lines")


@contextmanager
def _step(name: str, libraries: tuple[str, ...], remedy: str) -> Iterator[None]:
    """Part of the rehearsal: whatever it raises becomes a fault with the versions of ``libraries``."""
    try:
        yield
    except Exception as error:
        first = next(iter(str(error).splitlines()), "").rstrip(".")
        kind = "" if isinstance(error, EdvrError) else f"{type(error).__name__}: "
        raise _StepError(Fault(f"{name} fails: {kind}{first}", named_versions(*libraries), remedy)) from error


def _expect(found: int, expected: int, what: str) -> None:
    if found != expected:
        raise EdvrError(f"{found} {what} instead of {expected}")
