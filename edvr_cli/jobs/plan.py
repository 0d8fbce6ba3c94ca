"""The plan of a restoration: everything that is decided, and tried, before the work."""

import logging
import os
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from edvr_cli.events import Notice
from edvr_cli.image.turns import UNTURNED
from edvr_cli.inference.frames import model_scale, output_size
from edvr_cli.inference.options import InferenceOptions, Precision
from edvr_cli.jobs.fingerprint import fingerprint, model_digest
from edvr_cli.jobs.manifest import Header
from edvr_cli.jobs.options import JobOptions, OutputOptions
from edvr_cli.jobs.segments import SegmentLimits
from edvr_cli.jobs.source_range import SourceRange
from edvr_cli.jobs.target_size import TargetSize, exceeds_4k
from edvr_cli.models.checkpoint import load_model
from edvr_cli.network.edvr import EDVR
from edvr_cli.network.model import Model
from edvr_cli.system.limits import cpu_count
from edvr_cli.version import __version__
from edvr_cli.video.muxing.plan import MuxPlan, encoding_for, plan_mux, turn_for
from edvr_cli.video.reading.completeness import ends_early
from edvr_cli.video.reading.info import Source, VideoInfo
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.reading.sources import as_source, probe
from edvr_cli.video.writing.encoders import EncoderPlan, plan_encoder

__all__ = ["RestorePlan", "plan_restore"]

_LOG = logging.getLogger(__name__)
_MIN_SHARE = 0.97  # of a file's bytes: the rest may be its index alone
_MAX_ERROR = 3  # frames by which an estimate may be wrong


@dataclass(frozen=True)
class RestorePlan:
    """What is read, how it is restored, and what is written.

    ``encoder`` has been opened once, and each stream of ``mux`` tried in the target's container.
    """

    model: Model
    source: SourceRange
    target: Path
    encoder: EncoderPlan
    mux: MuxPlan
    inference: InferenceOptions
    output: OutputOptions
    job: JobOptions
    size_is_default: bool = False  # nobody asked for this size

    @property
    def info(self) -> VideoInfo:
        """The source."""
        return self.source.info

    @property
    def is_resized(self) -> bool:
        """Whether the network's output is resized, because another scale than the model's is wanted."""
        scale = self.model.config.scale
        return self.encoder.size != self.info.turned(self.encoder.turn).size.times(scale)

    @property
    def size_note(self) -> Notice | None:
        """What to say of a result that became larger than 4K without being asked for."""
        size = self.encoder.size
        if not self.size_is_default or not exceeds_4k(size) or self.model.config.scale == 1:
            return None
        return Notice(f"The result is {size}, larger than 4K.", hint="smaller")

    @property
    def limits(self) -> SegmentLimits:
        """Where segments end."""
        return SegmentLimits.from_seconds(self.job.segment_seconds, self.info.average_rate)

    @property
    def total_frames(self) -> int | None:
        """Number of frames to restore, as far as the source says it."""
        info, source = self.info, self.source
        total = info.frame_count
        if total is not None and (source.start is not None or source.end is not None):
            if info.average_rate is None or info.duration is None:
                return source.max_frames
            end = min(float(source.end), info.duration) if source.end is not None else info.duration
            total = max(0, round((end - float(source.start or 0)) * float(info.average_rate)))
        if source.max_frames is None:
            return total
        return source.max_frames if total is None else min(total, source.max_frames)

    def promised_frames(self, count: int) -> int | None:
        """Frames that a source promises which breaks off after ``count`` of them; None where it does not."""
        info, source = self.info, self.source
        if source.end is not None or source.max_frames is not None:
            return None
        total = self.total_frames
        if info.share < 1 and (total is None or count >= total):
            # Some headers give no count, or libav counts what is there.
            return max(count + 1, round(count / info.share)) if info.share < _MIN_SHARE else None
        if total is None or count >= total:
            return None
        few = total - count > max(_MAX_ERROR, float(info.average_rate or 0) / 2)
        return total if info.share < 1 or (few and ends_early(info)) else None

    def header(self, precision: Precision, tile: int) -> Header:
        """What decides the frames of the job, when a backend uses this precision and these tiles."""
        return Header(
            source=asdict(fingerprint(*self.info.source.files())),
            model={"name": self.model.name, "sha256": model_digest(self.model)},
            settings={
                "program version": __version__,
                "precision": precision,
                "strength": self.inference.strength,
                "sharpen": self.inference.sharpen,
                "tta": self.inference.tta,
                "window": self.model.config.frames,
                "split at cuts": self.job.split_at_cuts,
                "tile pad": self.inference.tile_pad,
                "start": _text(self.source.start),
                "end": _text(self.source.end),
                "frames": self.source.max_frames,
                "segment length": self.job.segment_seconds,
                **_encoder_settings(self.encoder),
            },
            choices={"tile": tile, "threads": self.source.threads},
        )


def plan_restore(
    source: str | os.PathLike[str] | Source,
    target: str | os.PathLike[str],
    *,
    model: str | Path | Model | EDVR,
    scale: float | TargetSize | None = None,
    device: str | torch.device = "auto",
    inference: InferenceOptions | None = None,
    input: InputOptions | None = None,
    output: OutputOptions | None = None,
    job: JobOptions | None = None,
) -> RestorePlan:
    """Decide and try everything before the work; nothing is written.

    Arguments are those of :func:`edvr_cli.restore_video`; ``source`` may also be open already. Raises InputError,
    OutputError, ModelError and DeviceError.
    """
    input, output, job = input or InputOptions(), output or OutputOptions(), job or JobOptions()
    origin = as_source(source, input)
    encoding = encoding_for(target, origin, output.encoding)
    source_info = probe(origin).measured()
    turn = turn_for(target, source_info)
    info = source_info.turned(turn)  # what is written
    model = load_model(model, device) if isinstance(model, str | Path) else Model.of(model)
    if isinstance(scale, TargetSize):
        size = scale.output_size(info.path, info.size, info.display_size, model.config.scale)
    else:
        size = output_size(info.size, model_scale(model, scale))
    encoder = plan_encoder(encoding, info, width=size.width, height=size.height, threads=job.threads or 0, turn=turn)
    mux = plan_mux(
        info,
        encoder,
        target,
        audio=output.audio,
        subtitles=output.subtitles,
        strict=output.strict_streams,
        pipe_format=output.pipe_format,
    )
    source_range = SourceRange(source_info, input.start, input.end, input.max_frames, job.threads or cpu_count())
    _LOG.debug("encoder: %s", encoder)
    _LOG.debug("streams: %s", mux)
    return RestorePlan(
        model,
        source_range,
        Path(target),
        encoder,
        mux,
        inference or InferenceOptions(),
        output,
        job,
        size_is_default=scale is None,
    )


def _encoder_settings(encoder: EncoderPlan) -> dict[str, Any]:
    """The encoder's settings by their names in messages."""
    return {
        "output size": f"{encoder.width}×{encoder.height}",
        "turned": encoder.turn != UNTURNED,
        "codec": encoder.codec,
        "pixel format": encoder.layout.name,
        "frame rate": str(encoder.rate),
        "color": str(encoder.color),
        **{f"encoder option {name}": value for name, value in encoder.options.items()},
    }


def _text(time: Fraction | None) -> str | None:
    return None if time is None else f"{time} s"
