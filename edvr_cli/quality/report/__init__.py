"""An HTML report that compares a video with its restoration: pictures, measurements, settings; one file.

Shapes: H W pixels of the output.
"""

import base64
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.resources import files
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.quality.compare import METRICS, Comparison, Metric, common_size, compare
from edvr_cli.quality.footage import Footage, Picture, to_size
from edvr_cli.quality.preview import difference_crop
from edvr_cli.quality.report.plot import line_plot
from edvr_cli.size import Size
from edvr_cli.system.hardware import machine_name
from edvr_cli.system.text import printable
from edvr_cli.version import __version__
from edvr_cli.video.writing.png_jpeg import jpeg

__all__ = ["ModelCard", "build_report", "hardware"]

_MAX_SIDE = 1920  # of a picture on the page
_CROP_PART = 6  # a sixth of height and width


@dataclass(frozen=True, eq=False)
class _Shown:
    """A frame on the page; both pictures (3, H, W) uint8."""

    seconds: float
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class ModelCard:
    """The model on the page: properties, and the text of its card (Markdown, shown unformatted)."""

    facts: Mapping[str, str] = field(default_factory=dict)
    card: str = ""


@dataclass(frozen=True)
class _Figures:
    title: str
    note: str
    comparisons: Sequence[tuple[str, Comparison]]
    metrics: Sequence[Metric]


def build_report(
    source: Footage,
    result: Footage,
    *,
    truth: Footage | None = None,
    pictures: int = 6,
    max_frames: int | None = None,
    vmaf: bool = True,
    settings: Mapping[str, str] | None = None,
    model: ModelCard | None = None,
    device: torch.device | None = None,
    on_frame: Callable[[], None] | None = None,
) -> str:
    """The page as HTML text.

    ``pictures`` frames are shown, spread over the result; ``max_frames`` bounds the frames that are measured, from the
    beginning. With ``truth`` both source and result are measured against it. ``on_frame`` is called for each measured
    frame. Raises InputError where the files' shapes or times have nothing in common.
    """
    size = common_size(result, source)
    shown = [_shown(source, result, size, instant) for instant in _instants(result, pictures)]
    sections = _measure(source, result, truth, max_frames, vmaf, on_frame)
    environment = Environment(
        loader=PackageLoader("edvr_cli.quality.report", "."),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    folder = files("edvr_cli.quality.report")
    marks = [frame.seconds for frame in shown]
    return environment.get_template("page.html").render(
        title=result.path.name,
        source=_facts(source),
        result=_facts(result),
        names=(source.path.name, result.path.name),
        frames=[_frame(frame) for frame in shown],
        size=shown[0].after.shape[:0:-1],
        sections=[_section(section, marks) for section in sections],
        settings=settings or {},
        model=model or ModelCard(),
        machine=hardware(device or torch.device("cpu")),
        style=Markup(folder.joinpath("page.css").read_text(encoding="utf-8")),
        script=Markup(folder.joinpath("page.js").read_text(encoding="utf-8")),
        version=__version__,
    )


def _printable(value: object) -> object:
    """Text from files without control characters; the page's own style and script unchanged."""
    return printable(value) if type(value) is str else value


def hardware(device: torch.device) -> dict[str, str]:
    """The machine on which the page is written."""
    facts = {"device": str(device), "system": f"{platform.system()} {platform.machine()}"}
    if device.type == "cuda":
        facts["GPU"] = machine_name(device)
    return facts | {
        "processor": machine_name(torch.device("cpu")),
        "threads": str(torch.get_num_threads()),
        "PyTorch": torch.__version__,
        "edvr-cli": __version__,
    }


def _instants(result: Footage, count: int) -> list[float]:
    if not result.duration or result.last is None:
        return [0.0]
    count = min(count, result.count or count)
    length = min(result.duration, result.last + 1 / float(result.rate))
    return [length * (n + 0.5) / count for n in range(count)]


def _shown(source: Footage, result: Footage, size: Size, instant: float) -> _Shown:
    after = _at(result, instant)
    before = _at(source, after.seconds)
    shrink = min(1.0, _MAX_SIDE / max(size))
    shown = Size(round(size.width * shrink), round(size.height * shrink))
    return _Shown(after.seconds, to_size(to_size(before.rgb, size), shown), to_size(to_size(after.rgb, size), shown))


def _at(footage: Footage, instant: float) -> Picture:
    """The frame nearest to ``instant``. Raises InputError where there is none."""
    half = 0.5 / float(footage.rate)
    instant = footage.shown_at(instant)
    found = next(footage.pictures(start=max(0.0, instant - half), max_frames=1), None)
    if found is None:
        raise InputError(f"{footage.path} has no frame at {instant:.2f} s")
    return found


def _measure(
    source: Footage,
    result: Footage,
    truth: Footage | None,
    max_frames: int | None,
    vmaf: bool,
    on_frame: Callable[[], None] | None,
) -> list[_Figures]:
    def count_frame(*_: object) -> None:
        if on_frame is not None:
            on_frame()

    metrics: tuple[Metric, ...] = ("psnr_y", "ssim_y")
    if truth is not None:
        both = [
            (name, compare(image, truth, size=truth.size, vmaf=vmaf, max_frames=max_frames, on_pair=count_frame))
            for name, image in (("bicubic", source), ("restored", result))
        ]
        measured = [m for m in METRICS if both[0][1].mean(m) is not None]
        return [_Figures("Against the truth", f"{truth.path.name}; the source is enlarged by bicubic.", both, measured)]
    changed = compare(result, source, size="larger", vmaf=False, max_frames=max_frames, on_pair=count_frame)
    if source.size == result.size:
        return [_Figures("How much changed", _CHANGED_SAME, [("restored", changed)], metrics)]
    faithful = compare(result, source, size="smaller", vmaf=False, max_frames=max_frames, on_pair=count_frame)
    return [
        _Figures("Faithful to the source", _FAITHFUL, [("restored, brought down", faithful)], metrics),
        _Figures("How much changed", _CHANGED, [("restored", changed)], metrics),
    ]


_FAITHFUL = (
    "The result, brought down to the source's size, against the source. High values (above 35 dB or so) mean that "
    "what the source shows was kept."
)
_CHANGED = (
    "The result against the source enlarged by bicubic interpolation. Lower values mean that more was added; whether "
    "it is true they do not say: only a comparison with an original does."
)
_CHANGED_SAME = "The result against the source, which has the same size. Lower values mean that more was changed."


def _section(section: _Figures, marks: Sequence[float]) -> dict[str, Any]:
    first = section.comparisons[0][1]
    units = {"psnr": "dB", "psnr_y": "dB"}
    return {
        "title": section.title,
        "note": section.note,
        "frames": len(first.frames),
        "size": first.size,
        "head": [METRICS[m] for m in section.metrics],
        "rows": [
            (name, [_figure(m, comparison.mean(m)) for m in section.metrics])
            for name, comparison in section.comparisons
        ],
        "plots": [
            line_plot(
                METRICS[m],
                units.get(m, ""),
                {
                    name: [(frame.seconds, getattr(frame, m)) for frame in comparison.frames]
                    for name, comparison in section.comparisons
                },
                marks,
            )
            for m in section.metrics
        ],
    }


def _figure(metric: Metric, value: float | None) -> str:
    if value is None:
        return ""
    if value == float("inf"):
        return "equal"
    return f"{value:.4f}" if metric.startswith("ssim") else f"{value:.2f}" + (" dB" if "psnr" in metric else "")


def _frame(frame: _Shown) -> dict[str, Any]:
    crop = difference_crop(frame.before, frame.after, _CROP_PART)
    return {
        "seconds": f"{frame.seconds:.2f}",
        "before": _data(jpeg(frame.before)),
        "after": _data(jpeg(frame.after)),
        "crop": (crop.left, crop.top, crop.width, crop.height),
    }


def _data(content: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _facts(footage: Footage) -> dict[str, str]:
    """Properties of a file for the table."""
    info = footage.info
    rate = Fraction(footage.rate)
    facts = {
        "file": footage.path.name,
        "size": str(footage.size),
        "frames": f"{footage.count:,}" if footage.count else "",
        "length": f"{footage.duration:.2f} s" if footage.duration else "",
        "rate": f"{float(rate):.3f}".rstrip("0").rstrip(".") + " frames per second",
        "codec": f"{info.codec}, {info.pix_fmt}",
        "color": info.color.describe(),
        "bytes": f"{footage.path.stat().st_size:,}" if footage.path.is_file() else "",
    }
    return {key: value for key, value in facts.items() if value}
