"""Options of the output, and of how a job is divided and resumed."""

from dataclasses import dataclass
from typing import Literal

from edvr_cli.video.file_names import PipeFormat
from edvr_cli.video.writing.options import Encoding

__all__ = ["JobOptions", "OutputOptions", "Resume"]

Resume = Literal["auto", "require", "never"]
"""Whether to continue an interrupted job: if there is one; or fail; or never, discarding what it kept."""


@dataclass(frozen=True)
class OutputOptions:
    """What is written.

    Attributes:
        encoding: encoder and its options; None: what suits the target.
        audio, subtitles: keep these streams.
        strict_streams: refuse a target that cannot hold every stream unchanged.
        overwrite: replace an existing target.
        pipe_format: format of standard output.
    """

    encoding: Encoding | None = None
    audio: bool = True
    subtitles: bool = True
    strict_streams: bool = False
    overwrite: bool = False
    pipe_format: PipeFormat = "y4m"


@dataclass(frozen=True)
class JobOptions:
    """How the work is divided and resumed.

    Attributes:
        segment_seconds: longest segment, in seconds of video.
        resume: whether to continue an interrupted job.
        threads: threads of the decoder and of the encoder; None: one per core.
        split_at_cuts: keep windows of frames from reaching across scene cuts.
    """

    segment_seconds: float = 4.0
    resume: Resume = "auto"
    threads: int | None = None
    split_at_cuts: bool = True
