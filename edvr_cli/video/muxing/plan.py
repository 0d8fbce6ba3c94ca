"""The mux plan: what becomes of each stream in the target's container, decided and tried before the work.

A stream is copied where the container takes it, converted where that is customary (text subtitles), and
otherwise dropped with its reason. What a container takes is not a table kept here: a trial writes each stream's
header and first packet to memory with libav's own muxer.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from av.container import InputContainer
from av.packet import Packet

from edvr_cli.errors import OutputError, wrong_usage
from edvr_cli.image.turns import UNTURNED, Turn
from edvr_cli.video.color_profiles import HOLD_PROFILES, profile_name, samples_of
from edvr_cli.video.exif import has_exif
from edvr_cli.video.file_names import RAW, STANDARD_OUTPUT, Y4M, PipeFormat, container_format
from edvr_cli.video.image_sequences import ENCODERS, ImageNames, output_names
from edvr_cli.video.muxing.image_files import PictureProfiles
from edvr_cli.video.muxing.muxer_probe import first_packets, holds_video, why_muxer_refuses
from edvr_cli.video.muxing.tags import lost_tags
from edvr_cli.video.reading.info import Source, StreamInfo, VideoInfo
from edvr_cli.video.reading.pictures import ImageSource
from edvr_cli.video.writing.encoders import EncoderPlan
from edvr_cli.video.writing.options import Encoding, encoder_name, usual_encoder
from edvr_cli.video.writing.output_formats import in_y4m

Action = Literal["copy", "convert", "drop"]

PICTURES = "pictures"
# Codec of text subtitles in containers that do not take them unchanged.
_TEXT_SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_TEXT_CODECS = {"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text"}
# Video codecs whose own headers hold the pixel aspect ratio; for the others PyAV can write it into mp4 and mov only.
_EXIF_LOST = (
    "Exif data (camera, place, time) are dropped; exiftool can copy them from the source, all but the orientation."
)
_CODECS_WITH_ASPECT = {"h264", "hevc", "ffv1", "mpeg4", "mpeg2video"}


@dataclass(frozen=True)
class StreamPlan:
    """The fate of one stream: ``codec`` is the codec in the target, ``reason`` why it is not copied unchanged."""

    stream: StreamInfo
    action: Action
    codec: str
    reason: str = ""


@dataclass(frozen=True)
class MuxPlan:
    """What the target will contain, apart from the restored video.

    ``format`` is libav's name of the container, or `PICTURES`, `Y4M` or `RAW`, which hold the video alone.
    ``notes`` are sentences about what changes although nothing is dropped, such as coarser times, ``images`` the
    names of the pictures where these are the target, ``profiles`` where their color profiles come from. ``any_tag``
    says that mp4 and mov must write metadata in a way that holds any tag, as phones do, instead of the usual one,
    ``alpha_beside`` that transparency is kept beside the pictures, as VP9's is, and must be announced. ``remarks`` are
    sentences about the source, and how it is written, that cost nothing of it.
    """

    format: str
    streams: tuple[StreamPlan, ...]
    notes: tuple[str, ...] = ()
    images: ImageNames | None = None
    profiles: PictureProfiles | None = None
    any_tag: bool = False
    alpha_beside: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def piped(self) -> bool:
        """Whether frames go straight to standard output."""
        return self.format in (Y4M, RAW)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each stream that is converted or dropped, and the notes."""
        changed = [_sentence(plan) for plan in self.streams if plan.action != "copy" and plan.reason]
        return (*changed, *self.notes)


@wrong_usage()
def encoding_for(target: str | os.PathLike[str], source: Source, encoding: Encoding | None = None) -> Encoding:
    """The encoding, with an encoder that suits the target where none is given.

    Pictures are encoded as what their suffix says, a pipe takes samples as they are. Raises OutputError where
    another encoder is asked for there.
    """
    encoding = encoding or Encoding()
    path = Path(target)
    images = output_names(path, _pictures_of(source))
    if path == STANDARD_OUTPUT:
        only, what = "rawvideo", "Standard output"
    elif images is not None:
        only, what = ENCODERS[images.suffix.lower()], f"A {images.suffix} picture"
    else:
        return replace(encoding, codec=encoding.codec or usual_encoder(path.suffix.lower().removeprefix(".")))
    if encoding.codec is not None and encoder_name(encoding.codec) != only:
        raise OutputError(f"{what} is not written by {encoding.codec}.", hint="no_codec")
    return replace(encoding, codec=only)


def turn_for(target: str | os.PathLike[str], info: VideoInfo) -> Turn:
    """How frames must be turned for ``target``: upright where it cannot say how they are to be shown, else not.

    Raises OutputError for an unknown suffix.
    """
    if info.display_matrix is None:
        return UNTURNED
    path = Path(target)
    plain = path == STANDARD_OUTPUT or output_names(path, _pictures_of(info.source)) is not None
    says = not plain and _says(container_format(path), info.display_matrix)
    return UNTURNED if says else info.upright or UNTURNED


def _says(format_name: str, matrix: tuple[int, ...]) -> bool:
    """Whether a format can say that frames are shown by ``matrix``: Matroska says angles, and no mirroring."""
    mirrored = matrix[0] * matrix[4] < matrix[1] * matrix[3]
    return format_name in ("mp4", "mov") or (format_name in ("matroska", "webm") and not mirrored)


@wrong_usage()
def plan_mux(
    info: VideoInfo,
    encoder: EncoderPlan,
    target: str | os.PathLike[str],
    *,
    audio: bool = True,
    subtitles: bool = True,
    strict: bool = False,
    pipe_format: PipeFormat = "y4m",
) -> MuxPlan:
    """Decide for each stream of ``info`` what happens to it in ``target``.

    ``info`` is that of the frames as they are encoded. ``audio`` and ``subtitles`` False leave these streams out on
    request. ``pipe_format`` is what standard output gets. Raises OutputError for an unknown suffix, for an encoder
    whose video the container does not hold, and, if ``strict``, where anything is dropped or converted unasked.
    """
    path = Path(target)
    images = output_names(path, _pictures_of(info.source))
    if path == STANDARD_OUTPUT:
        if pipe_format == Y4M and not in_y4m(encoder.layout):
            raise OutputError(f"y4m does not hold {encoder.layout.name}; raw samples do.", hint="pix_fmt")
        plan = MuxPlan(pipe_format, _all_dropped(info, "a pipe holds the video alone"), _pipe_notes(info, encoder))
    elif images is not None:
        _check_pictures(images, info, encoder)
        plan = MuxPlan(PICTURES, _all_dropped(info, "pictures have none"), encoder.notes, images)
        plan = replace(plan, profiles=_profiles(info, encoder, images))
    else:
        plan = _plan_container(info, encoder, path, audio=audio, subtitles=subtitles)
    left_out = {kind for kind, kept in (("audio", audio), ("subtitle", subtitles)) if not kept}
    streams = tuple(replace(item, reason="") if item.stream.kind in left_out else item for item in plan.streams)
    notes = (*_source_notes(info, plan), *plan.notes)
    turned = (f"Frames are turned upright: {plan.format} cannot say how they are shown.",)
    remarks = (*info.source.clock.remarks, *(turned if encoder.turn != UNTURNED else ()))
    plan = replace(plan, streams=streams, notes=notes, remarks=remarks)
    if strict and plan.warnings:
        raise OutputError(f"{target} cannot hold every stream unchanged: {' '.join(plan.warnings)}", hint="strict")
    return plan


def _plan_container(info: VideoInfo, encoder: EncoderPlan, target: Path, *, audio: bool, subtitles: bool) -> MuxPlan:
    format_name = container_format(target)
    _check_video(encoder, format_name, target)
    if not info.source.rereadable:
        gone = "a pipe is read once; save the input to a file to keep it"
        return MuxPlan(format_name, _all_dropped(info, gone), _notes(info, encoder, format_name))
    plans = []
    with info.source.side_streams() as source:
        packets = first_packets(source, info) if source is not None else {}
        for stream in info.streams:
            assert source is not None
            if (stream.kind == "audio" and not audio) or (stream.kind == "subtitle" and not subtitles):
                plans.append(StreamPlan(stream, "drop", "", ""))
                continue
            plans.append(_plan_stream(source, stream, packets.get(stream.index), format_name, info))
    notes = _notes(info, encoder, format_name)
    any_tag = False
    lost = lost_tags(info.metadata, format_name, {})
    if lost and format_name in ("mp4", "mov"):
        otherwise = lost_tags(info.metadata, format_name, {"movflags": "use_metadata_tags"})
        any_tag = len(otherwise) < len(lost)
        lost = otherwise if any_tag else lost
    if lost:
        notes = (*notes, f"Metadata that {format_name} does not hold is dropped: {', '.join(lost)}.")
    alpha_beside = encoder.codec_id == "vp9" and encoder.layout.alpha
    if alpha_beside and not info.opaque and format_name not in ("matroska", "webm"):
        notes = (*notes, f"Transparency is dropped: {format_name} does not hold VP9's; .webm and .mkv do.")
    return MuxPlan(format_name, tuple(plans), notes, any_tag=any_tag, alpha_beside=alpha_beside)


def _all_dropped(info: VideoInfo, why: str) -> tuple[StreamPlan, ...]:
    return tuple(StreamPlan(stream, "drop", "", why) for stream in info.streams)


def _pictures_of(source: Source) -> tuple[Path, ...]:
    return source.pictures if isinstance(source, ImageSource) else ()


def _check_pictures(images: ImageNames, info: VideoInfo, encoder: EncoderPlan) -> None:
    if images.single and info.frame_count not in (None, 1):
        name = f"{images.prefix}_%06d{images.suffix}"
        raise OutputError(f"{images.folder / images.name(0)} is one picture; number them, as in {name}.")
    if encoder.layout.floating and info.color.transfer in (16, 18):
        raise OutputError(f"{images.suffix} pictures hold linear light, HDR video does not; use .png or .tiff.")


def _profiles(info: VideoInfo, encoder: EncoderPlan, images: ImageNames) -> PictureProfiles | None:
    if images.suffix.lower() not in HOLD_PROFILES:
        return None
    samples = "GRAY" if encoder.layout.family == "gray" else "RGB"
    return PictureProfiles(samples, _pictures_of(info.source), info.color_profile)


def _profile_notes(info: VideoInfo, plan: MuxPlan) -> tuple[str, ...]:
    """A sentence where the first picture has a color profile other than the usual, and the target does not get it."""
    profile = info.color_profile
    if profile is None or "sRGB" in (name := profile_name(profile)):
        return ()
    samples = samples_of(profile)
    if plan.profiles is None:
        why = f"it cannot be written to {plan.format}"
    elif samples != plan.profiles.samples:
        why = f"it is made for {samples} samples, which these are not"
    else:
        return ()
    return (f"The color profile {name or '(nameless)'} is dropped, so colors may look different: {why}.",)


def _source_notes(info: VideoInfo, plan: MuxPlan) -> tuple[str, ...]:
    """Notes on assumptions about the source, and on parts that cannot be written."""
    assumed = () if plan.images is not None else info.notes
    lost = (
        f"{what} {'are' if what.endswith('s') else 'is'} dropped: it cannot be carried over here."
        for what in info.unkept
    )
    metadata: tuple[str, ...] = ()
    if (plan.images is not None or plan.piped) and info.chapters:
        metadata += (f"{info.chapters} chapters are dropped: {plan.format} holds none.",)
    if info.display_matrix is not None and info.upright is None and not _says(plan.format, info.display_matrix):
        metadata += (f"The rotation is lost: {plan.format} cannot say it, and it is by no right angle.",)
    if plan.images is not None and any(has_exif(path.read_bytes()) for path in _pictures_of(info.source)[:1]):
        metadata += (_EXIF_LOST,)
    return (*assumed, *lost, *metadata, *_profile_notes(info, plan))


def _pipe_notes(info: VideoInfo, encoder: EncoderPlan) -> tuple[str, ...]:
    notes = list(encoder.notes)
    if info.hdr:
        notes.append("HDR mastering metadata is lost: a pipe cannot say it.")
    return tuple(notes)


def _check_video(encoder: EncoderPlan, format_name: str, target: str | os.PathLike[str]) -> None:
    if not holds_video(encoder.codec_id, encoder.width, encoder.height, format_name):
        other = "libsvtav1 or libvpx-vp9" if format_name == "webm" else "libx264 or libx265"
        raise OutputError(
            f"{target}: {format_name} does not hold {encoder.codec_id} video, but that of {other}.", hint="codec"
        )


def _plan_stream(
    source: InputContainer, stream: StreamInfo, packet: Packet | None, format_name: str, info: VideoInfo
) -> StreamPlan:
    template = source.streams[stream.index]
    if stream.kind == "data" and info.chapters and stream.codec == "bin_data" and packet is None:
        return StreamPlan(stream, "drop", "", "")  # The text track of the chapters, which are written again.
    if stream.kind == "data" and "timecode" in template.metadata and not template.name:
        return StreamPlan(stream, "drop", "", "")  # Written again from the video's metadata, which repeats it.
    refusal = why_muxer_refuses(template, packet, format_name, cover=stream.cover)
    if refusal is None:
        return StreamPlan(stream, "copy", stream.codec)
    if stream.codec in _TEXT_CODECS:
        becomes = _TEXT_SUBTITLES[format_name]
        loss = ", its styling is lost" if stream.codec in ("ass", "ssa") else ""
        return StreamPlan(stream, "convert", becomes, f"{format_name} holds text as {becomes}{loss}")
    kept = format_name != "matroska" and why_muxer_refuses(template, packet, "matroska", cover=stream.cover) is None
    hint = "; .mkv would keep it" if kept and stream.kind != "data" else ""
    unknown = stream.codec == "unknown" and stream.kind != "data"
    why = "FFmpeg does not know its format" if unknown else f"{format_name} does not hold it"
    return StreamPlan(stream, "drop", "", why + (f" ({refusal})" if refusal else "") + hint)


def _notes(info: VideoInfo, encoder: EncoderPlan, format_name: str) -> tuple[str, ...]:
    notes = list(encoder.notes)
    if format_name in ("matroska", "webm"):
        if (info.time_base * 1000).denominator != 1:
            notes.append(f"{format_name} keeps times to the millisecond; .mp4 and .mov keep the source's exactly.")
        if info.sample_aspect_ratio != 1 and encoder.codec_id not in _CODECS_WITH_ASPECT:
            notes.append(f"The pixel aspect ratio is lost: {encoder.codec_id} in {format_name} cannot say it here.")
    return tuple(notes)


def _sentence(plan: StreamPlan) -> str:
    stream = plan.stream
    name = "Cover art" if stream.cover else f"{stream.kind.capitalize()} stream {stream.index}"
    details = ", ".join(part for part in (stream.codec, stream.language, stream.title) if part)
    done = f"is converted to {plan.codec}" if plan.action == "convert" else "is dropped"
    return f"{name} ({details}) {done}: {plan.reason}."
