"""Checks of this machine: libraries, devices, correctness and speed, with remedies."""

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from edvr_cli.bench.hardware import seconds
from edvr_cli.bench.rehearsal import Rehearsal, rehearse
from edvr_cli.errors import DeviceError, EdvrError
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.memory_plan import free_memory
from edvr_cli.inference.options import Precision
from edvr_cli.inference.precision import dtype_for, name_of
from edvr_cli.models.checkpoint import load_model
from edvr_cli.models.library import list_models
from edvr_cli.models.registry import default_model, model_folders
from edvr_cli.network.windows import Window
from edvr_cli.ops.numba_status import numba_fault
from edvr_cli.ops.selftest import check_operation
from edvr_cli.ops.triton_status import triton_fault
from edvr_cli.size import Size
from edvr_cli.system.charts import NO_CHARTS, charts_available
from edvr_cli.system.gpu_errors import explanation
from edvr_cli.system.hardware import machine_name
from edvr_cli.system.installation import versions
from edvr_cli.system.text import first_line
from edvr_cli.video.capabilities import FFmpegCapabilities, find_capabilities

__all__ = ["Device", "Diagnosis", "Finding", "Speed", "diagnose"]

_SPEED_SIZE = Size(160, 96)  # of the frames of the speed test
_MIN_MEMORY, _MIN_DISK = 2 * 2**30, 5 * 2**30


@dataclass(frozen=True)
class Finding:
    """A fault or a possible improvement, and the remedy."""

    level: Literal["wrong", "hint"]
    what: str
    remedy: str


@dataclass(frozen=True)
class Device:
    """``operation``: which deformable convolution it uses; ``checked``: each precision, "" or what is wrong."""

    device: str
    name: str
    free_memory: int | None  # bytes
    operation: str
    checked: dict[Precision, str]


@dataclass(frozen=True)
class Speed:
    """Speed of the default model on frames of ``size``."""

    model: str
    device: str
    precision: Precision
    size: Size
    seconds_per_frame: float


@dataclass(frozen=True)
class Diagnosis:
    """The whole diagnosis, as plain values."""

    system: dict[str, str]
    versions: dict[str, str]
    devices: list[Device]
    video: FFmpegCapabilities
    models: dict[str, str]  # those on this machine: their files
    environment: dict[str, str]
    speed: Speed | None
    rehearsal: Rehearsal
    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether there are no faults."""
        return all(finding.level != "wrong" for finding in self.findings)


def diagnose(*, speed: bool = True) -> Diagnosis:
    """Check everything; takes seconds, and longer where kernels are compiled for the first time."""
    devices = [_examine(device) for device in _devices()]
    best = torch.device(devices[0].device)
    rehearsal = rehearse(best)
    measured = _speed(best) if speed and rehearsal.fault is None else None
    video = find_capabilities()
    return Diagnosis(
        system={
            "system": platform.platform(),
            "python": platform.python_version(),
            "processor": machine_name(torch.device("cpu")),
            "cores": str(os.cpu_count()),
            "threads": str(torch.get_num_threads()),
        },
        versions=versions(),
        devices=devices,
        video=video,
        models={listed.name: str(listed.path) for listed in list_models() if listed.path},
        environment={key: value for key, value in sorted(os.environ.items()) if _concerns(key)},
        speed=measured,
        rehearsal=rehearsal,
        findings=[*_rehearsal_findings(rehearsal), *_findings(devices, video)],
    )


def _devices() -> Iterator[torch.device]:
    """The fastest first."""
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        yield torch.device("cuda", number)
    if torch.backends.mps.is_available():
        yield torch.device("mps")
    yield torch.device("cpu")


def _examine(device: torch.device) -> Device:
    operation, checked = "", dict[Precision, str]()
    words: tuple[Precision, ...] = ("fp32", "fp16", "bf16") if device.type == "cuda" else ("fp32",)
    if device.type == "cpu" and dtype_for("auto", device) == torch.bfloat16:
        words = ("fp32", "bf16")
    for word in words:
        try:
            operation = check_operation(device, dtype_for(word, device))
            checked[word] = ""
        except (DeviceError, RuntimeError) as error:
            checked[word] = str(explanation(error) or first_line(error))
    try:
        free = free_memory(device)
    except RuntimeError:  # a driver or GPU at fault, which the check has found
        free = None
    return Device(str(device), machine_name(device), free, operation, checked)


def _speed(device: torch.device) -> Speed | None:
    """About a second of work, after a frame that is not counted."""
    try:
        engine = StreamingEDVR(load_model(default_model("sr", str(device)), device))
    except EdvrError:  # the device's fault is among the findings already
        return None
    frames = [torch.rand(3, *_SPEED_SIZE.shape) for _ in range(engine.config.frames)]
    taken: list[float] = []
    began, number = 0.0, 0
    while not taken or time.perf_counter() - began < 1:
        window = Window(tuple(range(number, number + len(frames))), tuple(frames))
        took = seconds(lambda window=window: engine.restore(window), device)  # type: ignore[misc]
        if number:
            taken.append(took)
        else:
            began = time.perf_counter()
        number += 1
    return Speed(engine.model.name, str(device), name_of(engine.dtype), _SPEED_SIZE, sorted(taken)[len(taken) // 2])


def _rehearsal_findings(rehearsal: Rehearsal) -> Iterator[Finding]:
    if fault := rehearsal.fault:
        yield Finding("wrong", f"{fault.what} ({fault.versions})", fault.remedy)


def _findings(devices: list[Device], video: FFmpegCapabilities) -> Iterator[Finding]:
    for device in devices:
        for wrong in device.checked.values():
            if wrong:
                others = " or ".join(p for p, fault in device.checked.items() if not fault)
                instead = f", or choose --precision {others}" if others else ", or pass --device cpu"
                yield Finding("wrong", wrong, f"update the driver and PyTorch{instead}")
        if device.device.startswith("cuda") and (fault := triton_fault(torch.device(device.device))):
            slower = {"torchvision": "torchvision's operation is used", "reference": "plain PyTorch is used"}
            other = slower.get(device.operation)
            effect = f"slowly, as {other}" if other else "less fast, without that kernel"
            yield Finding("hint", f"{fault.reason}: the GPU computes {effect}", fault.remedy)
        if device.device == "cpu" and (fault := numba_fault()):
            yield Finding("hint", f"{fault.reason}: the processor computes several times as slowly", fault.remedy)
        if device.device == "mps":
            yield Finding("hint", "there is no kernel for Apple GPUs", "compare with --device cpu")
        if device.free_memory is not None and device.free_memory < _MIN_MEMORY:
            what = f"{device.device} has {device.free_memory / 2**30:.1f} GiB of memory free"
            yield Finding("hint", what, "close other programs; large frames will go through as tiles")
    if not torch.cuda.is_available() and _nvidia_driver():
        yield Finding(
            "wrong",
            f"there is an NVIDIA driver, but PyTorch {torch.__version__} cannot use it",
            "install a CUDA build: see https://pytorch.org/get-started/locally/",
        )
    if "libx264" not in video.encoders:
        yield Finding("wrong", "this build of PyAV has no libx264", "install PyAV's own wheel: pip install -U av")
    if not video.vmaf:
        yield Finding("hint", "the FFmpeg binary cannot measure VMAF", "set IMAGEIO_FFMPEG_EXE to one with libvmaf")
    if not charts_available():
        yield Finding("hint", "no charts can be drawn", NO_CHARTS.partition(": ")[2])
    if os.environ.get("OMP_WAIT_POLICY", "passive").lower() == "active":
        yield Finding("hint", "OMP_WAIT_POLICY=active makes idle threads keep the cores busy", "unset it")
    yield from _place_findings()


def _place_findings() -> Iterator[Finding]:
    """Findings about folders, disks and the terminal."""
    folder = model_folders()[-1]
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield Finding("hint", f"{folder} cannot be written", "set EDVR_MODEL_DIR to a folder that can")
    for place in {Path(tempfile.gettempdir()), Path.cwd()}:
        free = shutil.disk_usage(place).free
        if free < _MIN_DISK:
            yield Finding("hint", f"{place} has {free / 2**30:.1f} GiB free", "make room: restored video is large")
    if (sys.stderr.encoding or "").lower().replace("-", "") not in ("utf8", ""):
        yield Finding("hint", f"the terminal's encoding is {sys.stderr.encoding}", "set PYTHONUTF8=1")


def _nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _concerns(key: str) -> bool:
    """Variables that change what the program does; none that may hold a secret, as an address may."""
    words = ("CUDA_VISIBLE_DEVICES", "NO_COLOR", "TERM", "IMAGEIO_FFMPEG_EXE", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    beginnings = ("EDVR_MODEL_DIR", "EDVR_KERNEL_CACHE", "OMP_", "NUMBA_", "TRITON_", "PYTORCH_", "MKL_")
    return key in words or key.startswith(beginnings)
