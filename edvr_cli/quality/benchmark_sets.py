"""Quality by the published protocols: every frame, 8-bit, no border cropped, means over frames, then clips.

Sets are folders of clips, each a video or a folder of images. The low-resolution frames are given, or made from the
truth exactly as the benchmarks' were. A method is a network, or plain resampling to compare it with.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

import torch
from torch import Tensor

from edvr_cli.errors import InputError
from edvr_cli.image.metrics import Figures, figures
from edvr_cli.image.resize import Kernel, benchmark_lr, resize
from edvr_cli.inference.frames import restore_frames
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.network.model import Model
from edvr_cli.video.clip_folders import read_frames, sources_in
from edvr_cli.video.pixels.color import ColorSpec
from edvr_cli.video.quality_scales import Codec
from edvr_cli.video.recompress import recompress
from edvr_cli.video.vmaf import Vmaf

__all__ = ["ClipScore", "EvaluationOptions", "Method", "evaluate", "mean_score", "score_clip"]

Method = Model | Kernel
_COLOR = ColorSpec(matrix=1, full_range=False)  # BT.709: whose luma VMAF sees


@dataclass(frozen=True)
class ClipScore:
    """Means over the frames of one clip, or over the clips of a set."""

    clip: str
    frames: int
    psnr: float  # dB, RGB
    ssim: float
    psnr_y: float  # dB, MATLAB's luma
    ssim_y: float
    flicker: float  # mean |difference of successive frames − that of the truth|, of 255
    vmaf: float | None = None

    @property
    def figures(self) -> Figures:
        """PSNR and SSIM."""
        return Figures(self.psnr, self.ssim, self.psnr_y, self.ssim_y)


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of a measurement."""

    rounding: Literal["once", "twice"] = "once"  # of made inputs: Vid4's way, or REDS's
    compression: tuple[Codec, int] | None = None  # codec and quality that the inputs go through
    copies: bool = False  # windows hold copies of their reference: the quality without neighboring frames
    frames: int | None = None  # of each clip, at most
    vmaf: bool = False  # measured too, by FFmpeg
    tta: int = 1  # turned copies that are averaged, as in InferenceOptions


def evaluate(
    truth: Path, low: Path | None, method: Method, options: EvaluationOptions | None = None
) -> Iterator[ClipScore]:
    """The score of each clip of ``truth``, as soon as it is known.

    ``low`` is a set of inputs with the same clip names; None makes them. A network for deblurring needs it. Raises
    InputError where sets do not match, or a clip's sides are not multiples of the scale. Plain resampling brings given
    inputs to the truth's size, so on inputs of that size it scores the inputs themselves.
    """
    options = options or EvaluationOptions()
    clips = _named(truth)
    inputs = _named(low) if low is not None else {}
    if low is not None and (missing := clips.keys() - inputs.keys()):
        raise InputError(f"{low} has no {', '.join(sorted(missing))}: name its clips as those of {truth}")
    scale = method.config.scale if isinstance(method, Model) else 4
    if low is None and scale == 1:
        raise InputError("a network for deblurring is measured on given inputs: pass their folder")
    for name, source in clips.items():
        if low is not None:
            small = [frame.byte() for frame in read_frames(inputs[name], max_frames=options.frames)]
        else:
            small = [
                _made(frame.byte(), scale, options, name) for frame in read_frames(source, max_frames=options.frames)
            ]
        if options.compression is not None:
            small = list(recompress(torch.stack(small), *options.compression))
        if isinstance(method, Model):
            outputs = _restored(small, method, options)
        else:
            outputs = _resampled(small, next(read_frames(source, max_frames=1)).shape[-2:], method)
        yield score_clip(name, read_frames(source, max_frames=options.frames), outputs, vmaf=options.vmaf)


def mean_score(scores: list[ClipScore]) -> ClipScore:
    """The mean of the clips' means, as tables print it."""
    psnr, ssim, psnr_y, ssim_y = (fmean(column) for column in zip(*(score.figures for score in scores), strict=True))
    vmafs = [score.vmaf for score in scores if score.vmaf is not None]
    flicker = fmean(score.flicker for score in scores)
    frames = sum(score.frames for score in scores)
    return ClipScore("mean", frames, psnr, ssim, psnr_y, ssim_y, flicker, fmean(vmafs) if vmafs else None)


def _named(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sources_in(folder)}


def _made(frame: Tensor, scale: int, options: EvaluationOptions, name: str) -> Tensor:
    H, W = frame.shape[-2:]
    if H % scale or W % scale:
        raise InputError(f"{name} is {W}×{H}: its sides must be multiples of {scale} to make inputs from it")
    return benchmark_lr(frame, scale=scale, round_between=options.rounding == "twice")


def _resampled(small: list[Tensor], size: Sequence[int], kernel: Kernel) -> Iterator[Tensor]:
    """Output frames (3, H, W) uint8."""
    for frame in small:
        yield resize(frame.float(), (size[0], size[1]), kernel).round().clamp(0, 255).byte()


def _restored(small: list[Tensor], model: Model, options: EvaluationOptions) -> Iterator[Tensor]:
    """Output frames (3, H, W) uint8."""
    arrays = [frame.permute(1, 2, 0).contiguous().numpy() for frame in small]
    inference = InferenceOptions(tta=options.tta)
    # A clip of one frame is padded with copies of it.
    for clip in [[array] for array in arrays] if options.copies else [arrays]:
        for output in restore_frames(clip, model, inference=inference, split_at_cuts=False):
            yield torch.as_tensor(output).permute(2, 0, 1)


def score_clip(name: str, truths: Iterator[Tensor], outputs: Iterator[Tensor], *, vmaf: bool) -> ClipScore:
    """The score of output frames (3, H, W), 0 to 255, by their truths. Raises InputError where the sizes differ."""
    rows: list[Figures] = []
    flicker = []
    last: Tensor | None = None
    with ExitStack() as stack:
        meter: Vmaf | None = None
        for truth, output in zip(truths, outputs, strict=True):
            if truth.shape != output.shape:
                raise InputError(f"{name}: the output is {tuple(output.shape)}, the truth {tuple(truth.shape)}")
            rows.append(figures(output, truth))
            error = output.float() - truth
            if last is not None:
                flicker.append(float((error - last).abs().mean()))
            last = error
            if vmaf:
                if meter is None:
                    meter = stack.enter_context(Vmaf(truth.shape[2], truth.shape[1], _COLOR))
                meter.add(output, truth.byte())
        perceived = fmean(meter.scores()) if meter else None
    psnr, ssim, psnr_y, ssim_y = (fmean(column) for column in zip(*rows, strict=True))
    return ClipScore(name, len(rows), psnr, ssim, psnr_y, ssim_y, fmean(flicker or [0.0]), perceived)
