"""A set of blurred clips with their sharp truth, for ``edvr eval``: python -m benchmarks.blur_set STILLS SET

Takes the first frame of each video or image folder in STILLS, which should be footage that no model was trained on, and
moves it along smooth camera paths, without and with an object in front (another still) on a path of its own. With
--shake the camera is in a hand instead, as a gyroscope would record it: shifts and turns whose speed is smoothed noise
(models are trained on sums of waves). A blurred frame is the mean of 33 instants over the exposure in linear light; its
truth is the middle instant. Writes SET/sharp and SET/blurred: lossless RGB videos of the same names, for

    edvr eval SET/sharp --inputs SET/blurred -n edvr-s-deblur
    edvr eval SET/sharp --inputs SET/sharp -n edvr-s-deblur   (what is sharp should stay so)
    edvr eval SET/sharp --inputs SET/blurred -n bicubic   (of equal size: the blurred frames themselves)
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from edvr_cli.train.motion_paths import Motion, affine, random_path
from edvr_cli.train.synthetic_motion import Scene
from edvr_cli.video.clip_folders import read_frames, sources_in

SIDE, MARGIN, FRAMES, INSTANTS, SHUTTER = 320, 80, 9, 33, 0.8
SPEEDS = (6.0, 12.0)  # pixels a frame: at most, or of a hand usually
READINGS = 32  # of the gyroscope per frame
HELD = 12.0  # readings over which a hand's speed stays alike: 80 ms at 30 frames a second
TURN = 1 / 300  # radians per pixel of shift


def main() -> None:
    """Make the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stills", type=Path)
    parser.add_argument("set", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="another one gives other crops and paths")
    parser.add_argument("--shake", action="store_true", help="a camera in a hand, in place of smooth paths")
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
                scene = _scene(rng, stills, number, speed, objects, _hand(rng, speed) if arguments.shake else None)
                name = f"{source.stem}-{speed:.0f}px{'-object' if objects else ''}"
                print(name, flush=True)
                _write(arguments.set / "sharp" / f"{name}.mkv", scene.render(times, SIDE))
                blurred = scene.expose(times, SIDE, shutter=SHUTTER, positions=INSTANTS)
                _write(arguments.set / "blurred" / f"{name}.mkv", blurred)


@dataclass(frozen=True)
class _Recording:
    """A path as readings of shifts and turns, from the first frame of a clip to its last."""

    readings: Tensor  # (3, N): x and y in pixels, angle in radians

    def at(self, times: Tensor) -> Tensor:
        """Affine maps (N, 2, 3) at ``times``, between readings by straight lines; the identity at time 0."""
        place = times.double() * READINGS + self.readings.shape[1] // 2
        before = place.floor().long().clamp(0, self.readings.shape[1] - 2)
        x, y, angle = torch.lerp(self.readings[:, before], self.readings[:, before + 1], (place - before).float())
        return affine(torch.ones_like(x), angle, x, y)


def _hand(rng: np.random.Generator, speed: float) -> _Recording:
    """A hand's path: its speed is noise that remembers ``HELD`` readings, of ``speed`` pixels a frame."""
    count = (FRAMES + 3) * READINGS + 1
    keep = np.exp(-1 / HELD)
    noise = rng.normal(size=(3, count)) * np.sqrt(1 - keep**2)
    speeds = np.zeros((3, count))
    speeds[:, 0] = noise[:, 0] / np.sqrt(1 - keep**2)
    for n in range(1, count):
        speeds[:, n] = keep * speeds[:, n - 1] + noise[:, n]
    speeds *= np.array([[1.0], [1.0], [TURN]]) * speed / np.sqrt(2) / READINGS
    path = np.cumsum(speeds, axis=1)
    return _Recording(torch.from_numpy(path - path[:, count // 2, None]).float())


def _scene(
    rng: np.random.Generator, stills: list[Tensor], number: int, speed: float, objects: bool, hand: Motion | None
) -> Scene:
    background = _crop(rng, stills[number])
    path = hand or random_path(rng, speed)
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
