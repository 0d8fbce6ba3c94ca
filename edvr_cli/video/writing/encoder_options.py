"""Options of encoders: names, defaults and values of quality and speed, and what each library takes HDR metadata as."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import av

from edvr_cli.errors import OutputError
from edvr_cli.video.capabilities import encoder_opens
from edvr_cli.video.pixels.hdr import HdrMetadata
from edvr_cli.video.writing.options import CODEC_ALIASES, DEFAULT_CODEC, Encoding, encoder_name

__all__ = [
    "QUALITY",
    "Quality",
    "check_options",
    "checked_encoding",
    "find_encoder",
    "merged_options",
    "quality_options",
    "static_options",
]

_X26X_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip


@dataclass(frozen=True)
class Quality:
    """Quality and speed options of an encoder: names, defaults, and fixed options.

    ``presets`` maps x264's preset names to the encoder's own, where these differ; names it does not map are
    passed unchanged. ``best`` is given where the encoder's scale runs the other way, up to that.
    """

    crf_option: str | None
    crf: float | None
    preset_option: str | None = None
    presets: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    max_crf: float = 51
    best: float | None = None

    def crf_options(self, crf: float) -> dict[str, str]:
        """The encoder's options for a constant quality."""
        assert self.crf_option is not None
        if self.crf_option == "qmin":  # A quantizer is held by giving it as the least and the largest at once.
            held = str(max(1, round(crf)))
            return {"qmin": held, "qmax": held}
        return {self.crf_option: f"{crf if self.best is None else self.best - crf:g}"}


_SVT_PRESETS = dict(zip(_X26X_PRESETS, ("12", "11", "10", "9", "8", "6", "5", "4", "3", "2"), strict=True))
_VPX_SPEEDS = dict(zip(_X26X_PRESETS, ("5", "5", "5", "4", "3", "2", "1", "1", "0", "0"), strict=True))
_NVENC_PRESETS = dict(zip(_X26X_PRESETS, ("p1", "p1", "p2", "p3", "p4", "p5", "p6", "p6", "p7", "p7"), strict=True))

_QSV_PRESETS = dict(zip(_X26X_PRESETS, ("veryfast", "veryfast", *_X26X_PRESETS[2:9], "veryslow"), strict=True))
_AMF_QUALITIES = dict(zip(_X26X_PRESETS, (*["speed"] * 4, *["balanced"] * 2, *["quality"] * 4), strict=True))

# The crf of each encoder is on its own scale, as in FFmpeg; the defaults are visually alike.
QUALITY = {
    "libx264": Quality("crf", 17, "preset"),
    "libx264rgb": Quality("crf", 17, "preset"),
    "libx265": Quality("crf", 19, "preset"),
    "libsvtav1": Quality("crf", 24, "preset", _SVT_PRESETS, max_crf=63),
    "libvpx-vp9": Quality("crf", 24, "cpu-used", _VPX_SPEEDS, {"b": "0", "row-mt": "1"}, max_crf=63),
    "ffv1": Quality(None, None, fixed={"level": "3", "slicecrc": "1"}),
    "prores_ks": Quality(None, None, fixed={"vendor": "apl0"}),
    "png": Quality(None, None, fixed={"pred": "mixed"}),
    "tiff": Quality(None, None, fixed={"compression_algo": "deflate"}),
    "exr": Quality(None, None, fixed={"compression": "zip16"}),
    "dpx": Quality(None, None),
    "mjpeg": Quality("qmin", 2, max_crf=31),
    "libwebp": Quality("quality", 10, max_crf=100, best=100),
    "rawvideo": Quality(None, None),
    "h264_nvenc": Quality("cq", 19, "preset", _NVENC_PRESETS, {"rc": "vbr", "b": "0"}),
    "hevc_nvenc": Quality("cq", 21, "preset", _NVENC_PRESETS, {"rc": "vbr", "b": "0"}),
    "av1_nvenc": Quality("cq", 26, "preset", _NVENC_PRESETS, {"rc": "vbr", "b": "0"}),
    "h264_qsv": Quality("global_quality", 19, "preset", _QSV_PRESETS),
    "hevc_qsv": Quality("global_quality", 21, "preset", _QSV_PRESETS),
    "av1_qsv": Quality("global_quality", 26, "preset", _QSV_PRESETS),
    "h264_amf": Quality("qvbr_quality_level", 19, "quality", _AMF_QUALITIES, {"rc": "qvbr"}),
    "hevc_amf": Quality("qvbr_quality_level", 21, "quality", _AMF_QUALITIES, {"rc": "qvbr"}),
    "av1_amf": Quality("qvbr_quality_level", 26, "quality", _AMF_QUALITIES, {"rc": "qvbr"}),
}
# Options, by FFmpeg's names, that ask for another way of rate control than constant quality.
_RATE_CONTROL = {"b", "qp"}


def merged_options(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """The user's options over ours; lists of an encoder's own parameters ("x265-params") are put together."""
    joined = dict(ours)
    for name, value in theirs.items():
        joined[name] = f"{joined[name]}:{value}" if name in joined and name.endswith("-params") else value
    return joined


def quality_options(encoding: Encoding, quality: Quality) -> dict[str, str]:
    """Options for the quality and speed that are asked for. Raises OutputError where the encoder has no such value."""
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
        assert crf is not None  # it has one where it has an option for it
        options.update(quality.crf_options(crf))
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


def static_options(codec: str, hdr: HdrMetadata) -> dict[str, str]:
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


def check_options(codec: av.Codec, options: Mapping[str, str]) -> None:
    """Raise OutputError for an option that the encoder does not have, with those nearest to it."""
    known = codec.create().supported_options
    private = [option.name for option in known.private]
    names = {*private, *(option.name for option in known.generic)}
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, sorted(names), n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            own = ", ".join(sorted(set(private)))
            raise OutputError(f"{codec.name} has no option {name!r}; {hint}Its own options: {own}.")


def find_encoder(name: str) -> av.Codec:
    """libav's encoder of that name. Raises OutputError where there is none, or none for video, with usual ones."""
    try:
        codec = av.Codec(name, "w")
    except ValueError as error:
        known = sorted(filter(encoder_opens, set(QUALITY) & av.codecs_available))
        aliases = [alias for alias, means in CODEC_ALIASES.items() if means in known]
        raise OutputError(
            f"Unknown video encoder {name!r}; usual ones here: {', '.join(known)}, or {', '.join(aliases[:5])}."
        ) from error
    if codec.type != "video":
        raise OutputError(f"{name!r} is an encoder for {codec.type}, not for video.")
    return codec


def checked_encoding(encoding: Encoding) -> tuple[av.Codec, dict[str, str]]:
    """The encoder that is meant, and its options for the quality and speed that are asked for.

    Raises OutputError for a codec, quality, preset or option that is wrong whatever the source.
    """
    name = encoder_name(encoding.codec or DEFAULT_CODEC)
    codec = find_encoder(name)
    quality = QUALITY.get(name, Quality(None, None))
    options = quality_options(replace(encoding, codec=name), quality)
    check_options(codec, encoding.options)
    return codec, {**quality.fixed, **options}
