"""The cache of decoded footage: every clip as a file of small true frames, which training maps into memory.

Real footage is compressed, and its compression must not be learned as truth: clips are brought down (area) by at
least a third, larger ones by more, to one or two sizes each.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edvr_cli.errors import EdvrError, InputError
from edvr_cli.image.resize import resize
from edvr_cli.inference.scene_cuts import CutDetector
from edvr_cli.system.files import write_file
from edvr_cli.video.clip_folders import read_frames

__all__ = ["Clip", "build_cache"]

_MIN_SHRINK = 1.35
_MAX_PIXELS = 960 * 540
_MIN_SIDE = 192  # of a cached frame


@dataclass(frozen=True, eq=False)
class Clip:
    """One shot at one size: frames (N, 3, H, W) uint8 RGB, mapped from a file."""

    source: str  # file or folder name
    frames: np.ndarray


def build_cache(
    sources: Sequence[Path],
    folder: Path,
    *,
    frames: int = 150,
    least: int = 5,
    on_clip: Callable[[str], None] | None = None,
) -> list[Clip]:
    """Decode ``sources`` (videos, or folders of images) into ``folder``, unless they are there already.

    At most ``frames`` frames of each source are taken from its start, cut into shots of at least ``least`` frames.
    ``on_clip`` is called with each source's name. A source that cannot be read is skipped and named in the error
    only if none is left. Raises InputError where nothing can be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips: list[Clip] = []
    unusable = []
    for source in sources:
        if on_clip is not None:
            on_clip(source.name)
        try:
            stored = _stored(source, folder, frames)
        except EdvrError as error:
            unusable.append(str(error))
            continue
        clips += [
            Clip(source.name, shot)
            for path in stored
            for shot in _shots(np.load(path, mmap_mode="r"), path)
            if len(shot) >= least
        ]
    if not clips:
        why = "; ".join(unusable[:3]) or "no shot is long enough"
        raise InputError(f"none of {len(sources)} sources can be trained on: {why}")
    return clips


def _stored(source: Path, folder: Path, frames: int) -> list[Path]:
    """The cache files of ``source``, created where they are missing; each has a list of cuts next to it."""
    stat = source.stat()
    facts = f"{source.resolve()} {stat.st_size} {stat.st_mtime_ns} {frames} {_MIN_SHRINK}"
    key = f"{source.stem[:40]}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"
    stored = sorted(folder.glob(f"{key}-*.npy"))
    if stored:
        return stored
    sizes: list[tuple[int, int]] = []
    shrunk: list[list[np.ndarray]] = []
    cuts, detector = [0], CutDetector()
    for number, frame in enumerate(read_frames(source, max_frames=frames)):
        if not sizes:
            sizes = list(_sizes(*frame.shape[-2:]))
            shrunk = [[] for _ in sizes]
        if detector.starts_shot(frame.mean(dim=0) / 255):
            cuts.append(number)
        for size, kept in zip(sizes, shrunk, strict=True):
            kept.append(resize(frame, size, "area").round().clamp(0, 255).to(torch.uint8).numpy())
    if not sizes:
        raise InputError(f"{source} is too small to train on: its frames need {_MIN_SIDE * _MIN_SHRINK:.0f} pixels")
    stored = []
    for number, kept in enumerate(shrunk):
        path = folder / f"{key}-{number}.npy"
        write_file(path.with_suffix(".cuts"), " ".join(map(str, cuts)).encode())
        content = io.BytesIO()
        np.save(content, np.stack(kept))
        write_file(path, content.getbuffer())
        stored.append(path)
    return stored


def _sizes(height: int, width: int) -> Iterable[tuple[int, int]]:
    """Sizes that frames of a source are kept at: one that hides its compression, and half of that if it is large."""
    shrink = max(_MIN_SHRINK, (height * width / _MAX_PIXELS) ** 0.5)
    for factor in (shrink, 2 * shrink):
        size = int(height / factor), int(width / factor)
        if min(size) >= _MIN_SIDE:
            yield size


def _shots(frames: np.ndarray, path: Path) -> Iterator[np.ndarray]:
    cuts = [int(cut) for cut in path.with_suffix(".cuts").read_text().split()]
    for start, stop in zip(cuts, [*cuts[1:], len(frames)], strict=True):
        yield frames[start:stop]
