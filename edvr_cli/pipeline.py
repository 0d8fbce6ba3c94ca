"""Frames through the network, and whole videos: the library's two main functions.

    video file ─decode▶ planes ─color▶ RGB ─shots, windows, engine▶ RGB ─resize, color▶ planes ─encode▶ video file

Decoding and encoding run in threads of their own beside the network; memory is that of a few frames.
"""

import os
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edvr_cli.edvr import EDVR
from edvr_cli.engine import DEFAULT_HALO, StreamingEDVR
from edvr_cli.errors import ModelError
from edvr_cli.events import Event, Finished, FrameRestored, Notice, OnEvent, Started
from edvr_cli.overlap import Drain, prefetch
from edvr_cli.precision import Precision, name_of
from edvr_cli.resample import Kernel, resize
from edvr_cli.shots import CutDetector
from edvr_cli.video.color import planes_to_rgb, rgb_to_planes
from edvr_cli.video.encoders import EncoderPlan, Encoding, plan_encoder
from edvr_cli.video.mux import mux, verify
from edvr_cli.video.probe import VideoInfo, probe
from edvr_cli.video.reader import SourceFrame, VideoReader
from edvr_cli.video.streams import plan_mux
from edvr_cli.video.target import check_target, target_file
from edvr_cli.video.writer import EncodedVideo, VideoWriter
from edvr_cli.weights import load_model
from edvr_cli.window import Window, windows

__all__ = ["Encoding", "Frame", "restore_frames", "restore_video"]

Frame = Tensor | np.ndarray
"""A float tensor (3, H, W), RGB in [0, 1], or a uint8 array (H, W, 3), RGB."""

_DECODED_AHEAD = 4  # frames; a window's worth is held besides
_ENCODED_BEHIND = 4
_LUMA = torch.tensor([0.2126, 0.7152, 0.0722])


def restore_frames(
    frames: Iterable[Frame],
    model: EDVR,
    *,
    scale: float | None = None,
    precision: Precision = "auto",
    shots: bool = True,
    tile: int | None = None,
    halo: int = DEFAULT_HALO,
) -> Iterator[Frame]:
    """Restore a stream of frames, one for one and in order, holding a window of them at a time.

    Every frame is a float tensor (3, H, W) in [0, 1] or a uint8 array (H, W, 3), all of one size, and comes
    back as the same kind, of the same type. ``scale`` (1 to the model's own) resizes the output; None is the
    model's. ``shots`` keeps windows from reaching across scene cuts. ``tile`` and ``halo`` are
    :class:`StreamingEDVR`'s. Raises ValueError for frames of another kind or size, ModelError for a scale that
    is not the model's.
    """
    factor = _scale(model, scale)
    engine = StreamingEDVR(model, precision=precision, tile=tile, halo=halo)
    detector = CutDetector() if shots else None
    size: tuple[int, ...] | None = None

    def read() -> Iterator[tuple[tuple[Tensor, torch.dtype | None], bool]]:
        nonlocal size
        for frame in frames:
            rgb, kind = _as_rgb(frame)
            if size is not None and tuple(rgb.shape) != size:
                raise ValueError(f"frames must be of one size: got {tuple(rgb.shape)} after {size}")
            size = tuple(rgb.shape)
            luma = torch.einsum("chw,c->hw", rgb.float().cpu(), _LUMA)
            yield (rgb, kind), detector is not None and detector.starts_shot(luma)

    for window in windows(read(), model.config.frames, model.padding):
        source, kind = window.reference
        output = engine.restore(Window(window.indices, tuple(rgb for rgb, _ in window.frames)))
        width, height = output_size(source.shape[2], source.shape[1], factor)
        output = _to_size(output, (height, width))
        yield _as_array(output) if kind is None else output.clamp(0, 1).to(source.device, kind)


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
    on_event: OnEvent | None = None,
) -> Finished:
    """Restore a video file into another: same frames, times, sound, subtitles, chapters and metadata.

    ``model`` is a name, a checkpoint file, or a loaded network (then ``device`` is where it lies). ``start``
    and ``end`` are seconds, ``max_frames`` a count. ``on_event`` is told how it goes, in the calling thread.
    The target appears under its name when it is whole and verified, and not at all otherwise.

    Raises EdvrError's children: InputError, OutputError, ModelError, DeviceError.
    """
    began = time.monotonic()
    tell: OnEvent = on_event or _ignore
    target = check_target(target, source=source, overwrite=overwrite)
    info = probe(source)
    network = model if isinstance(model, EDVR) else load_model(model, device)
    width, height = output_size(info.width, info.height, _scale(network, scale))
    encoder = plan_encoder(encoding or Encoding(), info, width=width, height=height)
    streams = plan_mux(info, encoder, target, audio=audio, subtitles=subtitles)
    engine = StreamingEDVR(
        network,
        precision=precision,
        tile=tile,
        halo=halo,
        on_smaller_tile=lambda size: tell(Notice(f"Out of memory: went on with tiles of {size} pixels.")),
    )
    engine.prepare(info.height, info.width)
    total = _total(info, start, end, max_frames)
    tell(
        Started(
            source=info.path,
            target=target,
            size=(info.width, info.height),
            output_size=(width, height),
            total=total,
            model=network.name,
            device=str(engine.device),
            precision=name_of(engine.dtype),
            tile=engine.tile_size,
            resized=(width, height) != (info.width * network.config.scale, info.height * network.config.scale),
        )
    )
    for warning in streams.warnings:
        tell(Notice(warning))

    notices: list[str] = []  # from the reader's thread
    with target_file(target, source=source, overwrite=overwrite) as workspace:
        reader = VideoReader(source, start=start, end=end, max_frames=max_frames, info=info, on_warning=notices.append)
        video = _restore(reader, engine, encoder, workspace.directory, shots=shots, total=total, tell=tell)
        for notice in notices:
            tell(Notice(notice))
        mux(
            video,
            info,
            streams,
            workspace.output,
            cut_start=start is not None,
            cut_end=end is not None or max_frames is not None,
        )
        verify(workspace.output, video.frame_count)
    finished = Finished(Path(target), video.frame_count, time.monotonic() - began)
    tell(finished)
    return finished


def output_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """(width, height) of the output; even, as most pixel formats need, where the scale leaves a choice."""
    if scale == int(scale):
        return int(width * scale), int(height * scale)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


_Encodable = tuple[tuple[Tensor, ...], int, int | None]  # planes, pts, duration


@dataclass(frozen=True)
class _Decoded:
    frame: SourceFrame
    rgb: Tensor


def _restore(
    reader: VideoReader,
    engine: StreamingEDVR,
    encoder: EncoderPlan,
    directory: Path,
    *,
    shots: bool,
    total: int | None,
    tell: OnEvent,
) -> EncodedVideo:
    """Decode, restore and encode every frame into a file in ``directory``."""
    info = reader.info
    # A tiled frame stays on the host, whence its tiles travel.
    device = engine.device if engine.whole_frames else torch.device("cpu")

    def decode() -> Generator[tuple[_Decoded, bool], None, None]:
        detector = CutDetector() if shots else None
        with reader:
            for frame in reader:
                rgb = planes_to_rgb(frame.planes, frame.layout, info.color, device=device)
                yield _Decoded(frame, rgb), detector is not None and detector.starts_shot(_luma(frame))

    with ExitStack() as stack:
        writer = stack.enter_context(VideoWriter(directory / "video.mkv", encoder, time_base=info.time_base))
        decoded = stack.enter_context(closing(prefetch(decode(), _DECODED_AHEAD)))
        with Drain[_Encodable](lambda item: writer.write(*item), _ENCODED_BEHIND) as encode:
            numbered = enumerate(windows(decoded, engine.config.frames, engine.model.padding), start=1)
            for number, window in numbered:
                output = engine.restore(Window(window.indices, tuple(item.rgb for item in window.frames)))
                output = _to_size(output, (encoder.height, encoder.width))
                planes = rgb_to_planes(output, encoder.layout, encoder.color)
                frame = window.reference.frame
                encode.put((tuple(plane.cpu() for plane in planes), frame.pts, frame.duration))
                tell(FrameRestored(number, total))
        return writer.finish()


def _to_size(rgb: Tensor, size: tuple[int, int]) -> Tensor:
    """Shrink (3, H, W) to ``size`` (h, w) where it has another: Lanczos, whose antialiasing keeps it sharp."""
    kernel: Kernel = "lanczos"
    return rgb if tuple(rgb.shape[1:]) == size else resize(rgb, size, kernel)


def _luma(frame: SourceFrame) -> Tensor:
    """What scene cuts are looked for in: (H, W) in [0, 1], thinned out, from the first plane.

    For packed RGB that is a mixture of its channels, which a cut changes as well.
    """
    plane = frame.planes[0][::2, ::2]
    peak = 1 << frame.layout.depth + frame.layout.shift
    return plane.to(torch.float32) / (peak - 1)


def _total(info: VideoInfo, start: Fraction | None, end: Fraction | None, max_frames: int | None) -> int | None:
    """How many frames will be restored, as far as the source tells."""
    total = info.frame_count
    if total is not None and (start is not None or end is not None):
        if info.average_rate is None or info.duration is None:
            return max_frames
        seconds = min(float(end), info.duration) if end is not None else info.duration
        total = max(0, round((seconds - float(start or 0)) * float(info.average_rate)))
    if max_frames is None:
        return total
    return max_frames if total is None else min(total, max_frames)


def _scale(model: EDVR, scale: float | None) -> float:
    """The scale that is asked for, or the model's own. Raises ModelError for one beyond the model's."""
    if scale is None:
        return model.config.scale
    if not 1 <= scale <= model.config.scale:
        raise ModelError(f"{model.name} enlarges by {model.config.scale}: choose a scale from 1 to that")
    return scale


def _as_rgb(frame: Frame) -> tuple[Tensor, torch.dtype | None]:
    """A frame as float32 RGB (3, H, W), and the type that its tensor had, None for an array."""
    if isinstance(frame, np.ndarray):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
            raise ValueError(f"an array frame must be uint8 (H, W, 3), got {frame.dtype} {frame.shape}")
        return torch.from_numpy(frame).permute(2, 0, 1).float() / 255, None
    if not isinstance(frame, Tensor):
        raise ValueError(f"a frame must be a tensor or an array, got {type(frame).__name__}")
    if not frame.is_floating_point() or frame.dim() != 3 or frame.shape[0] != 3 or frame.numel() == 0:
        raise ValueError(f"a tensor frame must be floating (3, H, W), got {frame.dtype} {tuple(frame.shape)}")
    return frame.float(), frame.dtype


def _as_array(rgb: Tensor) -> np.ndarray:
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().contiguous().numpy()


def _ignore(event: Event) -> None:
    pass
