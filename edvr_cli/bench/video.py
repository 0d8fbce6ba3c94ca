"""Speed of decoding, of encoding, and of a video end to end."""

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from edvr_cli.bench.hardware import seconds
from edvr_cli.bench.network import clip
from edvr_cli.image.resize import resize
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import InferenceOptions, Precision
from edvr_cli.jobs.options import JobOptions, OutputOptions
from edvr_cli.jobs.restore_video import restore_video
from edvr_cli.network.edvr import EDVR
from edvr_cli.video.pixels.color import planes_to_rgb, resolve, rgb_to_planes
from edvr_cli.video.pixels.layout import nearest_layout
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import FileSource
from edvr_cli.video.writing.encoders import EncoderPlan, plan_encoder
from edvr_cli.video.writing.options import Encoding
from edvr_cli.video.writing.writer import VideoWriter

__all__ = ["VideoResult", "time_video"]

PRESET = "fast"  # of libx264
_RATE = Fraction(25)
_MAX_FRAMES, _MAX_BYTES = 500, 1 << 30  # of the clip, as float32 frames


@dataclass(frozen=True)
class VideoResult:
    """Seconds per frame over ``frames`` frames, with color conversion: each stage by itself, then all at once.

    ``network`` is the engine alone on the same clip, its first window included, at ``precision``.
    """

    frames: int
    precision: str
    preset: str
    decode: float
    network: float
    encode: float
    end_to_end: float


def time_video(model: EDVR, width: int, height: int, precision: Precision, *, frames: int) -> VideoResult | None:
    """Time a clip of at most ``frames`` frames, fewer if they are large; None if they are fewer than a window has."""
    T, scale = model.config.frames, model.config.scale
    device = next(model.parameters()).device
    count = min(_MAX_FRAMES, frames, max(T, _MAX_BYTES // (12 * width * height)))
    if count < T:
        return None
    with tempfile.TemporaryDirectory(prefix="edvr-bench-") as folder:
        source, target = Path(folder, "source.mkv"), Path(folder, "target.mkv")
        source_frames = clip(count, width, height)
        _encode(source_frames, _plan(source, width, height, "ultrafast"), source)
        decoded: list[Tensor] = []

        def decode() -> None:
            with VideoReader(source) as reader:
                decoded.extend(planes_to_rgb(f.planes, f.layout, f.color, device=device) for f in reader)

        inference = InferenceOptions(precision=precision)
        stream = StreamingEDVR(model, inference)

        def restore() -> None:
            for _ in stream.restore_stream((None, frame, False) for frame in decoded):
                pass

        large = [resize(frame.to(device), (height * scale, width * scale), "bicubic") for frame in source_frames[:T]]
        plan = _plan(target, width * scale, height * scale, PRESET)
        times = {
            "decode": seconds(decode, device),
            "network": seconds(restore, device),
            "encode": seconds(lambda: _encode([large[n % T] for n in range(count)], plan, target), device),
            "end_to_end": seconds(
                lambda: restore_video(
                    source,
                    target,
                    model=model,
                    inference=inference,
                    output=OutputOptions(encoding=Encoding(preset=PRESET), overwrite=True),
                    job=JobOptions(split_at_cuts=False),
                ),
                device,
            ),
        }
    return VideoResult(count, precision, PRESET, **{name: time / count for name, time in times.items()})


def _plan(path: Path, width: int, height: int, preset: str) -> EncoderPlan:
    layout = nearest_layout("yuv420p")
    info = VideoInfo(
        source=FileSource(path),
        container="matroska",
        stream_index=0,
        codec="",
        width=width,
        height=height,
        pix_fmt=layout.name,
        layout=layout,
        color=resolve(layout, width, height),
        time_base=1 / _RATE,
        average_rate=_RATE,
        start_time=Fraction(0),
        duration=None,
        frame_count=None,
    )
    return plan_encoder(Encoding(preset=preset), info, width=width, height=height)


def _encode(frames: list[Tensor], plan: EncoderPlan, path: Path) -> None:
    with VideoWriter(path, plan, time_base=Fraction(1, 1000)) as writer:
        for n, frame in enumerate(frames):
            planes = rgb_to_planes(frame.clamp(0, 1), plan.layout, plan.color)
            writer.write(tuple(plane.cpu() for plane in planes), n * 1000 // int(_RATE))
        writer.finish()
