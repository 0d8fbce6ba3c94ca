"""One video as a job: restored segment by segment, gone on with after any interruption, joined at the end."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import torch

import edvr_cli
from edvr_cli.errors import OutputError
from edvr_cli.events import Event, Finished, Notice, OnEvent, Started
from edvr_cli.inference.engine import DEFAULT_HALO, StreamingEDVR
from edvr_cli.inference.frames import model_scale, output_size
from edvr_cli.inference.precision import Precision
from edvr_cli.jobs.backends import Hire, ThisMachine, Workers
from edvr_cli.jobs.fingerprint import fingerprint, model_digest
from edvr_cli.jobs.job_dir import Workspace
from edvr_cli.jobs.manifest import Header
from edvr_cli.jobs.output_path import check_target, workplace
from edvr_cli.jobs.plan import encoder_settings, promised_frames, seconds, total_frames
from edvr_cli.jobs.runner import Job, Resume, concluded
from edvr_cli.jobs.segments import Lengths
from edvr_cli.jobs.source_range import Excerpt
from edvr_cli.jobs.to_stdout import restore_to_pipe
from edvr_cli.models.checkpoint import load_model
from edvr_cli.network.edvr import EDVR
from edvr_cli.system.limits import cpu_count
from edvr_cli.video.muxing.plan import Y4M, PipeFormat, encoding_for, plan_mux
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.sources import Reading, as_source, probe
from edvr_cli.video.writing.encoders import EncoderPlan, Encoding, plan_encoder

__all__ = ["Resume", "restore_video"]


def restore_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    model: str | Path | EDVR,
    scale: float | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
    compiled: bool = False,
    shots: bool = True,
    tile: int | None = None,
    halo: int = DEFAULT_HALO,
    encoding: Encoding | None = None,
    start: Fraction | None = None,
    end: Fraction | None = None,
    max_frames: int | None = None,
    audio: bool = True,
    subtitles: bool = True,
    overwrite: bool = False,
    strict_streams: bool = False,
    reading: Reading | None = None,
    pipe_format: PipeFormat = "y4m",
    threads: int | None = None,
    max_memory: int | None = None,
    segment_seconds: float = 4.0,
    resume: Resume = "auto",
    stop: Callable[[], bool] | None = None,
    hire: Hire | None = None,
    on_event: OnEvent | None = None,
) -> Finished:
    """Restore a video into another: same frames, times, sound, subtitles, chapters and metadata.

    ``source`` is a file, numbered pictures (``frames/%06d.png``, or their folder) or ``-``, standard input;
    ``target`` likewise. ``reading`` says what the source does not, ``pipe_format`` what standard output gets,
    ``strict_streams`` refuses a target that cannot hold every stream as it is. ``model`` is a name, a checkpoint
    file, or a loaded network (then ``device`` is where it lies). ``start`` and ``end`` are seconds, ``max_frames``
    a count. ``on_event`` is told how it goes, in the calling thread. The target appears under its name when it is
    whole and verified, and not at all otherwise.

    The video is encoded in closed segments of ``segment_seconds`` at most. They are kept in a hidden directory
    beside the target until it is whole, and another call with the same source, model and settings goes on with
    them, whatever ended the first; ``resume`` says whether it may. ``stop`` is asked after each segment.
    ``compiled`` is :class:`StreamingEDVR`'s, as are ``precision``, ``tile`` and ``halo``.
    ``threads`` bounds those of decoder and encoder (None: one a core), ``max_memory`` the network's bytes.
    ``hire`` has others restore the segments, see :mod:`edvr_cli.jobs.ray_backend`; None is this process.

    Raises EdvrError's children: InputError, OutputError, ModelError, DeviceError; StoppedError after ``stop``.
    """
    began, stop = time.monotonic(), stop or _never
    tell: OnEvent = on_event or _ignore
    workspace = Workspace(workplace(Path(target), source))
    workspace.sweep()
    ended = concluded(workspace, Path(target))
    target = check_target(target, source=source, overwrite=overwrite or ended is not None)
    if resume == "require" and not workspace.manifest.exists():
        raise OutputError(f"There is nothing to resume for {target}; leave out --resume to start.")
    origin = as_source(source, reading)
    encoding = encoding_for(target, origin, encoding)
    info = probe(origin).measured()
    network = model if isinstance(model, EDVR) else load_model(model, device)
    width, height = output_size(info.width, info.height, model_scale(network, scale))
    encoder = plan_encoder(encoding, info, width=width, height=height, threads=threads or 0)
    streams = plan_mux(
        info, encoder, target, audio=audio, subtitles=subtitles, strict=strict_streams, pipe_format=pipe_format
    )

    notices: list[str] = []  # from the reader's thread
    loses = _loses_transparency(info, encoder, notices.append, strict=strict_streams)
    part = Excerpt(info, start, end, max_frames, threads or cpu_count(), notices.append, loses)
    lengths = Lengths.of(segment_seconds, info.average_rate)

    workers: Workers
    if hire is None or streams.piped:
        own = StreamingEDVR(
            network,
            precision=precision,
            tile=tile,
            halo=halo,
            max_memory=max_memory,
            compiled=compiled,
            on_notice=lambda sentence: tell(Notice(sentence)),
        )
        workers = ThisMachine(own, info)
    else:
        workers = hire(network, info, precision=precision, compiled=compiled, tile=tile, halo=halo)

    begun = Started(
        source=info.path,
        target=target,
        size=(info.width, info.height),
        output_size=(width, height),
        total=total_frames(info, start, end, max_frames),
        model=network.name,
        device=workers.device,
        precision=workers.precision,
        tile=workers.tile,
        resized=(width, height) != (info.width * network.config.scale, info.height * network.config.scale),
    )
    if streams.piped:
        tell(begun)
        for warning in (*streams.warnings, *streams.remarks, *workers.notes):
            tell(Notice(warning))
        header = streams.format == Y4M
        count = restored = restore_to_pipe(
            part, own, encoder, header=header, shots=shots, lengths=lengths, total=begun.total, stop=stop, tell=tell
        )
    else:
        job = Job(
            source=part,
            target=target,
            workspace=workspace,
            workers=workers,
            encoder=encoder,
            streams=streams,
            shots=shots,
            lengths=lengths,
            header=Header(
                source=asdict(fingerprint(*info.source.files())),
                model={"name": network.name, "sha256": model_digest(network)},
                settings={
                    "program version": edvr_cli.__version__,
                    "precision": workers.precision,
                    "window": network.config.frames,
                    "shots": shots,
                    "tile pad": halo,
                    "start": seconds(start),
                    "end": seconds(end),
                    "frames": max_frames,
                    "segment length": segment_seconds,
                    **encoder_settings(encoder),
                },
                choices={"tile": workers.tile, "threads": threads or cpu_count()},
            ),
            begun=begun,
            tile=workers.tile if tile is not None or max_memory is not None else None,
            threads=threads,
            overwrite=overwrite,
            strict=strict_streams,
            stop=stop,
            tell=tell,
        )
        # What went through a pipe does not come again.
        count, restored = job.run(resume if info.source.rereadable else "never", ended)
    for notice in notices:
        tell(Notice(notice))
    promised = promised_frames(part, count)
    if promised is not None:
        tell(Notice(f"The input breaks off: {count} of the {promised} frames that it promises are there."))
    finished = Finished(target, count, time.monotonic() - began, restored, promised)
    tell(finished)
    return finished


def _loses_transparency(
    info: VideoInfo, encoder: EncoderPlan, note: Callable[[str], None], *, strict: bool
) -> Callable[[Fraction], None] | None:
    """What is to be done where transparency appears that the first frames do not have, and the output cannot hold."""
    if encoder.layout.alpha or not (info.layout.alpha and info.opaque):
        return None

    def lose(seconds: Fraction) -> None:
        sentence = f"Transparency appears at {float(seconds):.3f} s and is dropped: {encoder.codec} has none."
        if strict:
            raise OutputError(f"--strict-streams refuses what would change: {sentence}")
        note(sentence)

    return lose


def _never() -> bool:
    return False


def _ignore(event: Event) -> None:
    pass
