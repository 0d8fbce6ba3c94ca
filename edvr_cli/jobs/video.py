"""One video as a job: restored segment by segment, gone on with after any interruption, joined at the end."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import torch

import edvr_cli
from edvr_cli.edvr import EDVR
from edvr_cli.engine import DEFAULT_HALO, StreamingEDVR
from edvr_cli.errors import OutputError, StoppedError
from edvr_cli.events import Event, Finished, FrameRestored, Joining, Notice, OnEvent, Paused, Started
from edvr_cli.jobs.fingerprint import fingerprint, model_digest
from edvr_cli.jobs.manifest import Header, Manifest
from edvr_cli.jobs.pipe import restore_to_pipe
from edvr_cli.jobs.settings import encoder_settings, seconds, total_frames
from edvr_cli.jobs.space import check_space, space_needed
from edvr_cli.jobs.workers import Hire, ThisMachine, Work, Workers
from edvr_cli.jobs.workspace import Workspace
from edvr_cli.limits import cpu_count
from edvr_cli.pipeline import model_scale, output_size
from edvr_cli.precision import Precision
from edvr_cli.segments import Lengths
from edvr_cli.source import Source
from edvr_cli.video.encoders import EncoderPlan, Encoding, plan_encoder
from edvr_cli.video.mux import mux
from edvr_cli.video.probe import probe
from edvr_cli.video.segments import encoded, is_whole
from edvr_cli.video.source import Reading, as_source
from edvr_cli.video.streams import Y4M, MuxPlan, PipeFormat, encoding_for, plan_mux
from edvr_cli.video.target import check_target, put_in_place, sync_file, workplace
from edvr_cli.video.verify import verify
from edvr_cli.weights import load_model

__all__ = ["Resume", "restore_video"]

Resume = Literal["auto", "require", "never"]
"""Whether to go on with what an earlier run kept: if there is something, in any case, or not (it is discarded)."""


def restore_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    model: str | Path | EDVR,
    scale: float | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
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
    ``threads`` bounds those of decoder and encoder (None: one a core), ``max_memory`` the network's bytes.
    ``hire`` has others restore the segments, see :mod:`edvr_cli.cluster`; None is this process.

    Raises EdvrError's children: InputError, OutputError, ModelError, DeviceError; StoppedError after ``stop``.
    """
    began, stop = time.monotonic(), stop or _never
    tell: OnEvent = on_event or _ignore
    workspace = Workspace(workplace(Path(target), source))
    concluded = _concluded(workspace, Path(target))
    target = check_target(target, source=source, overwrite=overwrite or concluded is not None)
    if resume == "require" and not workspace.manifest.exists():
        raise OutputError(f"There is nothing to resume for {target}; leave out --resume to start.")
    origin = as_source(source, reading)
    encoding = encoding_for(target, origin, encoding)
    info = probe(origin)
    network = model if isinstance(model, EDVR) else load_model(model, device)
    width, height = output_size(info.width, info.height, model_scale(network, scale))
    encoder = plan_encoder(encoding, info, width=width, height=height, threads=threads or 0)
    streams = plan_mux(
        info, encoder, target, audio=audio, subtitles=subtitles, strict=strict_streams, pipe_format=pipe_format
    )

    def engine() -> StreamingEDVR:
        return StreamingEDVR(
            network,
            precision=precision,
            tile=tile,
            halo=halo,
            max_memory=max_memory,
            on_smaller_tile=lambda size: tell(Notice(f"Out of memory: went on with tiles of {size} pixels.")),
        )

    notices: list[str] = []  # from the reader's thread
    part = Source(info, start, end, max_frames, threads or cpu_count(), notices.append)
    lengths = Lengths.of(segment_seconds, info.average_rate)

    warnings = list(streams.warnings)
    workers: Workers
    if hire is None or streams.piped:
        own = engine()
        workers = ThisMachine(own, info)
        warnings += own.notes
    else:
        workers = hire(network, info, precision=precision, tile=tile, halo=halo)

    def started(total: int | None, kept: int) -> Started:
        return Started(
            source=info.path,
            target=target,
            size=(info.width, info.height),
            output_size=(width, height),
            total=total,
            model=network.name,
            device=workers.device,
            precision=workers.precision,
            tile=workers.tile,
            resized=(width, height) != (info.width * network.config.scale, info.height * network.config.scale),
            kept=kept,
        )

    if streams.piped:
        total = total_frames(info, start, end, max_frames)
        tell(started(total, 0))
        for warning in warnings:
            tell(Notice(warning))
        header = streams.format == Y4M
        count = restore_to_pipe(
            part, own, encoder, header=header, shots=shots, lengths=lengths, total=total, stop=stop, tell=tell
        )
        for notice in notices:
            tell(Notice(notice))
        finished = Finished(target, count, time.monotonic() - began, count)
        tell(finished)
        return finished

    if not info.source.rereadable:
        resume = "never"  # What went through a pipe does not come again.
    identity = Header(
        source=asdict(fingerprint(*info.source.files())),
        model={"name": network.name, "sha256": model_digest(network)},
        settings={
            "program version": edvr_cli.__version__,
            "precision": workers.precision,
            "shots": shots,
            "tile pad": halo,
            "start": seconds(start),
            "end": seconds(end),
            "frames": max_frames,
            "segment length": segment_seconds,
            "deinterlace": None if reading is None else reading.deinterlace,
            **encoder_settings(encoder),
        },
        choices={"tile": workers.tile, "threads": threads or cpu_count()},
    )
    job = _Job(
        source=part,
        target=target,
        workspace=workspace,
        workers=workers,
        encoder=encoder,
        streams=streams,
        shots=shots,
        lengths=lengths,
        overwrite=overwrite or concluded is not None,
        stop=stop,
        tell=tell,
    )
    with workspace.locked():
        if concluded is not None:
            # Killed between the output's getting its name and the end: only the cleaning is missing.
            workspace.clear()
            if concluded.header.changes(identity) or resume == "never":
                check_target(target, source=source, overwrite=overwrite)
            else:
                finished = Finished(target, concluded.frame_count or 0, time.monotonic() - began)
                tell(finished)
                return finished
        manifest = _open(workspace, identity, resume)
        job = replace(job, **_chosen(job, manifest, tile, threads))
        total = total_frames(info, start, end, max_frames) if manifest.frame_count is None else manifest.frame_count
        with _pausing(job, manifest, total):
            warnings += _space_warnings(job, manifest, total)
            tell(started(total, manifest.frames_done()))
            for warning in warnings:
                tell(Notice(warning))
            restored = job.restore(manifest, total)
            for notice in notices:
                tell(Notice(notice))
            job.join(manifest)
    assert manifest.frame_count is not None
    finished = Finished(target, manifest.frame_count, time.monotonic() - began, restored)
    tell(finished)
    return finished


@dataclass(frozen=True)
class _Job:
    """What it takes to restore a video's segments and join them."""

    source: Source
    target: Path
    workspace: Workspace
    workers: Workers
    encoder: EncoderPlan
    streams: MuxPlan
    shots: bool
    lengths: Lengths
    overwrite: bool
    stop: Callable[[], bool]
    tell: OnEvent

    def restore(self, manifest: Manifest, total: int | None) -> int:
        """Restore the frames that no segment holds; returns how many. Raises StoppedError when asked to stop."""
        kept = done = manifest.frames_done()

        def on_frame() -> None:
            nonlocal done
            done += 1
            self.tell(FrameRestored(done, total))

        directory = self.workspace.directory
        work = Work(self.source, self.encoder, directory, self.shots, self.lengths, manifest.add, on_frame, self.stop)
        for gap in list(manifest.gaps()):
            if not self.workers.fill(gap, work):
                raise StoppedError(f"{self.target} is not finished.")
        if manifest.frame_count is None:
            manifest.set_end(max(segment.end.frame for segment in manifest.segments))
        return done - kept

    def join(self, manifest: Manifest) -> None:
        """Put the segments together with the source's other streams, verify that, and give it the target's name."""
        assert manifest.frame_count is not None
        self.tell(Joining(manifest.frame_count))
        source, output = self.source, self.workspace.output
        segments = sorted(manifest.segments, key=lambda segment: segment.first)
        timeline = mux(
            [encoded(segment, self.workspace.directory, source.info.time_base) for segment in segments],
            source.info,
            self.streams,
            output,
            cut_start=source.start is not None,
            cut_end=source.end is not None or source.max_frames is not None,
        )
        verify(output, timeline)
        try:
            sync_file(output)
        except OSError as error:
            raise OutputError(f"{output} cannot be written: {error.strerror}.") from error
        manifest.set_output(_identity(output))
        put_in_place(output, self.target, source=source.info.path, overwrite=self.overwrite)
        self.workspace.clear()


def _open(workspace: Workspace, header: Header, resume: Resume) -> Manifest:
    """The manifest to go on with, or a new one. Raises OutputError where going on would mix two kinds of frames."""
    if resume == "never":
        workspace.clear()
    manifest = Manifest.read(workspace.manifest)
    if manifest is not None and manifest.segments:
        if changes := manifest.header.changes(header):
            raise OutputError(
                f"{workspace.directory} keeps {manifest.frames_done()} frames that were made differently; "
                f"changed since: {', '.join(changes)}. Start over with --fresh, or undo the change."
            )
        manifest.keep(lambda segment: is_whole(segment, workspace.directory))
    else:
        manifest = None
    if manifest is None:
        manifest = Manifest.create(workspace.manifest, header)
    workspace.clear_unfinished({segment.name for segment in manifest.segments})
    return manifest


def _chosen(job: _Job, manifest: Manifest, tile: int | None, threads: int | None) -> Mapping[str, Any]:
    """The job with what its first run chose, where the user chooses nothing else now."""
    choices = manifest.header.choices
    if tile is None:
        job.workers.use_tile(choices["tile"])
    elif job.workers.tile != choices["tile"]:
        before = f"tiles of {choices['tile']}" if choices["tile"] else "whole frames"
        job.tell(Notice(f"Earlier frames were restored in {before}; the rest may differ from them a little."))
    return {"encoder": replace(job.encoder, threads=threads or choices["threads"])}


def _space_warnings(job: _Job, manifest: Manifest, total: int | None) -> Iterator[str]:
    """What is to be said of the disk's room. Raises OutputError where it cannot be enough."""
    if total is not None:
        # What is restored takes room once more, when it is joined.
        needed = space_needed(job.encoder, job.source.info, max(0, total - manifest.frames_done() // 2))
        warning = check_space(needed, job.workspace.directory)
        if warning is not None:
            yield warning


@contextmanager
def _pausing(job: _Job, manifest: Manifest, total: int | None) -> Iterator[None]:
    """When the work ends before its time, keep the segments and say so; where there are none, leave nothing."""
    try:
        yield
    except BaseException:
        if manifest.segments and job.source.info.source.rereadable:
            job.workspace.clear_unfinished({segment.name for segment in manifest.segments})
            job.tell(Paused(manifest.frames_done(), total, job.workspace.directory))
        else:
            job.workspace.clear()
        raise


def _concluded(workspace: Workspace, target: Path) -> Manifest | None:
    """The manifest of a run whose output is in place and which was killed before it had cleaned up."""
    if not target.is_file() or workspace.output.exists() or not workspace.manifest.exists():
        return None
    try:
        manifest = Manifest.read(workspace.manifest)
    except OutputError:
        return None
    return manifest if manifest is not None and manifest.output == _identity(target) else None


def _identity(path: Path) -> dict[str, int]:
    """What a file keeps when it is renamed."""
    facts = path.stat()
    return {"size": facts.st_size, "modified": facts.st_mtime_ns, "inode": facts.st_ino}


def _never() -> bool:
    return False


def _ignore(event: Event) -> None:
    pass
