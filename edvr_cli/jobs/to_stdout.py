"""A video to standard output, frame by frame as it is restored: nothing is kept and nothing gone on with."""

from collections.abc import Callable

import torch

from edvr_cli.errors import StoppedError
from edvr_cli.events import FrameRestored, Notice, OnEvent
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.jobs.pipeline import decode, restore_segments
from edvr_cli.jobs.segments import START, Lengths
from edvr_cli.jobs.source_range import Excerpt
from edvr_cli.video.writing.encoders import EncoderPlan
from edvr_cli.video.writing.y4m import PipeWriter

__all__ = ["restore_to_pipe"]


def restore_to_pipe(
    source: Excerpt,
    engine: StreamingEDVR,
    encoder: EncoderPlan,
    *,
    header: bool,
    shots: bool,
    lengths: Lengths,
    total: int | None,
    stop: Callable[[], bool],
    tell: OnEvent,
) -> int:
    """Restore every frame of ``source`` and write it out, with y4m's ``header`` or bare; returns how many.

    Raises StoppedError where ``stop`` says so, asked as often as a segment would end.
    """
    device = engine.device if engine.whole_frames else torch.device("cpu")
    pipe = PipeWriter(encoder, source.info.time_base, header=header)
    done = restore_segments(
        decode(source, START, shots=shots, device=device),
        engine,
        pipe,
        begin=0,
        end=None,
        lengths=lengths,
        on_frame=_count(total, tell),
        stop=stop,
    )
    for note in pipe.notes:
        tell(Notice(note))
    if not done:
        raise StoppedError("Standard output did not get the whole video.")
    return pipe.count


def _count(total: int | None, tell: OnEvent) -> Callable[[], None]:
    done = 0

    def on_frame() -> None:
        nonlocal done
        done += 1
        tell(FrameRestored(done, total))

    return on_frame
