"""Run a plan: restore segments until none is missing, keep them over interruptions, join them at the end."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import islice

from edvr_cli.errors import InputError, OutputError, StoppedError, reason_of, sentence_of
from edvr_cli.events import Finished, FrameRestored, Joining, Notice, OnEvent, Paused, Started
from edvr_cli.jobs.backends import Backend, BackendFactory, LocalBackend, RestoreContext
from edvr_cli.jobs.disk_space import check_space, space_needed
from edvr_cli.jobs.expected_pace import expected_pace, keep_pace
from edvr_cli.jobs.fingerprint import fingerprint
from edvr_cli.jobs.job_dir import JobDirectory
from edvr_cli.jobs.manifest import Header, Manifest, file_identity
from edvr_cli.jobs.options import Resume
from edvr_cli.jobs.output_path import check_target, put_in_place
from edvr_cli.jobs.plan import RestorePlan
from edvr_cli.jobs.request import find_finished_job, job_directory
from edvr_cli.jobs.segment_files import as_encoded_video, is_whole
from edvr_cli.jobs.segments import SegmentLimits
from edvr_cli.jobs.to_stdout import restore_to_stdout
from edvr_cli.system.files import remove, reserve, sync_file
from edvr_cli.video.muxing.mux import mux
from edvr_cli.video.muxing.verify import verify
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["run_plan"]

_SEGMENT_SECONDS = 120.0  # of work: an interruption costs at most these
_MIN_MEASURED = 10  # frames; the first ones compile and allocate

_LOG = logging.getLogger(__name__)


def run_plan(plan: RestorePlan, *, backend: BackendFactory | None, stop: Callable[[], bool], emit: OnEvent) -> Finished:
    """Execute the plan; ``backend`` None is this process. Raises StoppedError after ``stop``."""
    began = time.monotonic()
    warnings: list[str] = []  # of the reader, whose thread may not emit
    lose = _on_transparency(plan, warnings.append)
    plan = replace(plan, source=replace(plan.source, on_warning=warnings.append, on_transparency=lose))
    if plan.mux.piped:
        local = LocalBackend(plan, emit)
        if backend is not None:
            emit(Notice(f"Standard output takes frames one after the other: one device is used, {local.device}."))
        emit(_started(plan, local))
        if plan.size_note is not None:
            emit(plan.size_note)
        for note in (*plan.mux.warnings, *plan.mux.remarks, *local.notes):
            emit(Notice(note))
        count = restored = restore_to_stdout(plan, local, emit, stop)
    else:
        job = Job(plan, job_directory(plan.target, plan.info.path), (backend or LocalBackend)(plan, emit), stop, emit)
        count, restored = job.run()
    for warning in warnings:
        emit(Notice(warning))
    promised = plan.promised_frames(count)
    if promised is not None:
        emit(Notice(f"The input breaks off: it has {count} of the {promised} frames that it promises."))
    finished = Finished(plan.target, count, time.monotonic() - began, restored, promised)
    emit(finished)
    return finished


def _on_transparency(plan: RestorePlan, warn: Callable[[str], None]) -> Callable[[Fraction], None] | None:
    """What to do where transparency appears that the first frames do not have and the output cannot contain."""
    encoder = plan.encoder
    if encoder.layout.alpha or not (plan.info.layout.alpha and plan.info.opaque):
        return None

    def lose(seconds: Fraction) -> None:
        sentence = f"Transparency appears at {float(seconds):.3f} s and is dropped: {encoder.codec} has none."
        if plan.output.strict_streams:
            raise OutputError(sentence, hint="strict")
        warn(sentence)

    return lose


def _started(plan: RestorePlan, backend: Backend) -> Started:
    return Started(
        source=plan.info.path,
        target=plan.target,
        size=plan.info.size,
        output_size=plan.encoder.size,
        total=plan.total_frames,
        model=plan.model.name,
        device=backend.device,
        precision=backend.precision,
        tile=backend.tile,
        resized=plan.is_resized,
        strength=plan.inference.strength,
        sharpen=plan.inference.sharpen,
        tta=plan.inference.tta,
    )


@dataclass(frozen=True)
class Job:
    """A plan, the directory of its segments, and the backend that restores them."""

    plan: RestorePlan
    job_dir: JobDirectory
    backend: Backend
    stop: Callable[[], bool]
    emit: OnEvent

    def run(self) -> tuple[int, int]:
        """(number of frames, how many of them this run restored), when the target is in place."""
        plan, job_dir = self.plan, self.job_dir
        # What was read from a pipe cannot be read again.
        resume = plan.job.resume if plan.info.source.rereadable else "never"
        header = plan.header(self.backend.precision, self.backend.tile)
        with job_dir.locked():
            finished = find_finished_job(job_dir, plan.target)
            if finished is not None:
                # Killed between the renaming of the output and the end: only the cleaning up is missing.
                job_dir.clear()
                if resume != "never" and not finished.header.changes(header):
                    return finished.frame_count or 0, 0
                check_target(plan.target, source=plan.info.path, overwrite=plan.output.overwrite)
            pace, workers = expected_pace(plan, self.backend), self.backend.workers
            limits = plan.limits.within(_SEGMENT_SECONDS, pace and pace * workers)
            segment = limits.shared_by(workers, plan.total_frames).longest
            header = replace(header, choices={**header.choices, "segment": segment})
            manifest = _open(job_dir, header, resume)
            encoder = self._use_choices(manifest)
            _LOG.debug("%s: %d frames kept in %s", plan.target, manifest.frames_done(), job_dir.directory)
            total = plan.total_frames if manifest.frame_count is None else manifest.frame_count
            with self._pausing(manifest, total):
                warnings = [
                    *plan.mux.warnings,
                    *plan.mux.remarks,
                    *self.backend.notes,
                    *self._space_warnings(manifest, total),
                ]
                self.emit(
                    replace(
                        _started(plan, self.backend),
                        total=total,
                        kept=manifest.frames_done(),
                        segment_frames=self._limits(manifest).longest,
                        workers=workers,
                        seconds_per_frame=pace,
                    )
                )
                if plan.size_note is not None:
                    self.emit(plan.size_note)
                for warning in warnings:
                    self.emit(Notice(warning))
                began = time.monotonic()
                restored = self._restore(manifest, total, encoder)
                if restored >= _MIN_MEASURED:
                    keep_pace(plan, self.backend, (time.monotonic() - began) / restored)
                self._join(manifest)
        return manifest.frame_count or 0, restored

    def _restore(self, manifest: Manifest, total: int | None, encoder: EncoderPlan) -> int:
        """Restore the frames that no segment contains; returns their number. Raises StoppedError after ``stop``."""
        kept = done = manifest.frames_done()

        def on_frame() -> None:
            nonlocal done
            done += 1
            self.emit(FrameRestored(done, total, done - manifest.frames_done()))

        context = RestoreContext(
            source=self.plan.source,
            encoder=encoder,
            directory=self.job_dir.directory,
            split_at_cuts=self.plan.job.split_at_cuts,
            limits=self._limits(manifest),
            on_segment=manifest.add,
            on_frame=on_frame,
            stop=self.stop,
        )
        self._restore_missing(manifest, context)
        if manifest.frame_count is not None and kept and not self._still_ends_there(manifest):
            manifest.doubt_end()
            self._restore_missing(manifest, context)
        if manifest.frame_count is None:
            manifest.set_end(max(segment.end.frame for segment in manifest.segments))
        return done - kept

    def _limits(self, manifest: Manifest) -> SegmentLimits:
        """Where segments end: as the job's first run chose it."""
        return self.plan.limits.at_most(manifest.header.choices.get("segment", self.plan.limits.longest))

    def _restore_missing(self, manifest: Manifest, context: RestoreContext) -> None:
        for missing in list(manifest.missing_ranges()):
            if not self.backend.restore_range(missing, context):
                raise StoppedError(f"{self.plan.target} is not finished.")

    def _still_ends_there(self, manifest: Manifest) -> bool:
        """Whether the source still ends where an earlier run found its end."""
        last = max(manifest.segments, key=lambda segment: segment.end.frame)
        with closing(self.plan.source.frames(last.end)) as frames:
            return next(islice(frames, len(last.end.before), None), None) is None

    def _join(self, manifest: Manifest) -> None:
        """Join the segments and the source's other streams, verify the file, and give it the target's name."""
        assert manifest.frame_count is not None
        promised = self.plan.promised_frames(manifest.frame_count)
        if promised is not None and self.plan.output.strict_streams:
            raise OutputError(
                f"{self.plan.info.path} breaks off: {manifest.frame_count} of {promised} promised frames are there",
                hint="strict",
            )
        self.emit(Joining(manifest.frame_count))
        plan, source, images = self.plan, self.plan.source, self.plan.mux.images
        output = self.job_dir.output if images is None or images.single else self.job_dir.pictures()
        self._check_source(manifest)
        if images is None:
            reserve(output)
        else:
            remove(output)
        segments = sorted(manifest.segments, key=lambda segment: segment.first)
        timeline = mux(
            [as_encoded_video(segment, self.job_dir.directory, source.info.time_base) for segment in segments],
            source.info.turned(plan.encoder.turn),
            plan.mux,
            output,
            trim_start=source.start is not None,
            trim_end=source.end is not None or source.max_frames is not None,
        )
        verify(output, timeline)
        self._check_source(manifest)  # Again: the other streams were read from it just now.
        try:
            sync_file(output)
        except OSError as error:
            raise OutputError(f"{output} cannot be written: {reason_of(error)}.") from error
        manifest.set_output(file_identity(output))
        put_in_place(output, plan.target, source=source.info.path, overwrite=plan.output.overwrite)
        try:
            self.job_dir.clear()
        except OSError as error:  # The output is complete and in its place.
            self.emit(Notice(f"{self.job_dir.directory} could not be emptied: {sentence_of(error)}"))

    def _use_choices(self, manifest: Manifest) -> EncoderPlan:
        """Repeat what the job's first run chose, unless the user chooses now; returns the encoder."""
        choices, inference = manifest.header.choices, self.plan.inference
        if inference.tile is None and inference.max_memory is None:
            self.backend.use_tile(choices["tile"])
        elif self.backend.tile != choices["tile"]:
            before = f"tiles of {choices['tile']}" if choices["tile"] else "whole frames"
            self.emit(Notice(f"Earlier frames were restored in {before}; the rest may differ from them slightly."))
        return replace(self.plan.encoder, threads=self.plan.job.threads or choices["threads"])

    def _space_warnings(self, manifest: Manifest, total: int | None) -> Iterator[str]:
        """Warnings about the free disk space. Raises OutputError where it cannot be enough."""
        if total is not None:
            # Restored frames take space a second time, when they are joined.
            needed = space_needed(self.plan.encoder, self.plan.info, max(0, total - manifest.frames_done() // 2))
            warning = check_space(needed, self.job_dir.directory)
            if warning is not None:
                yield warning

    @contextmanager
    def _pausing(self, manifest: Manifest, total: int | None) -> Iterator[None]:
        """When the work ends early, keep the segments and report it; without segments, leave nothing."""
        try:
            yield
        except BaseException as error:
            try:
                self._clean_up(manifest, total)
            except OSError as failure:  # It must not hide the first error.
                error.add_note(f"Cleaning up {self.job_dir.directory} failed as well: {reason_of(failure)}.")
            raise

    def _clean_up(self, manifest: Manifest, total: int | None) -> None:
        if manifest.segments and self.plan.info.source.rereadable and not self._source_changed(manifest):
            self.job_dir.clear_unfinished({segment.name for segment in manifest.segments})
            self.emit(Paused(manifest.frames_done(), total, self.job_dir.directory))
        else:
            self.job_dir.clear()

    def _check_source(self, manifest: Manifest) -> None:
        """Raises InputError where the source has changed since the work began: its parts would not match."""
        if self._source_changed(manifest):
            raise InputError(
                f"{self.plan.info.path} changed while it was being restored; nothing of this is kept. "
                "Start again when nothing writes to it."
            )

    def _source_changed(self, manifest: Manifest) -> bool:
        files = self.plan.info.source.files()
        try:
            return bool(files) and asdict(fingerprint(*files)) != manifest.header.source
        except InputError:  # It is out of reach now, and checked again when the job is continued.
            return False


def _open(job_dir: JobDirectory, header: Header, resume: Resume) -> Manifest:
    """The manifest to continue, or a new one. Raises OutputError where frames of two kinds would be mixed."""
    if resume == "never":
        job_dir.clear()
    manifest = Manifest.read(job_dir.manifest)
    if manifest is not None and manifest.segments:
        if changes := manifest.header.changes(header):
            raise OutputError(
                f"{job_dir.directory} keeps {manifest.frames_done()} frames that were made differently; "
                f"changed since: {', '.join(changes)}. Undo the change to continue.",
                hint="fresh",
            )
        manifest.keep(lambda segment: is_whole(segment, job_dir.directory))
    else:
        manifest = None
    if manifest is None:
        manifest = Manifest.create(job_dir.manifest, header)
    job_dir.clear_unfinished({segment.name for segment in manifest.segments})
    return manifest
