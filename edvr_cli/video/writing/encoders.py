"""Encoders: the choice of encoder, pixel format and options, tried before the work."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext

from edvr_cli.errors import OutputError, wrong_usage
from edvr_cli.image.turns import UNTURNED, Turn
from edvr_cli.size import Size
from edvr_cli.video.containers import reason
from edvr_cli.video.pixels.color import ColorSpec
from edvr_cli.video.pixels.hdr import HdrMetadata
from edvr_cli.video.pixels.layout import PixelLayout
from edvr_cli.video.reading.info import VideoInfo, plain_rate
from edvr_cli.video.writing.encoder_options import checked_encoding, merged_options, static_options
from edvr_cli.video.writing.options import Encoding
from edvr_cli.video.writing.output_formats import candidate_layouts

__all__ = ["EncoderPlan", "plan_encoder"]


# Pixels per side, by the libraries themselves.
_LARGEST_SIDES = {
    "libx264": 16384,
    "h264_nvenc": 4096,
    "libx265": 16384,
    "hevc_nvenc": 8192,
    "libsvtav1": 16384,
    "libvpx-vp9": 65536,
    "libvpx": 16383,
    "libwebp": 16383,
    "mjpeg": 65500,
    "prores_ks": 65535,
}


_JFIF_MATRIX = 5  # BT.601, which every JPEG is in
_ANY_SIZE = "the codec ffv1 into .mkv, which holds any"
_LARGER = {"h264_nvenc": "the codec hevc_nvenc or av1_nvenc, which hold 8192"}


# Encoders that take static HDR metadata; HEVC streams are given it in any case (see hdr_messages).
_WITH_HDR = ("libx264", "libx265", "libsvtav1")
# Encoders in hardware, by the ends of their names, and whose hardware.
_MAKERS = {"_nvenc": "NVIDIA", "_qsv": "Intel", "_amf": "AMD"}
_HARDWARE = (*_MAKERS, "_vaapi", "_videotoolbox", "_mf")


@dataclass(frozen=True)
class EncoderPlan:
    """An encoder that has been opened once with these values: see `plan_encoder`.

    ``threads`` are the encoder's (0: one per core); some encode slightly differently with another number.
    ``notes`` are sentences about what the encoder cannot keep of the source. ``hdr`` is what the stream shall say.
    """

    codec: str
    codec_id: str
    width: int
    height: int
    rate: Fraction
    layout: PixelLayout
    color: ColorSpec
    sample_aspect_ratio: Fraction
    options: Mapping[str, str]
    threads: int = 0
    notes: tuple[str, ...] = ()
    hdr: HdrMetadata | None = None
    turn: Turn = UNTURNED  # of frames, before they are encoded: where the target cannot say that players must

    @property
    def size(self) -> Size:
        """Size of the encoded frames."""
        return Size(self.width, self.height)

    def open(self) -> VideoCodecContext:
        """A new encoder whose times are frame numbers. Raises OutputError with libav's reason."""
        context = av.CodecContext.create(self.codec, "w")
        assert isinstance(context, VideoCodecContext)
        self.configure(context)
        try:
            context.open()
        except (av.FFmpegError, ValueError) as error:
            limit = _LARGEST_SIDES.get(self.codec)
            if limit is not None and max(self.width, self.height) > limit:
                raise OutputError(
                    f"{self.codec} holds pictures of {limit} pixels per side at most, and these have "
                    f"{self.width}x{self.height}: choose a smaller scale, or {_LARGER.get(self.codec, _ANY_SIZE)}."
                ) from error
            maker = next((_MAKERS[end] for end in _MAKERS if self.codec.endswith(end)), "")
            hint = f" It needs an {maker} GPU and its driver." if maker else ""
            given = ", ".join(f"{name}={value}" for name, value in self.options.items())
            raise OutputError(
                f"{self.codec} does not accept {self.width}x{self.height} {self.layout.name} with {given}: "
                f"{reason(error)}.{hint}"
            ) from error
        return context

    def configure(self, context: VideoCodecContext) -> None:
        """Set an encoder that is not open yet to these values."""
        context.width, context.height = self.width, self.height
        context.pix_fmt = self.layout.name
        context.framerate = self.rate
        context.time_base = 1 / self.rate
        context.sample_aspect_ratio = self.sample_aspect_ratio
        context.colorspace = self.color.matrix
        context.color_range = 2 if self.color.full_range else 1
        context.color_primaries = self.color.primaries
        context.color_trc = self.color.transfer
        context.thread_count = self.threads
        context.options = dict(self.options)


@wrong_usage()
def plan_encoder(
    encoding: Encoding, info: VideoInfo, *, width: int, height: int, threads: int = 0, turn: Turn = UNTURNED
) -> EncoderPlan:
    """Choose pixel format, color and options for a source and output size, and open the encoder to try them.

    Without a pixel format in ``encoding`` the output keeps the source's bit depth, as far as the encoder can,
    in YCbCr 4:2:0. It is in the source's 4:2:2 or 4:4:4 (RGB included) where 4:2:0 at this size would hold less
    chroma than the source does, and in 4:4:4 where the encoder takes an odd size only so. ``info`` is that of frames
    turned by ``turn``. Raises OutputError
    for an unknown codec, pixel format, preset or option, with what there is instead.
    """
    codec, chosen = checked_encoding(encoding)
    name = codec.name
    rate = plain_rate(info.average_rate or Fraction(25))  # It only guides the encoder.
    options = {**chosen, **static_options(name, info.hdr)}

    def attempt(layout: PixelLayout) -> EncoderPlan:
        color = info.color.for_layout(layout)
        if name == "mjpeg":
            color = replace(color, matrix=_JFIF_MATRIX, full_range=True, chroma_location="center")
        siting = {"chroma_sample_location": color.chroma_location} if layout.shift_y else {}
        plan = EncoderPlan(
            codec=name,
            codec_id=codec.canonical_name,
            width=width,
            height=height,
            rate=rate,
            layout=layout,
            color=color,
            sample_aspect_ratio=info.sample_aspect_ratio,
            options=merged_options({**options, **siting}, encoding.options),
            threads=threads,
            notes=_notes(info, layout, codec),
            hdr=info.hdr,
            turn=turn,
        )
        plan.open()
        return plan

    layouts = candidate_layouts(codec, encoding.pix_fmt, info, width, height)
    fitting = [item for item in layouts if width % (1 << item.shift_x) == height % (1 << item.shift_y) == 0]
    try:
        return attempt(layouts[0])
    except OutputError as error:
        if name.endswith(_HARDWARE):
            # What the driver lists and what the chip takes differ: H.264 in 10 bits, for one.
            for layout in fitting:
                with suppress(OutputError):
                    return attempt(layout)
            raise
        # Some encoders take an odd size only where chroma has every pixel; those that take it anyway got through.
        if layouts[0] in fitting:
            raise
        if not fitting:
            what = f"{width}x{height} {layouts[0].name}"
            raise OutputError(f"{codec.name} does not take {what}: an odd size needs 4:4:4 there.") from error
        return attempt(fitting[0])


def _notes(info: VideoInfo, layout: PixelLayout, encoder: av.Codec) -> tuple[str, ...]:
    notes = []
    codec = encoder.name
    if info.layout.alpha and not info.opaque and not layout.alpha:
        holders = "prores_ks (.mov), ffv1 (.mkv), libvpx-vp9 (.webm) or .png pictures"
        notes.append(f"Transparency is dropped: {codec} as {layout.name} has none; {holders} keep it.")
    if layout.depth < min(info.depth, 16):
        notes.append(f"{info.depth} bits per sample are reduced to {layout.depth}: {codec} supports no more.")
    # Apple's encoder puts lengths before the units of its stream, which hdr_messages leaves alone.
    completed = encoder.canonical_name == "hevc" and not codec.endswith("_videotoolbox")
    carries_hdr = codec in _WITH_HDR or completed or codec == "rawvideo"
    if info.hdr and not carries_hdr:
        notes.append(f"HDR mastering metadata is lost: {codec} does not carry it, {' and '.join(_WITH_HDR)} do.")
    return tuple(notes)
