"""VMAF by the FFmpeg binary that comes with imageio-ffmpeg, fed with pairs of frames through a pipe.

Shapes: H W pixels.
"""

import json
import os
import subprocess
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import imageio_ffmpeg
import torch
from torch import Tensor

from edvr_cli.errors import EdvrError
from edvr_cli.video.pixels.color import ColorSpec, rgb_to_planes
from edvr_cli.video.pixels.layout import native_layout

__all__ = ["Vmaf", "vmaf_available"]

_BT709 = 1
_FILTER = (
    "split[a][b];[a]crop=iw:ih/2:0:0[image];[b]crop=iw:ih/2:0:ih/2[truth];"
    "[image][truth]libvmaf=log_fmt=json:log_path={log}:n_threads={threads}"
)


@lru_cache
def vmaf_available() -> bool:
    """Whether the FFmpeg binary has the VMAF filter."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-filters"]
    return " libvmaf " in subprocess.run(command, capture_output=True, text=True, check=False).stdout


class Vmaf:
    """Measures frames against their truth, model vmaf_v0.6.1; a context manager.

    It sees luma in limited range of the 8-bit RGB pictures it is given, by the matrix of ``color`` (BT.709 where that
    is RGB). The two pictures of a pair travel one above the other as one frame: nothing can match them wrongly.
    """

    def __init__(self, width: int, height: int, color: ColorSpec) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edvr-vmaf-")
        layout = native_layout("yuv420p" if width % 2 == height % 2 == 0 else "yuv444p")
        assert layout is not None
        self._layout = layout
        self._color = ColorSpec(matrix=color.matrix or _BT709, full_range=False)
        threads = max(1, (os.cpu_count() or 2) // 2)
        self._process = subprocess.Popen(
            [
                imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-f", "rawvideo",
                "-pix_fmt", layout.name, "-video_size", f"{width}x{2 * height}", "-framerate", "25", "-i", "-",
                "-lavfi", _FILTER.format(log="vmaf.json", threads=threads), "-f", "null", "-",
            ],
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,  # few lines at most: errors alone
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()
        self._folder.cleanup()

    def add(self, image: Tensor, truth: Tensor) -> None:
        """Add a pair of frames, (3, H, W) uint8 each."""
        planes = [rgb_to_planes(rgb.float() / 255, self._layout, self._color) for rgb in (image, truth)]
        samples = torch.cat([torch.cat(pair).flatten() for pair in zip(*planes, strict=True)])
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(samples.cpu().numpy().tobytes())
        except BrokenPipeError as error:
            raise self._failure() from error

    def scores(self) -> list[float]:
        """0 to 100 for each pair, in order; ends the measurement. Raises EdvrError where FFmpeg fails."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError as error:
            raise self._failure() from error
        log = Path(self._folder.name, "vmaf.json")
        if self._process.wait() != 0 or not log.is_file():
            raise self._failure()
        return [frame["metrics"]["vmaf"] for frame in json.loads(log.read_text(encoding="utf-8"))["frames"]]

    def _failure(self) -> EdvrError:
        assert self._process.stderr is not None
        end = " ".join(self._process.stderr.read().decode("utf-8", "replace").split())[-300:]
        return EdvrError(f"FFmpeg cannot measure VMAF: {end or 'it says nothing'}.", hint="vmaf")
