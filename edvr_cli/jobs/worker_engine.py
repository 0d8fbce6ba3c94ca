"""The engine of a worker process, and what the process says of it; the same on a cluster and on this machine."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from edvr_cli.errors import DeviceError
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.memory_plan import free_memory
from edvr_cli.inference.options import InferenceOptions, Precision
from edvr_cli.inference.precision import name_of
from edvr_cli.jobs.segments import Segment
from edvr_cli.network.model import Model
from edvr_cli.video.reading.info import VideoInfo

__all__ = ["EngineFacts", "EngineSetup", "TaskResult", "WorkerEngine", "check_memory"]

_TOLERANCE = 1.2  # the need is an estimate


@dataclass(frozen=True)
class EngineSetup:
    """What a worker makes its engine from, apart from the model; ``model`` identifies that one."""

    model: str
    device: str
    inference: InferenceOptions
    threads: int
    sharing: int = 1  # workers that share the device's memory


@dataclass(frozen=True)
class EngineFacts:
    """What an engine chose for a video."""

    tile: int
    precision: Precision
    device: str
    reach: int  # frames of a window
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TaskResult:
    """A finished segment, None where the task's packets were not enough, and the notices of the engine."""

    segment: Segment | None
    data: bytes
    notices: tuple[str, ...]


class WorkerEngine:
    """The engine of this worker process: one, as memory is short, and kept between tasks.

    A new one is made for another setup, not for each task: an engine that ran out of memory keeps its smaller tiles.
    """

    def __init__(self) -> None:
        self._setup: EngineSetup | None = None
        self._engine: StreamingEDVR | None = None
        self._notices: list[str] = []

    def get(self, setup: EngineSetup, load: Callable[[], Model]) -> StreamingEDVR:
        """The engine for ``setup``; ``load`` gives the model where a new one is made."""
        if self._engine is None or self._setup != setup:
            self._engine = None
            torch.set_num_threads(setup.threads)
            device = torch.device(setup.device)
            if device.type == "cuda" and device.index is not None:
                torch.cuda.set_device(device)  # else the first GPU would hold a context of every worker
            model = load()
            model.network.to(setup.device)
            self._engine = StreamingEDVR(model, setup.inference, on_notice=self._notices.append)
            self._setup = setup
        return self._engine

    def describe(self, setup: EngineSetup, load: Callable[[], Model], info: VideoInfo) -> EngineFacts:
        """What the engine chooses for this video. Raises DeviceError where the memory is too small for it."""
        engine = self.get(setup, load)
        engine.prepare(info.height, info.width)
        check_memory(engine, info, sharing=setup.sharing)
        return EngineFacts(
            engine.tile_size, name_of(engine.dtype), str(engine.device), engine.config.frames, tuple(engine.notes)
        )

    def take_notices(self) -> tuple[str, ...]:
        """The engine's notices since the last call."""
        notices = tuple(self._notices)
        self._notices.clear()
        return notices


def check_memory(engine: StreamingEDVR, info: VideoInfo, *, sharing: int = 1) -> None:
    """Raises DeviceError where a CPU has too little memory, before the system ends the process.

    ``engine`` is prepared for the video; ``sharing`` is the number of workers that share the memory.
    """
    if engine.device.type != "cpu":
        return
    needed, free = engine.memory_needed(), free_memory(engine.device)
    if free is not None and needed > free / sharing * _TOLERANCE:
        how = f"tiles of {engine.tile_size} pixels" if engine.tile_size else "whole frames"
        each = f" in each of {sharing} workers" if sharing > 1 else ""
        remedy = "use fewer workers, " if sharing > 1 else ""
        raise DeviceError(
            f"Frames of {info.width}×{info.height} need about {needed / 1e9:.1f} GB of memory in {how}{each}, and "
            f"{free / 1e9:.1f} GB are free: {remedy}restore smaller pictures, or free some memory."
        )
