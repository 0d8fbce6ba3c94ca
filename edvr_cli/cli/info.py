"""``edvr info``: the content of a video, and the plan of its restoration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.hints import with_hint
from edvr_cli.cli.model_choice import ModelChoice
from edvr_cli.cli.option_groups import (
    encoding_options,
    inference_options,
    input_options,
    model_on_devices_options,
)
from edvr_cli.cli.output import PlainConsole, echo_json, markup
from edvr_cli.cli.paths import check_inputs
from edvr_cli.cli.prospect import Prospect, prospect_of
from edvr_cli.cli.size_options import size_options
from edvr_cli.cli.types import FILE, NAME
from edvr_cli.errors import InputError
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.jobs.options import OutputOptions
from edvr_cli.jobs.target_size import TargetSize
from edvr_cli.video.addresses import as_url, is_url
from edvr_cli.video.color_profiles import profile_name, samples_of
from edvr_cli.video.file_names import FORMATS
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.writing.options import Encoding

if TYPE_CHECKING:
    from edvr_cli.video.reading.frame_intervals import FrameIntervals
    from edvr_cli.video.reading.info import StreamInfo, VideoInfo

__all__ = ["info_command"]


@click.command("info", cls=ReadableCommand, no_args_is_help=True)
@click.argument("source", metavar="IN", type=FILE)
@click.option("--to", "target", metavar="OUT", type=NAME, help="Name or suffix of the output.  [default: as IN]")
@size_options
@click.option("--measure", is_flag=True, help="Restore a few frames to estimate the time.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@model_on_devices_options
@inference_options
@input_options
@encoding_options
def info_command(
    source: Path,
    target: str | None,
    scale: float | TargetSize | None,
    measure: bool,
    as_json: bool,
    choice: ModelChoice,
    inference: InferenceOptions,
    input: InputOptions,
    encoding: Encoding,
) -> None:
    """Describe the video IN: picture, color, times, streams, and what is assumed where the file does not say it.

    Also shows the plan of a run with the same options: what becomes of each stream in OUT, and the memory, disk space
    and time it takes. Nothing is written.
    """
    if not input.allow_network:
        if is_url(str(source)) and not source.exists():
            raise InputError(
                f"{as_url(str(source))} is a URL; URLs are opened only on request.", hint="network", wrong_usage=True
            )
        check_inputs(source)
    choice.check("sr")
    from edvr_cli.jobs.plan import plan_restore  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.video.reading.frame_intervals import measure_intervals  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.video.reading.sources import as_source, probe  # noqa: PLC0415 (torch takes seconds)

    devices = choice.devices()
    origin = as_source(source, input)
    info = probe(origin)
    times = measure_intervals(info)
    plan = plan_restore(
        origin,
        _target(info, target),
        model=choice.load("sr"),
        scale=scale,
        inference=inference,
        input=input,
        output=OutputOptions(encoding=encoding),
    )
    if times is not None and times.all_frames:
        info = replace(plan.info, frame_count=times.frames)
        plan = replace(plan, source=replace(plan.source, info=info))
    if measure and not plan.info.source.rereadable:
        raise click.UsageError("--measure would read the pipe's frames; write them to a file first.")
    prospect = prospect_of(plan, devices, measure=measure)
    if as_json:
        echo_json(_facts(plan.info, times, prospect), indent=2)
    else:
        _show(plan.info, times, prospect)


def _target(info: VideoInfo, target: str | None) -> Path:
    """A name for the output: the one given, one with the suffix given, or the usual one."""
    if target is not None:
        return Path(f"{info.path.stem}{target}") if target.startswith(".") and "/" not in target else Path(target)
    if info.container == "pictures":
        return Path("pictures")
    suffix = info.path.suffix.lower()
    return Path(f"{info.path.stem}{suffix if suffix in FORMATS.keys() - {'.webm'} else '.mkv'}")


def _show(info: VideoInfo, times: FrameIntervals | None, prospect: Prospect) -> None:
    console = PlainConsole()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(info, times):
        table.add_row(name, value)
    console.print(table)
    console.print()
    plan, encoder = prospect.plan, prospect.plan.encoder
    fates = {fate.stream.index: fate for fate in plan.mux.streams}
    streams = Table("stream", "codec", "", f"in {plan.target.suffix or plan.mux.format}", box=None)
    streams.columns[3].overflow = "fold"
    streams.add_row(
        f"{info.stream_index} video", info.codec, "", f"restored: {encoder.size} {encoder.codec}, {encoder.layout.name}"
    )
    for stream in info.streams:
        fate = fates.get(stream.index)
        text = "kept" if fate is None or fate.action == "copy" else _fate(fate.action, fate.codec, fate.reason)
        streams.add_row(f"{stream.index} {_kind(stream)}", stream.codec, _details(stream), text)
    console.print(streams)
    console.print()
    for line in prospect.sentences():
        console.print(line)
    for note in plan.mux.notes:
        console.print(markup("[yellow]note:[/] {}", note))
    if plan.size_note is not None:
        console.print(markup("[yellow]note:[/] {}", with_hint(plan.size_note.message, plan.size_note.hint)))


def _lines(info: VideoInfo, times: FrameIntervals | None) -> list[tuple[str, str]]:
    size = str(info.size)
    if info.display_size != info.size:
        shown = []
        if info.sample_aspect_ratio != 1:
            shown.append(
                f"pixel aspect ratio {info.sample_aspect_ratio.numerator}:{info.sample_aspect_ratio.denominator}"
            )
        if info.rotation:
            shown.append(f"turned by {info.rotation}°")
        size += f", shown as {info.display_size}" + (f" ({', '.join(shown)})" if shown else "")
    elif info.rotation or info.display_matrix is not None:
        size += f", turned by {info.rotation}° or mirrored"
    lines = [
        ("file", str(info.path)),
        ("container", info.container),
        ("video", f"{info.codec}, {info.pix_fmt}, {info.depth} bits" + (", transparent" if info.layout.alpha else "")),
        ("size", size),
        ("color", _color(info)),
        ("profile", _profile(info)),
        ("HDR", _hdr(info)),
        ("frames", _frames(info, times)),
        ("starts at", f"{float(info.start_time):.6g} s" if info.start_time else ""),
        ("fields", "interlaced" if info.interlaced else "progressive"),
        ("chapters", str(info.chapters or "")),
        ("metadata", ", ".join(f"{key}={value}" for key, value in sorted(info.readable_metadata.items()))),
    ]
    return [(name, value) for name, value in lines if value]


def _color(info: VideoInfo) -> str:
    from edvr_cli.video.pixels.color import MATRIX_NAMES, PRIMARIES_NAMES, TRANSFER_NAMES  # noqa: PLC0415 (torch takes seconds)

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


def _profile(info: VideoInfo) -> str:
    """The name of the first frame's color profile, or what it is about where it has none."""
    if info.color_profile is None:
        return ""
    return profile_name(info.color_profile) or f"without a name, {samples_of(info.color_profile)}"


def _hdr(info: VideoInfo) -> str:
    parts = {16: ["PQ"], 18: ["HLG"]}.get(info.color.transfer, [])
    if info.hdr.mastering:
        low, high = map(float, info.hdr.mastering[8:])
        parts.append(f"mastered for {low:g} to {high:g} cd/m²")
    if info.hdr.content_light:
        parts.append("MaxCLL {}, MaxFALL {}".format(*info.hdr.content_light))
    return ", ".join(parts)


def _frames(info: VideoInfo, times: FrameIntervals | None) -> str:
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
    return f"dropped: {reason}" if reason else "written again"


def _facts(info: VideoInfo, times: FrameIntervals | None, prospect: Prospect) -> dict[str, Any]:
    """All facts for JSON; fractions as text."""
    from edvr_cli.jobs.disk_space import output_bytes, space_needed  # noqa: PLC0415 (torch takes seconds)
    from edvr_cli.video.pixels.color import MATRIX_NAMES, PRIMARIES_NAMES, TRANSFER_NAMES  # noqa: PLC0415 (torch takes seconds)

    color, plan = info.color, prospect.plan
    encoder, frames = plan.encoder, plan.total_frames
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
                "profile": _profile(info) or None,
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
                "index": fate.stream.index,
                "kind": _kind(fate.stream),
                "codec": fate.stream.codec,
                "language": fate.stream.language,
                "title": fate.stream.title,
                "dispositions": fate.stream.dispositions,
                "action": fate.action,
                "becomes": fate.codec,
                "reason": fate.reason,
            }
            for fate in plan.mux.streams
        ],
        "chapters": info.chapters,
        "metadata": info.readable_metadata,
        "output": {
            "container": plan.mux.format,
            "codec": encoder.codec,
            "pix_fmt": encoder.layout.name,
            "width": encoder.width,
            "height": encoder.height,
            "options": dict(encoder.options),
            "size": output_bytes(encoder, info, frames) if frames else None,
            "space": space_needed(encoder, info, frames) if frames else None,
            "warnings": plan.mux.warnings,
        },
        "work": prospect.facts(),
    }
