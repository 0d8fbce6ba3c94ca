"""Encoders: the choice of encoder, pixel format and options, tried before the work."""

import difflib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext

from edvr_cli.errors import OutputError, wrong_usage
from edvr_cli.size import Size
from edvr_cli.video.capabilities import encoder_opens
from edvr_cli.video.containers import reason
from edvr_cli.video.image_sequences import ENCODERS
from edvr_cli.video.pixels.color import ColorSpec
from edvr_cli.video.pixels.hdr import HdrMetadata
from edvr_cli.video.pixels.layout import PixelLayout, native_layout
from edvr_cli.video.reading.info import VideoInfo, plain_rate
from edvr_cli.video.writing.options import CODEC_ALIASES, DEFAULT_CODEC, Encoding, encoder_name

_X26X_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip


# Pixels per side, by the libraries themselves.
_LARGEST_SIDES = {
    "libx264": 16384,
    "h264_nvenc": 4096,
    "libx265": 16384,
    "hevc_nvenc": 8192,
    "libsvtav1": 16384,
    "libvpx-vp9": 65536,
    "libvpx": 16383,
    "prores_ks": 65535,
}


_ANY_SIZE = "the codec ffv1 into .mkv, which holds any"
_LARGER = {"h264_nvenc": "the codec hevc_nvenc or av1_nvenc, which hold 8192"}


@dataclass(frozen=True)
class _Quality:
    """Quality and speed options of an encoder: names, defaults, and fixed options.

    ``presets`` maps x264's preset names to the encoder's own, where these differ; names it does not map are
    passed unchanged.
    """

    crf_option: str | None
    crf: float | None
    preset_option: str | None = None
    presets: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    max_crf: float = 51


_SVT_PRESETS = dict(zip(_X26X_PRESETS, ("12", "11", "10", "9", "8", "6", "5", "4", "3", "2"), strict=True))
_VPX_SPEEDS = dict(zip(_X26X_PRESETS, ("5", "5", "5", "4", "3", "2", "1", "1", "0", "0"), strict=True))
_NVENC_PRESETS = dict(zip(_X26X_PRESETS, ("p1", "p1", "p2", "p3", "p4", "p5", "p6", "p6", "p7", "p7"), strict=True))

_QSV_PRESETS = dict(zip(_X26X_PRESETS, ("veryfast", "veryfast", *_X26X_PRESETS[2:9], "veryslow"), strict=True))
_AMF_QUALITIES = dict(zip(_X26X_PRESETS, (*["speed"] * 4, *["balanced"] * 2, *["quality"] * 4), strict=True))

# The crf of each encoder is on its own scale, as in FFmpeg; the defaults are visually alike.
_QUALITY = {
    "libx264": _Quality("crf", 17, "preset"),
    "libx264rgb": _Quality("crf", 17, "preset"),
    "libx265": _Quality("crf", 19, "preset"),
    "libsvtav1": _Quality("crf", 24, "preset", _SVT_PRESETS, max_crf=63),
    "libvpx-vp9": _Quality("crf", 24, "cpu-used", _VPX_SPEEDS, {"b": "0", "row-mt": "1"}, max_crf=63),
    "ffv1": _Quality(None, None, fixed={"level": "3", "slicecrc": "1"}),
    "prores_ks": _Quality(None, None, fixed={"vendor": "apl0"}),
    "png": _Quality(None, None, fixed={"pred": "mixed"}),
    "tiff": _Quality(None, None, fixed={"compression_algo": "deflate"}),
    "exr": _Quality(None, None, fixed={"compression": "zip16"}),
    "dpx": _Quality(None, None),
    "rawvideo": _Quality(None, None),
    "h264_nvenc": _Quality("cq", 19, "preset", _NVENC_PRESETS, {"rc": "vbr", "b": "0"}),
    "hevc_nvenc": _Quality("cq", 21, "preset", _NVENC_PRESETS, {"rc": "vbr", "b": "0"}),
    "av1_nvenc": _Quality("cq", 26, "preset", _NVENC_PRESETS, {"rc": "vbr", "b": "0"}),
    "h264_qsv": _Quality("global_quality", 19, "preset", _QSV_PRESETS),
    "hevc_qsv": _Quality("global_quality", 21, "preset", _QSV_PRESETS),
    "av1_qsv": _Quality("global_quality", 26, "preset", _QSV_PRESETS),
    "h264_amf": _Quality("qvbr_quality_level", 19, "quality", _AMF_QUALITIES, {"rc": "qvbr"}),
    "hevc_amf": _Quality("qvbr_quality_level", 21, "quality", _AMF_QUALITIES, {"rc": "qvbr"}),
    "av1_amf": _Quality("qvbr_quality_level", 26, "quality", _AMF_QUALITIES, {"rc": "qvbr"}),
}

# Encoders of pictures, each packet a file; they hold RGB or gray and take transparency as they take color.
PICTURES = frozenset(ENCODERS.values())
# Encoders that keep transparency where the source has it, unless another pixel format is asked for.
_WITH_ALPHA = PICTURES | {"prores_ks", "ffv1", "libvpx-vp9", "rawvideo"}
# Encoders that take static HDR metadata; HEVC streams are given it in any case (see hdr_messages).
_WITH_HDR = ("libx264", "libx265", "libsvtav1")
# Encoders that keep gray gray: the others' gray is a rarity that players stumble over.
_WITH_GRAY = PICTURES | {"ffv1", "rawvideo"}
# What is written to pipes: first what y4m holds, then the other layouts of raw samples.
_DEPTHS = ("", "9le", "10le", "12le", "14le", "16le")
_Y4M = (*(f"{name}{depth}" for name in ("yuv420p", "yuv422p", "yuv444p", "gray") for depth in _DEPTHS), "yuva444p")
_RAW = (
    *_Y4M, "rgb24", "bgr24", "rgba", "bgra", "rgb48le", "rgba64le", "gbrp", "gbrp10le", "gbrp12le", "gbrp16le",
    "gbrpf32le", "nv12", "p010le",
)  # fmt: skip
# Encoders in hardware, by the ends of their names, and whose hardware.
_MAKERS = {"_nvenc": "NVIDIA", "_qsv": "Intel", "_amf": "AMD"}
_HARDWARE = (*_MAKERS, "_vaapi", "_videotoolbox", "_mf")
# Options, by FFmpeg's names, that ask for another way of rate control than constant quality.
_RATE_CONTROL = {"b", "qp"}


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
def plan_encoder(encoding: Encoding, info: VideoInfo, *, width: int, height: int, threads: int = 0) -> EncoderPlan:
    """Choose pixel format, color and options for a source and output size, and open the encoder to try them.

    Without a pixel format in ``encoding`` the output keeps the source's bit depth, as far as the encoder can,
    in YCbCr 4:2:0. It is in the source's 4:2:2 or 4:4:4 (RGB included) where 4:2:0 at this size would hold less
    chroma than the source does, and in 4:4:4 where the encoder takes an odd size only so. Raises OutputError
    for an unknown codec, pixel format, preset or option, with what there is instead.
    """
    name = encoder_name(encoding.codec or DEFAULT_CODEC)
    encoding = replace(encoding, codec=name)
    codec = _codec(name)
    quality = _QUALITY.get(name, _Quality(None, None))
    rate = plain_rate(info.average_rate or Fraction(25))  # It only guides the encoder.
    options = {
        **quality.fixed,
        **_quality_options(encoding, quality),
        **_static_options(name, info.hdr),
    }
    _check_options(codec, encoding.options)

    def attempt(layout: PixelLayout) -> EncoderPlan:
        siting = {"chroma_sample_location": info.color.chroma_location} if layout.shift_y else {}
        plan = EncoderPlan(
            codec=name,
            codec_id=codec.canonical_name,
            width=width,
            height=height,
            rate=rate,
            layout=layout,
            color=info.color.for_layout(layout),
            sample_aspect_ratio=info.sample_aspect_ratio,
            options=_joined({**options, **siting}, encoding.options),
            threads=threads,
            notes=_notes(info, layout, codec),
            hdr=info.hdr,
        )
        plan.open()
        return plan

    layouts = _layouts(codec, encoding.pix_fmt, info, width, height)
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


def _joined(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """The user's options over ours; lists of an encoder's own parameters ("x265-params") are put together."""
    joined = dict(ours)
    for name, value in theirs.items():
        joined[name] = f"{joined[name]}:{value}" if name in joined and name.endswith("-params") else value
    return joined


def _notes(info: VideoInfo, layout: PixelLayout, encoder: av.Codec) -> tuple[str, ...]:
    notes = []
    codec = encoder.name
    if info.layout.alpha and not info.opaque and not layout.alpha:
        holders = "prores_ks (.mov), ffv1 (.mkv), libvpx-vp9 (.webm) or .png pictures"
        notes.append(f"Transparency is dropped: {codec} as {layout.name} has none; {holders} keep it.")
    if layout.depth < min(info.depth, 16):
        notes.append(f"{info.depth} bits a sample become {layout.depth}: {codec} takes no more.")
    carries_hdr = codec in _WITH_HDR or encoder.canonical_name == "hevc" or codec == "rawvideo"
    if info.hdr and not carries_hdr:
        notes.append(f"HDR mastering metadata is lost: {codec} does not carry it, {' and '.join(_WITH_HDR)} do.")
    return tuple(notes)


def _codec(name: str) -> av.Codec:
    try:
        codec = av.Codec(name, "w")
    except ValueError as error:
        known = sorted(filter(encoder_opens, set(_QUALITY) & av.codecs_available))
        aliases = [alias for alias, means in CODEC_ALIASES.items() if means in known]
        raise OutputError(
            f"Unknown video encoder {name!r}; usual ones here: {', '.join(known)}, or {', '.join(aliases[:5])}."
        ) from error
    if codec.type != "video":
        raise OutputError(f"{name!r} is an encoder for {codec.type}, not for video.")
    return codec


def _layouts(codec: av.Codec, pix_fmt: str | None, info: VideoInfo, width: int, height: int) -> list[PixelLayout]:
    """The layouts to try, the most faithful first; only the one that is asked for, if one is."""
    # An encoder that lists no formats takes any: offer the two usual ones.
    names = [fmt.name for fmt in codec.video_formats or []] or ["yuv420p", "yuv420p10le"]
    if codec.name == "rawvideo":
        names = list(_RAW)
    layouts = {name: layout for name in names if (layout := native_layout(name)) is not None}
    if pix_fmt is not None:
        if pix_fmt not in layouts:
            raise OutputError(f"{codec.name} does not take pixel format {pix_fmt!r}; it takes {', '.join(layouts)}.")
        return [layouts[pix_fmt]]
    source = info.layout
    doubled = width >= 2 * info.width and height >= 2 * info.height
    want_x, want_y = (1, 1) if doubled or source.family == "gray" else (source.shift_x, source.shift_y)
    depth = min(source.depth, 16)
    alpha = source.alpha and codec.name in _WITH_ALPHA
    gray = source.family == "gray" and codec.name in _WITH_GRAY

    def loss(layout: PixelLayout) -> tuple[int, ...]:
        lacking = max(0, depth - layout.depth)
        chroma = 0 if gray else max(0, layout.shift_x - want_x) + max(0, layout.shift_y - want_y)
        excess = layout.depth - depth + lacking
        surplus = max(0, want_x - layout.shift_x) + max(0, want_y - layout.shift_y)
        unlike = (layout.alpha != alpha, (layout.family == "gray") != gray)
        return (*unlike, lacking, chroma, excess, surplus, layout.family == "rgb", layout.semi_planar)

    usable = [item for item in layouts.values() if "yuvj" not in item.name]
    if codec.name in PICTURES:
        usable = [item for item in usable if item.family != "yuv"]
    if codec.name == "rawvideo":
        usable = [item for item in usable if item.name in _Y4M]
    usable = [item for item in usable if (gray or item.family != "gray") and (alpha or not item.alpha)]
    if not usable:
        raise OutputError(f"{codec.name} takes no pixel format that this program writes ({', '.join(names)}).")
    return sorted(usable, key=loss)


def in_y4m(layout: PixelLayout) -> bool:
    """Whether a y4m stream can hold a layout."""
    return layout.name in _Y4M


def _quality_options(encoding: Encoding, quality: _Quality) -> dict[str, str]:
    options = {}
    if encoding.crf is not None and quality.crf_option is None:
        raise OutputError(f"{encoding.codec} has no constant quality (crf).", hint="crf")
    if encoding.crf is not None and not 0 <= encoding.crf <= quality.max_crf:
        best = "0 is the best" if quality.crf is None else f"lower is better, {quality.crf:g} is usual"
        raise OutputError(f"{encoding.codec} takes a crf from 0 to {quality.max_crf:g}, not {encoding.crf:g}; {best}.")
    if encoding.preset is not None and quality.preset_option is None:
        raise OutputError(f"{encoding.codec} has no presets.", hint="preset")
    # The encoders would follow our default and not a quantizer or bit rate that is asked for by its own name.
    if quality.crf_option is not None and (encoding.crf is not None or not _RATE_CONTROL & encoding.options.keys()):
        crf = quality.crf if encoding.crf is None else encoding.crf
        options[quality.crf_option] = f"{crf:g}"
    if quality.preset_option is not None:
        preset = encoding.preset or "medium"
        own = quality.presets.get(preset, preset)
        if not quality.presets and own not in _X26X_PRESETS:
            raise OutputError(f"{encoding.codec} has no preset {preset!r}; it has {', '.join(_X26X_PRESETS)}.")
        if quality.presets and own == preset and not (own.isdigit() or own in quality.presets.values()):
            values = ", ".join([*_X26X_PRESETS, *sorted(set(quality.presets.values()))])
            raise OutputError(f"{encoding.codec} has no preset {preset!r}; it has {values}.")
        options[quality.preset_option] = own
    return options


def _static_options(codec: str, hdr: HdrMetadata) -> dict[str, str]:
    """Options for HDR metadata, and for silence: these libraries write to stderr."""
    if codec == "libx265":
        parts = ["log-level=error"]
        if hdr.mastering_text:
            parts.append(f"master-display={hdr.mastering_text}")
        if hdr.content_light:
            parts.append("max-cll={},{}".format(*hdr.content_light))
        return {"x265-params": ":".join(parts)}
    if codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # Errors only; the library reads nothing else for this.
        parts = []
        if hdr.mastering:
            red, green, blue, white = (
                "({:.4f},{:.4f})".format(*map(float, hdr.mastering[i : i + 2])) for i in range(0, 8, 2)
            )
            low, high = map(float, hdr.mastering[8:])
            parts.append(f"mastering-display=G{green}B{blue}R{red}WP{white}L({high:.4f},{low:.4f})")
        if hdr.content_light:
            parts.append("content-light={},{}".format(*hdr.content_light))
        return {"svtav1-params": ":".join(parts)} if parts else {}
    if codec == "libx264":
        parts = []
        if hdr.mastering_text:
            parts.append(f"mastering-display={hdr.mastering_text}")
        if hdr.content_light:
            parts.append("cll={},{}".format(*hdr.content_light))
        return {"x264-params": ":".join(parts)} if parts else {}
    return {}


def _check_options(codec: av.Codec, options: Mapping[str, str]) -> None:
    known = codec.create().supported_options
    private = [option.name for option in known.private]
    names = {*private, *(option.name for option in known.generic)}
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, sorted(names), n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            own = ", ".join(sorted(set(private)))
            raise OutputError(f"{codec.name} has no option {name!r}; {hint}Its own options: {own}.")
