"""``edvr info``: what is in a video, and what would become of each part."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import torch
from rich.table import Table

from edvr_cli.cli.fetch import PULL_OPTION, available
from edvr_cli.cli.output import PlainConsole, echo_json, markup
from edvr_cli.cli.progress import duration
from edvr_cli.cli.types import DEVICE, MODEL, RATE, RAW_FORMAT, SCALE
from edvr_cli.inference.frames import model_scale, output_size
from edvr_cli.jobs.disk_space import output_bytes, readable_size, space_needed
from edvr_cli.jobs.estimate import Forecast, forecast, seconds_a_frame
from edvr_cli.models.checkpoint import load_model
from edvr_cli.models.registry import default_model
from edvr_cli.video.muxing.plan import FORMATS, MuxPlan, encoding_for, plan_mux
from edvr_cli.video.pixels.color import MATRIX_NAMES, PRIMARIES_NAMES, TRANSFER_NAMES
from edvr_cli.video.reading.frame_intervals import Timing, timing
from edvr_cli.video.reading.info import StreamInfo, VideoInfo
from edvr_cli.video.reading.sources import RawFormat, Reading, as_source, probe
from edvr_cli.video.writing.encoders import EncoderPlan, Encoding, plan_encoder

__all__ = ["info_command"]


@dataclass(frozen=True)
class _Prospect:
    """What would be written, and what that would take; ``pace`` is seconds a frame, None where not measured."""

    target: Path
    encoder: EncoderPlan
    streams: MuxPlan
    work: Forecast
    pace: float | None

    def seconds(self, info: VideoInfo) -> float | None:
        """For all frames."""
        return None if self.pace is None or not info.frame_count else self.pace * info.frame_count


@click.command("info", no_args_is_help=True)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--to", "target", metavar="OUT", help="A file's name or suffix: what it would hold.  [default: as IN]")
@click.option("-s", "--scale", type=SCALE, metavar="X", help="Enlarge by X.  [default: the model's scale]")
@click.option("-n", "--model", metavar="MODEL", type=MODEL, help="A model's name or checkpoint file.")
@PULL_OPTION
@click.option("-d", "--device", type=DEVICE, default="auto", show_default=True, help="cpu, cuda, cuda:1, mps.")
@click.option(
    "--measure", is_flag=True, help="Restore a few frames, for some seconds, to tell how long all would take."
)
@click.option("-c", "--codec", help="Video encoder, by FFmpeg's name.  [default: what suits OUT]")
@click.option("--pix-fmt", "--pix_fmt", "pix_fmt", help="Pixel format.  [default: the source's bit depth]")
@click.option("--fps", type=RATE, help="Frames a second of pictures or raw samples.")
@click.option("--raw-input", type=RAW_FORMAT, help="What raw samples on a pipe are, if IN has no header.")
@click.option("--allow-network", is_flag=True, help="Let IN be an address, or lead to other files and addresses.")
@click.option("--json", "as_json", is_flag=True, help="Write it as JSON.")
def info_command(
    source: Path,
    target: str | None,
    scale: float | None,
    model: str | None,
    pull: bool,
    device: torch.device,
    measure: bool,
    codec: str | None,
    pix_fmt: str | None,
    fps: Fraction | None,
    raw_input: RawFormat | None,
    allow_network: bool,
    as_json: bool,
) -> None:
    """Tell what is in the video IN: picture, color, times, streams, and what is assumed where it does not say.

    And what would become of each part in OUT, before anything is done, and what it would take; nothing is written.
    """
    info = probe(as_source(source, Reading(rate=fps, raw=raw_input, allow_network=allow_network)))
    times = timing(info)
    if times is not None and times.all_frames:
        info = replace(info, frame_count=times.frames)
    path = _target(info, target)
    encoding = encoding_for(path, info.source, Encoding(codec=codec, pix_fmt=pix_fmt))
    network = load_model(available(model or default_model("sr"), agreed=pull), device)
    width, height = output_size(info.width, info.height, model_scale(network, scale))
    encoder = plan_encoder(encoding, info, width=width, height=height)
    streams = plan_mux(info, encoder, path)
    if measure and not info.source.rereadable:
        raise click.UsageError("--measure would use up the pipe's frames; write them to a file first.")
    pace = seconds_a_frame(info, network) if measure else None
    prospect = _Prospect(path, encoder, streams, forecast(info, network), pace)
    if as_json:
        echo_json(_facts(info, times, prospect), indent=2)
    else:
        _show(info, times, prospect)


def _target(info: VideoInfo, target: str | None) -> Path:
    """A name for the output: the one given, one with the suffix given, or the usual one."""
    if target is not None:
        return Path(f"{info.path.stem}{target}") if target.startswith(".") and "/" not in target else Path(target)
    if info.container == "pictures":
        return Path("pictures")
    suffix = info.path.suffix.lower()
    return Path(f"{info.path.stem}{suffix if suffix in FORMATS.keys() - {'.webm'} else '.mkv'}")


def _show(info: VideoInfo, times: Timing | None, prospect: _Prospect) -> None:
    console = PlainConsole()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(info, times):
        table.add_row(name, value)
    console.print(table)
    console.print()
    kept = {plan.stream.index: plan for plan in prospect.streams.streams}
    streams = Table("stream", "codec", "", f"in {prospect.target.suffix or prospect.streams.format}", box=None)
    streams.columns[3].overflow = "fold"
    encoder = prospect.encoder
    size = f"{encoder.width}×{encoder.height}"
    streams.add_row(
        f"{info.stream_index} video", info.codec, "", f"restored: {size} {encoder.codec}, {encoder.layout.name}"
    )
    for stream in info.streams:
        plan = kept.get(stream.index)
        fate = "kept" if plan is None or plan.action == "copy" else _fate(plan.action, plan.codec, plan.reason)
        streams.add_row(f"{stream.index} {_kind(stream)}", stream.codec, _details(stream), fate)
    console.print(streams)
    console.print()
    for line in _work(info, prospect):
        console.print(line)
    for note in prospect.streams.notes:
        console.print(markup("[yellow]note:[/] {}", note))


def _work(info: VideoInfo, prospect: _Prospect) -> Iterator[str]:
    """Disk, memory and time, a sentence each."""
    encoder, work = prospect.encoder, prospect.work
    if info.frame_count:
        size, space = (readable_size(count(encoder, info, info.frame_count)) for count in (output_bytes, space_needed))
        yield f"Output: roughly {size}; {space} of disk space during the work."
    pieces = f"tiles of {work.tile} pixels" if work.tile else "whole frames"
    free = "" if work.free is None else f", of {readable_size(work.free)} that are free"
    yield (
        f"Memory: roughly {readable_size(work.memory)} for the network{free} "
        f"({work.model} on {work.device}, {work.precision}, {pieces})."
    )
    if prospect.pace is None:
        yield "Time: --measure restores a few frames and tells."
    else:
        seconds = prospect.seconds(info)
        every = "" if seconds is None else f", about {duration(seconds)} for all"
        yield f"Time: {prospect.pace:.2g} s a frame as measured{every}; decoding and encoding go on beside it."


def _lines(info: VideoInfo, times: Timing | None) -> list[tuple[str, str]]:
    size = f"{info.width}×{info.height}"
    if info.display_size != (info.width, info.height):
        shown = []
        if info.sample_aspect_ratio != 1:
            shown.append(
                f"pixel aspect ratio {info.sample_aspect_ratio.numerator}:{info.sample_aspect_ratio.denominator}"
            )
        if info.rotation:
            shown.append(f"turned by {info.rotation}°")
        size += ", shown as {}×{}".format(*info.display_size) + (f" ({', '.join(shown)})" if shown else "")
    elif info.rotation or info.display_matrix is not None:
        size += f", turned by {info.rotation}° or mirrored"
    lines = [
        ("file", str(info.path)),
        ("container", info.container),
        ("video", f"{info.codec}, {info.pix_fmt}, {info.depth} bits" + (", transparent" if info.layout.alpha else "")),
        ("size", size),
        ("color", _color(info)),
        ("HDR", _hdr(info)),
        ("frames", _frames(info, times)),
        ("starts at", f"{float(info.start_time):.6g} s" if info.start_time else ""),
        ("fields", "interlaced" if info.interlaced else "progressive"),
        ("chapters", str(info.chapters or "")),
        ("metadata", ", ".join(f"{key}={value}" for key, value in sorted(info.readable_metadata.items()))),
    ]
    return [(name, value) for name, value in lines if value]


def _color(info: VideoInfo) -> str:
    color = info.color
    if info.layout.family == "rgb":
        text = "RGB, full range" if color.full_range else "RGB, limited range"
    else:
        range_name = "full" if color.full_range else "limited"
        text = f"matrix {MATRIX_NAMES.get(color.matrix, color.matrix)}, {range_name} range"
    if color.assumed:
        text = f"untagged, by its size taken as {text}"
    text += f", primaries {PRIMARIES_NAMES.get(color.primaries, color.primaries)}"
    text += f", transfer {TRANSFER_NAMES.get(color.transfer, color.transfer)}"
    return text + (f", chroma {color.chroma_location}" if info.layout.shift_x or info.layout.shift_y else "")


def _hdr(info: VideoInfo) -> str:
    parts = {16: ["PQ"], 18: ["HLG"]}.get(info.color.transfer, [])
    if info.hdr.mastering:
        low, high = map(float, info.hdr.mastering[8:])
        parts.append(f"mastered for {low:g} to {high:g} cd/m²")
    if info.hdr.content_light:
        parts.append("MaxCLL {}, MaxFALL {}".format(*info.hdr.content_light))
    return ", ".join(parts)


def _frames(info: VideoInfo, times: Timing | None) -> str:
    parts = [f"{info.frame_count}" if info.frame_count else "an unknown number"]
    if info.average_rate:
        parts.append(f"{float(info.average_rate):.6g} fps" + (" on average" if times and times.variable else ""))
    if times is not None:
        steps = f"{float(times.shortest * 1000):.4g} to {float(times.longest * 1000):.4g} ms apart"
        parts.append(f"variable ({steps})" if times.variable else "constant")
    if info.duration:
        parts.append(f"{info.duration:.3f} s")
    return ", ".join(parts)


def _kind(stream: StreamInfo) -> str:
    return "cover art" if stream.cover else stream.kind


def _details(stream: StreamInfo) -> str:
    rate = f"{stream.sample_rate} Hz" if stream.sample_rate else None
    channels = f"{stream.channels} ch" if stream.channels else None
    flags = ", ".join(stream.dispositions) or None
    return ", ".join(part for part in (stream.language, stream.title, rate, channels, flags) if part)


def _fate(action: str, codec: str, reason: str) -> str:
    if action == "convert":
        return f"converted to {codec}: {reason}"
    return f"dropped: {reason}" if reason else "written anew"


def _facts(info: VideoInfo, times: Timing | None, prospect: _Prospect) -> dict[str, Any]:
    """Everything as JSON holds it; fractions as text."""
    color, encoder = info.color, prospect.encoder
    return {
        "path": info.path,
        "container": info.container,
        "video": {
            "stream": info.stream_index,
            "codec": info.codec,
            "pix_fmt": info.pix_fmt,
            "depth": info.depth,
            "alpha": info.layout.alpha,
            "width": info.width,
            "height": info.height,
            "sample_aspect_ratio": str(info.sample_aspect_ratio),
            "rotation": info.rotation,
            "display_matrix": info.display_matrix,
            "display_size": info.display_size,
            "interlaced": info.interlaced,
            "color": {
                "matrix": MATRIX_NAMES.get(color.matrix, str(color.matrix)),
                "range": "full" if color.full_range else "limited",
                "primaries": PRIMARIES_NAMES.get(color.primaries, str(color.primaries)),
                "transfer": TRANSFER_NAMES.get(color.transfer, str(color.transfer)),
                "chroma_location": color.chroma_location,
                "assumed": color.assumed,
            },
            "hdr": {
                "mastering": None if info.hdr.mastering is None else [float(value) for value in info.hdr.mastering],
                "content_light": info.hdr.content_light,
            },
            "frames": info.frame_count,
            "frame_rate": None if info.average_rate is None else str(info.average_rate),
            "variable": None if times is None else times.variable,
            "time_base": str(info.time_base),
            "start": float(info.start_time),
            "duration": info.duration,
        },
        "streams": [
            {
                "index": plan.stream.index,
                "kind": _kind(plan.stream),
                "codec": plan.stream.codec,
                "language": plan.stream.language,
                "title": plan.stream.title,
                "dispositions": plan.stream.dispositions,
                "action": plan.action,
                "becomes": plan.codec,
                "reason": plan.reason,
            }
            for plan in prospect.streams.streams
        ],
        "chapters": info.chapters,
        "metadata": info.readable_metadata,
        "output": {
            "container": prospect.streams.format,
            "codec": encoder.codec,
            "pix_fmt": encoder.layout.name,
            "width": encoder.width,
            "height": encoder.height,
            "options": dict(encoder.options),
            "size": output_bytes(encoder, info, info.frame_count) if info.frame_count else None,
            "space": space_needed(encoder, info, info.frame_count) if info.frame_count else None,
            "warnings": prospect.streams.warnings,
        },
        "work": {
            "model": prospect.work.model,
            "device": str(prospect.work.device),
            "precision": prospect.work.precision,
            "tile": prospect.work.tile,
            "memory": prospect.work.memory,
            "free_memory": prospect.work.free,
            "seconds_a_frame": prospect.pace,
            "seconds": prospect.seconds(info),
        },
    }
