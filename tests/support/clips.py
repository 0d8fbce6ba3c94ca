"""Small clips made on the spot, and what tests ask of a file."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SHARED = Path("/work/shared/data")
HARD = SHARED / "hard"

SRT_LINES = ((100, 200, "First <i>line</i>"), (300, 150, "Second line"))


@dataclass(frozen=True)
class Clip:
    """What `make_clip` puts into a file; times in ticks of ``time_base``."""

    frames: int = 12
    width: int = 64
    height: int = 48
    pix_fmt: str = "yuv420p"
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "qp": "0", "bf": "2", "g": "6"})
    rate: Fraction = Fraction(25)
    time_base: Fraction | None = None
    pts: Sequence[int] | None = None
    tags: dict[str, int] = field(default_factory=dict)
    sample_aspect_ratio: Fraction | None = None
    rotation: tuple[float, bool, bool] | None = None
    audio: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    subtitles: str | None = None
    chapters: bool = False
    attachment: bool = False
    cover: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    cut: tuple[int, int] | None = None
    """The first frame of a second shot, and which of two pictures it shows (1 or 2)."""


def make_clip(path: Path, **changes: object) -> Path:
    """Write a clip of moving colored waves (see `Clip`), and return its path."""
    clip = Clip(**changes)  # type: ignore[arg-type]
    with av.open(str(path), "w", container_options=_options(path, clip)) as output:
        output.metadata.update(clip.metadata)
        video = output.add_stream(clip.codec, clip.rate, options=clip.options)
        video.width, video.height, video.pix_fmt = clip.width, clip.height, clip.pix_fmt
        context = video.codec_context
        context.time_base = clip.time_base or 1 / clip.rate
        if clip.sample_aspect_ratio is not None:
            context.sample_aspect_ratio = clip.sample_aspect_ratio
        for name, value in clip.tags.items():
            setattr(context, name, value)
        if clip.rotation is not None:
            video.set_display_rotation(*clip.rotation)
        sounds = [_add_audio(output, codec, clip, number) for number, codec in enumerate(clip.audio)]
        subtitle = _add_subtitles(output, clip)
        picture = _add_cover(output) if clip.cover else None
        if clip.attachment:
            output.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font")
        if clip.chapters:
            half = clip.frames * 20
            output.set_chapters(
                [
                    {"id": 1, "start": 0, "end": half, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
                    {
                        "id": 2,
                        "start": half,
                        "end": 2 * half,
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": "Two"},
                    },
                ]
            )
        output.start_encoding()
        if picture is not None:
            packet = av.Packet(_jpeg())
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = picture, 0, 0, True
            packet.time_base = Fraction(1, 1000)
            output.mux_one(packet)
        for index, planes in enumerate(waves(clip)):
            frame = to_frame(planes, clip)
            frame.pts = clip.pts[index] if clip.pts is not None else index
            frame.time_base = context.time_base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        for sound in sounds:
            _write_audio(output, sound, clip)
        if subtitle is not None:
            _write_subtitles(output, subtitle)
    return path


def waves(clip: Clip) -> list[list[np.ndarray]]:
    """Planes of smooth waves that move from frame to frame, inside the legal range of limited video.

    With a cut they move slowly, for it to stand out, and are others behind it.
    """
    fmt = av.VideoFormat(clip.pix_fmt, clip.width, clip.height)
    scale = 1 << max(0, fmt.components[0].bits - 8)
    frames = []
    for index in range(clip.frames):
        planes = []
        time = index if clip.cut is None else index / 4
        for number, part in enumerate(fmt.components):
            rows, columns = np.mgrid[: part.height, : part.width]
            span = 2 * np.pi / max(part.width, part.height)
            wave = np.sin((columns * (number + 1) + time * 3) * span) + np.cos((rows - time * 2) * span * 2)
            if clip.cut is not None and index >= clip.cut[0]:
                wave = 1.5 - 0.25 * clip.cut[1] * wave
            center, swing = (125, 40) if part.is_luma or fmt.is_rgb else (128, 25)
            planes.append(np.round((center + swing * wave) * scale).astype(np.uint16 if scale > 1 else np.uint8))
        frames.append(planes)
    return frames


def to_frame(planes: Sequence[np.ndarray], clip: Clip) -> av.VideoFrame:
    """A libav frame of planar samples."""
    frame = av.VideoFrame(clip.width, clip.height, clip.pix_fmt)
    for part, samples in zip(frame.format.components, planes, strict=True):
        plane = frame.planes[part.plane]
        grid = np.frombuffer(plane, samples.dtype).reshape(plane.height, -1)
        grid[:, : plane.width] = samples
    for name, value in clip.tags.items():
        setattr(frame, name, value)
    return frame


def packets(path: Path, kind: str = "audio") -> list[list[tuple[str, Fraction]]]:
    """For each stream of a kind, the hash and the time in seconds of each packet."""
    found: dict[int, list[tuple[str, Fraction]]] = {}
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found = {stream.index: [] for stream in streams}
        for packet in container.demux(streams) if streams else ():
            if packet.size:
                digest = hashlib.sha256(bytes(packet)).hexdigest()
                found[packet.stream_index].append((digest, (packet.pts or 0) * packet.time_base))
    return list(found.values())


def pictures(path: Path) -> list[list[np.ndarray]]:
    """The planes of each decoded frame of the first video stream, of 8 bits a sample."""
    with av.open(str(path)) as container:
        return [
            [
                np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width].copy()
                for plane in frame.planes
            ]
            for frame in container.decode(video=0)
        ]


def frame_times(path: Path) -> list[Fraction]:
    """The time in seconds of each decoded frame of the first video stream."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def shared(path: Path) -> Path:
    """A file of the shared test data; skips the test where there is none."""
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    return path


def _options(path: Path, clip: Clip) -> dict[str, str]:
    if path.suffix not in (".mp4", ".mov") or clip.time_base is None:
        return {}
    return {
        "video_track_timescale": str(clip.time_base.denominator),
        "movie_timescale": str(clip.time_base.denominator),
    }


def _add_audio(output: av.container.OutputContainer, codec: str, clip: Clip, number: int) -> av.AudioStream:
    stream = output.add_stream(codec, 48000)
    if number < len(clip.languages):
        stream.metadata["language"] = clip.languages[number]
    return stream


def _write_audio(output: av.container.OutputContainer, stream: av.AudioStream, clip: Clip) -> None:
    count = int(48000 * clip.frames / clip.rate)
    tone = np.sin(np.arange(count) * (0.03 + 0.01 * stream.index)) * 8000
    resampler = av.AudioResampler(stream.format, stream.layout, 48000, stream.codec_context.frame_size or 1024)
    frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None, :].repeat(2, 0).T.reshape(1, -1), "s16", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        output.mux(stream.encode(part))
    output.mux(stream.encode(None))


def _add_subtitles(output: av.container.OutputContainer, clip: Clip) -> av.stream.Stream | None:
    if clip.subtitles is None:
        return None
    stream = output.add_stream(clip.subtitles)
    stream.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
    stream.codec_context.time_base = Fraction(1, 1000)
    stream.metadata.update({"language": "deu", "title": "Untertitel"})
    return stream


def _write_subtitles(output: av.container.OutputContainer, stream: av.stream.Stream) -> None:
    for start, duration, text in SRT_LINES:
        packet = av.Packet(text.encode())
        packet.stream, packet.pts, packet.dts, packet.duration = stream, start, start, duration
        packet.time_base = Fraction(1, 1000)
        output.mux_one(packet)


def _add_cover(output: av.container.OutputContainer) -> av.stream.Stream:
    stream = output.add_mux_stream("mjpeg", width=16, height=16)
    stream.disposition = av.stream.Disposition.attached_pic
    stream.time_base = Fraction(1, 1000)
    return stream


def _jpeg() -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 16, 16, "yuvj420p", Fraction(1, 25)
    return b"".join(
        bytes(packet) for packet in [*encoder.encode(av.VideoFrame(16, 16, "yuvj420p")), *encoder.encode(None)]
    )
