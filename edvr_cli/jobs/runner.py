"""A job at work: segments restored until none is missing, kept over any interruption, joined at the end."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from edvr_cli.errors import InputError, OutputError, StoppedError, reason_of
from edvr_cli.events import FrameRestored, Joining, Notice, OnEvent, Paused, Started
from edvr_cli.jobs.backends import Work, Workers
from edvr_cli.jobs.disk_space import check_space, space_needed
from edvr_cli.jobs.fingerprint import fingerprint
from edvr_cli.jobs.job_dir import Workspace
from edvr_cli.jobs.manifest import Header, Manifest
from edvr_cli.jobs.output_path import check_target, put_in_place
from edvr_cli.jobs.plan import promised_frames
from edvr_cli.jobs.segment_files import encoded, is_whole
from edvr_cli.jobs.segments import Lengths
from edvr_cli.jobs.source_range import Excerpt
from edvr_cli.system.files import remove, reserve, sync_file
from edvr_cli.video.muxing.mux import mux
from edvr_cli.video.muxing.plan import MuxPlan
from edvr_cli.video.muxing.verify import verify
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["Job", "Resume", "concluded"]

Resume = Literal["auto", "require", "never"]
"""Whether to go on with what an earlier run kept: if there is something, in any case, or not (it is discarded)."""


@dataclass(frozen=True)
class Job:
    """What it takes to restore a video's segments and join them.

    ``header`` is what decides its frames, ``begun`` what is told when the work begins, ``tile`` and ``threads`` what
    the user wants of these (None: nothing).
    """

    source: Excerpt
    target: Path
    workspace: Workspace
    workers: Workers
    encoder: EncoderPlan
    streams: MuxPlan
    shots: bool
    lengths: Lengths
    header: Header
    begun: Started
    tile: int | None
    threads: int | None
    overwrite: bool
    strict: bool
    stop: Callable[[], bool]
    tell: OnEvent

    def run(self, resume: Resume, concluded: Manifest | None) -> tuple[int, int]:
        """(frames, those of them that this run restored), when the target is in place.

        ``concluded`` is what `concluded` gives for the workspace.
        """
        with self.workspace.locked():
            if concluded is not None:
                # Killed between the output's getting its name and the end: only the cleaning is missing.
                self.workspace.clear()
                if resume != "never" and not concluded.header.changes(self.header):
                    return concluded.frame_count or 0, 0
                check_target(self.target, source=self.source.info.path, overwrite=self.overwrite)
            manifest = _open(self.workspace, self.header, resume)
            encoder = self._use_choices(manifest)
            total = self.begun.total if manifest.frame_count is None else manifest.frame_count
            with self._pausing(manifest, total):
                warnings = [
                    *self.streams.warnings,
                    *self.streams.remarks,
                    *self.workers.notes,
                    *self._space_warnings(manifest, total),
                ]
                begun = replace(self.begun, total=total, tile=self.workers.tile, kept=manifest.frames_done())
                self.tell(begun)
                for warning in warnings:
                    self.tell(Notice(warning))
                restored = self._restore(manifest, total, encoder)
                self._join(manifest)
        return manifest.frame_count or 0, restored

    def _restore(self, manifest: Manifest, total: int | None, encoder: EncoderPlan) -> int:
        """Restore the frames that no segment holds; returns how many. Raises StoppedError when asked to stop."""
        kept = done = manifest.frames_done()

        def on_frame() -> None:
            nonlocal done
            done += 1
            self.tell(FrameRestored(done, total))

        directory = self.workspace.directory
        work = Work(self.source, encoder, directory, self.shots, self.lengths, manifest.add, on_frame, self.stop)
        self._fill(manifest, work)
        if manifest.frame_count is not None and kept and not self._ends_there(manifest):
            manifest.doubt_end()
            self._fill(manifest, work)
        if manifest.frame_count is None:
            manifest.set_end(max(segment.end.frame for segment in manifest.segments))
        return done - kept

    def _fill(self, manifest: Manifest, work: Work) -> None:
        for gap in list(manifest.gaps()):
            if not self.workers.fill(gap, work):
                raise StoppedError(f"{self.target} is not finished.")

    def _ends_there(self, manifest: Manifest) -> bool:
        """Whether the source ends where an earlier run noted its end: it is the source that knows."""
        last = max(manifest.segments, key=lambda segment: segment.end.frame)
        with closing(self.source.frames(last.end)) as frames:
            return next(islice(frames, len(last.end.before), None), None) is None

    def _join(self, manifest: Manifest) -> None:
        """Put the segments together with the source's other streams, verify that, and give it the target's name."""
        assert manifest.frame_count is not None
        promised = promised_frames(self.source, manifest.frame_count)
        if promised is not None and self.strict:
            raise OutputError(
                f"{self.source.info.path} breaks off: {manifest.frame_count} of {promised} promised frames are there; "
                "without --strict-streams these become the output."
            )
        self.tell(Joining(manifest.frame_count))
        source = self.source
        images = self.streams.images
        output = self.workspace.output if images is None or images.single else self.workspace.pictures()
        self._check_source()
        if images is None:
            reserve(output)
        else:
            remove(output)
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
        self._check_source()  # Again: the other streams were read from it just now.
        try:
            sync_file(output)
        except OSError as error:
            raise OutputError(f"{output} cannot be written: {reason_of(error)}.") from error
        manifest.set_output(_identity(output))
        put_in_place(output, self.target, source=source.info.path, overwrite=self.overwrite)
        self.workspace.clear()

    def _use_choices(self, manifest: Manifest) -> EncoderPlan:
        """Take over what the job's first run chose, where the user chooses nothing else now; returns the encoder."""
        choices = manifest.header.choices
        if self.tile is None:
            self.workers.use_tile(choices["tile"])
        elif self.workers.tile != choices["tile"]:
            before = f"tiles of {choices['tile']}" if choices["tile"] else "whole frames"
            self.tell(Notice(f"Earlier frames were restored in {before}; the rest may differ from them a little."))
        return replace(self.encoder, threads=self.threads or choices["threads"])

    def _space_warnings(self, manifest: Manifest, total: int | None) -> Iterator[str]:
        """What is to be said of the disk's room. Raises OutputError where it cannot be enough."""
        if total is not None:
            # What is restored takes room once more, when it is joined.
            needed = space_needed(self.encoder, self.source.info, max(0, total - manifest.frames_done() // 2))
            warning = check_space(needed, self.workspace.directory)
            if warning is not None:
                yield warning

    @contextmanager
    def _pausing(self, manifest: Manifest, total: int | None) -> Iterator[None]:
        """When the work ends before its time, keep the segments and say so; where there are none, leave nothing."""
        try:
            yield
        except BaseException as error:
            try:
                self._clean_up(manifest, total)
            except OSError as failure:  # It must not hide what led to it.
                error.add_note(f"Cleaning up {self.workspace.directory} failed as well: {reason_of(failure)}.")
            raise

    def _clean_up(self, manifest: Manifest, total: int | None) -> None:
        source = self.source.info.source
        if manifest.segments and source.rereadable and not self._source_changed():
            self.workspace.clear_unfinished({segment.name for segment in manifest.segments})
            self.tell(Paused(manifest.frames_done(), total, self.workspace.directory))
        else:
            self.workspace.clear()

    def _check_source(self) -> None:
        """Raises InputError where the source is not what it was when the work began: its parts would not match."""
        if self._source_changed():
            raise InputError(
                f"{self.source.info.path} changed while it was being restored; nothing of this is kept. "
                "Start again when nothing writes to it."
            )

    def _source_changed(self) -> bool:
        files = self.source.info.source.files()
        try:
            return bool(files) and asdict(fingerprint(*files)) != self.header.source
        except InputError:  # It is out of reach now, and checked again when the work goes on.
            return False


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


def concluded(workspace: Workspace, target: Path) -> Manifest | None:
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
