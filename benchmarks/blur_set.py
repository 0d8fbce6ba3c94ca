"""A set of blurred clips with their sharp truth, for ``edvr eval``: python -m benchmarks.blur_set STILLS SET

Takes the first frame of each video or image folder in STILLS, which should be footage that no model was trained on, and
moves it along smooth camera paths, without and with an object in front (another still) on a path of its own. A blurred
frame is the mean of 33 instants over the exposure in linear light; its truth is the middle instant. Writes
SET/sharp and SET/blurred: lossless RGB videos of the same names, for

    edvr eval SET/sharp --inputs SET/blurred -n edvr-s-deblur
    edvr eval SET/sharp --inputs SET/blurred -n bicubic   (of equal size: the blurred frames themselves)
"""

import argparse
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from edvr_cli.train.synthetic_motion import Scene, random_path
from edvr_cli.video.clip_folders import read_frames, sources_in

SIDE, MARGIN, FRAMES, INSTANTS, SHUTTER = 320, 80, 9, 33, 0.8
SPEEDS = (6.0, 12.0)  # pixels a frame, at most


def main() -> None:
    """Make the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stills", type=Path)
    parser.add_argument("set", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="another one gives other crops and paths")
    arguments = parser.parse_args()
    for name in ("sharp", "blurred"):
        (arguments.set / name).mkdir(parents=True, exist_ok=True)
    sources = sources_in(arguments.stills)
    stills = [next(read_frames(source, max_frames=1)) / 255 for source in sources]
    times = torch.arange(FRAMES) - FRAMES / 2 + 0.5
    for number, source in enumerate(sources):
        for speed in SPEEDS:
            for objects in (False, True):
                rng = np.random.default_rng((number, int(speed), objects, arguments.seed))
                scene = _scene(rng, stills, number, speed, objects)
                name = f"{source.stem}-{speed:.0f}px{'-object' if objects else ''}"
                print(name, flush=True)
                _write(arguments.set / "sharp" / f"{name}.mkv", scene.render(times, SIDE))
                blurred = scene.expose(times, SIDE, shutter=SHUTTER, positions=INSTANTS)
                _write(arguments.set / "blurred" / f"{name}.mkv", blurred)


def _scene(rng: np.random.Generator, stills: list[Tensor], number: int, speed: float, objects: bool) -> Scene:
    background = _crop(rng, stills[number])
    path = random_path(rng, speed)
    if not objects:
        return Scene(background, path)
    side = background.shape[-1]
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    disk = ((0.45 - (x**2 + y**2).sqrt()) * side / 4).clamp(0, 1)[None]
    foreground = _crop(rng, stills[(number + 1) % len(stills)])
    return Scene(background, path, foreground, disk, random_path(rng, speed))


def _crop(rng: np.random.Generator, still: Tensor) -> Tensor:
    side = min(SIDE + 2 * MARGIN, *still.shape[1:])
    top, left = (int(rng.integers(n - side + 1)) for n in still.shape[1:])
    return still[:, top : top + side, left : left + side]


def _write(path: Path, frames: Tensor) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "rgb24"
        for frame in (frames * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
