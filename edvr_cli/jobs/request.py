"""Checks of a request that need neither the network nor torch: they come first, and take no time."""

import os
from dataclasses import replace
from pathlib import Path

from edvr_cli.errors import InputError, OutputError, wrong_usage
from edvr_cli.jobs.job_dir import JobDirectory
from edvr_cli.jobs.manifest import Manifest, file_identity
from edvr_cli.jobs.options import JobOptions, OutputOptions
from edvr_cli.jobs.output_path import check_target, scratch_path
from edvr_cli.video.addresses import as_url, is_url
from edvr_cli.video.file_names import STANDARD_INPUT, STANDARD_OUTPUT, container_format
from edvr_cli.video.image_sequences import find_images, output_names
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.writing.encoder_options import checked_encoding
from edvr_cli.video.writing.options import usual_encoder

__all__ = ["check_request", "find_finished_job", "job_directory"]


@wrong_usage()
def check_request(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    input: InputOptions,
    output: OutputOptions,
    job: JobOptions,
) -> Path:
    """Check source, target and options; returns the target's path.

    Raises InputError where the source is missing or the range is empty, OutputError where the target exists, is the
    source, has an unknown suffix or cannot be written, and where there is nothing to resume.
    """
    source, target = Path(source), Path(target)
    if input.start is not None and input.end is not None and input.end <= input.start:
        raise InputError(f"{source}: the end of the range ({input.end} s) is not after its start ({input.start} s).")
    if not (input.allow_network or source == STANDARD_INPUT or source.exists() or "%" in source.name):
        if is_url(os.fspath(source)):
            raise InputError(f"{as_url(os.fspath(source))} is a URL; URLs are opened only on request.", hint="network")
        raise InputError(f"{source}: no such file.")
    if target == STANDARD_OUTPUT:
        return target
    job_dir = job_directory(target, source)
    job_dir.sweep()
    finished = find_finished_job(job_dir, target) is not None
    path = check_target(target, source=source, overwrite=output.overwrite or finished)
    if output_names(target, find_images(source) or ()) is None:
        usual = usual_encoder(container_format(target))
        if output.encoding is not None:
            checked_encoding(replace(output.encoding, codec=output.encoding.codec or usual))
    if job.resume == "require" and not job_dir.manifest.exists():
        raise OutputError(f"There is no interrupted job for {target}.", hint="no_resume")
    return path


def job_directory(target: Path, source: Path) -> JobDirectory:
    """The hidden directory in which the segments for ``target`` are kept."""
    return JobDirectory(scratch_path(target, source))


def find_finished_job(job_dir: JobDirectory, target: Path) -> Manifest | None:
    """The manifest of a job whose output is in place, but which was killed before it removed its directory."""
    if not target.is_file() or job_dir.output.exists() or not job_dir.manifest.exists():
        return None
    try:
        manifest = Manifest.read(job_dir.manifest)
    except OutputError:
        return None
    return manifest if manifest is not None and manifest.output == file_identity(target) else None
