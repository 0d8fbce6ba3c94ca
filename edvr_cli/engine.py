"""StreamingEDVR: a trained network at work on a stream of windows, computing each thing once.

The definition is :meth:`EDVR.forward`, which this equals. It differs in when and where things are computed:

- features of a frame once, when the frame first appears, and kept as long as windows name it;
- the convolutions over a pair of frames as two halves, a neighbor's computed once, the reference's once per
  window, and added per pair;
- on a CPU the 3×3 convolutions after Winograd, with a quarter of the products;
- a frame too large for the memory as tiles with a halo; the tail after the residual blocks, whose maps are
  16 times as large, in strips, exactly.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edvr_cli.edvr import EDVR, SLOPE, TAIL_REACH, Pyramid
from edvr_cli.errors import DeviceError
from edvr_cli.memory import SMALLEST_TILE, Plan, free_memory, is_out_of_memory, plan
from edvr_cli.ops.conv import Conv
from edvr_cli.ops.deform_conv import missing_kernel
from edvr_cli.ops.selftest import check_kernel
from edvr_cli.precision import Precision, dtype_for
from edvr_cli.tiling import Tile, tiles
from edvr_cli.window import Window

__all__ = ["DEFAULT_HALO", "PARTS", "StreamingEDVR"]

PARTS = ("features", "alignment", "fusion", "reconstruction", "tail")

DEFAULT_HALO = 32  # input pixels around a tile's core; see docs/performance.md for what was measured
# Features' pixels at a time in the tail. On a CPU more than these no longer find their maps in the cache (a fifth
# slower in bf16), on a GPU fewer would leave it idle. Thin strips would repeat too much of their neighbors' work.
_STRIP_PIXELS, _STRIP_PIXELS_CPU, _STRIP_ROWS = 32 * 1024, 6400, 16


@dataclass
class _Features:
    """What depends on one frame alone: its pyramid, and its half of the convolutions over pairs as neighbor."""

    pyramid: Pyramid
    halves: list[Tensor]


class StreamingEDVR:
    """Restores windows one after the other.

    The network works on the device that ``model`` lies on; on a CPU, or in another ``precision`` than the model's
    own, it is a copy. ``tile`` is the largest side of a tile's core in input pixels: 0 for whole frames, None to
    choose by the device's free memory when the frame size is known, of which ``max_memory`` bytes may be used.
    ``halo`` is what a tile sees around its core.
    When memory runs out all the same, the frame is redone with smaller tiles; ``on_smaller_tile`` is told their size.

    ``part`` may be set to be told of the work: it is called with the name of each of :data:`PARTS`, and what it
    returns is entered for as long as that lasts.
    """

    def __init__(
        self,
        model: EDVR,
        *,
        precision: Precision = "auto",
        tile: int | None = None,
        halo: int = DEFAULT_HALO,
        max_memory: int | None = None,
        on_smaller_tile: Callable[[int], None] | None = None,
    ) -> None:
        self.config = model.config
        self.device = next(model.parameters()).device
        self.dtype = dtype_for(precision, self.device)
        if self.device.type == "cuda":
            check_kernel(self.device, self.dtype, self.config.features, self.config.groups)
        compiled = self.device.type == "cpu" and find_spec("numba") is not None
        if compiled or next(model.parameters()).dtype != self.dtype:
            model = copy.deepcopy(model).to(self.dtype)
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.tile = tile
        self.halo = halo
        self.max_memory = max_memory
        self._on_smaller_tile = on_smaller_tile
        self.part: Callable[[str], AbstractContextManager[object]] = lambda _: nullcontext()
        alignment = self.model.pcd_align
        self._pairs = [_halves(alignment.offset_conv1[f"l{i + 1}"]) for i in range(self.config.levels)]
        self._cascade = _halves(alignment.cas_offset_conv1) if self.config.cascade else nn.ModuleList()
        if compiled:
            from edvr_cli.ops.winograd_cpu import winograd  # noqa: PLC0415 (numba is optional)

            for network in (self.model, *self._pairs, self._cascade):
                winograd(network)
        self._size: tuple[int, int] | None = None
        self._tiles: list[Tile] = []
        self._plan = Plan(0, keep_features=True)
        self._features: dict[tuple[int, int], _Features] = {}  # by tile number and frame number

    @property
    def whole_frames(self) -> bool:
        """Whether frames go through in one piece (known from the first frame on)."""
        return len(self._tiles) == 1

    @property
    def tile_size(self) -> int:
        """Largest side of a tile's core in input pixels, or 0 for whole frames (known from the first frame on)."""
        return 0 if self.whole_frames else self._plan.tile

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for whoever waits for this engine."""
        missing = missing_kernel(self.device)
        if not missing:
            return ()
        return (f"This will be slow, without a kernel for deformable convolutions on {self.device}: {missing}.",)

    def modules(self) -> Iterator[nn.Module]:
        """Every module that a window goes through."""
        for network in (self.model, *self._pairs, self._cascade):
            yield from network.modules()

    def prepare(self, height: int, width: int) -> None:
        """Choose the tiles for frames of this size and forget what is known of other frames."""
        multiple = self.config.multiple
        height, width = -(-height // multiple) * multiple, -(-width // multiple) * multiple
        self._features.clear()
        self._plan = plan(
            self.config,
            height,
            width,
            self.tile,
            self.halo,
            free_memory(self.device, self.max_memory),
            self.dtype.itemsize,
        )
        self._size = height, width
        self._tiles = tiles(height, width, self._plan.tile, self.halo, multiple)

    @torch.inference_mode()
    def restore(self, window: Window[Tensor]) -> Tensor:
        """Restore the reference frame of ``window``.

        Frames are (3, H, W) float32 RGB in [0, 1], anywhere; they are told apart by the window's indices.
        Returns (3, s·H, s·W) float32, not clamped: on the engine's device for whole frames, else on the CPU.
        """
        _, height, width = window.reference.shape
        if self._size is None:
            self.prepare(height, width)
        while True:
            try:
                return self._restore(window)[:, : height * self.config.scale, : width * self.config.scale]
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the except block, where the error no longer holds on to the frame's tensors.
            self._shrink(height, width)

    def _restore(self, window: Window[Tensor]) -> Tensor:
        assert self._size is not None  # prepared
        height, width = self._size
        frames = dict(zip(window.indices, window.frames, strict=True))
        padded = {n: _pad(frame, height, width) for n, frame in frames.items()}
        self._features = {key: value for key, value in self._features.items() if key[1] in frames}
        if self.whole_frames:
            return self._restore_tile(0, padded, window.indices)
        scale = self.config.scale
        output = torch.empty(3, height * scale, width * scale)
        for number, tile in enumerate(self._tiles):
            region = {n: frame[:, *tile.region()] for n, frame in padded.items()}
            restored = self._restore_tile(number, region, window.indices)
            output[:, *tile.core(scale)] = restored[:, *tile.core_in_region(scale)].to(output.device)
        return output

    def _restore_tile(self, number: int, frames: dict[int, Tensor], indices: tuple[int, ...]) -> Tensor:
        with self.part("features"):
            features = {n: self._features.get((number, n)) or self._extract(frame) for n, frame in frames.items()}
        if self._plan.keep_features:
            self._features.update({(number, n): value for n, value in features.items()})
        reference = indices[self.config.reference]
        with self.part("alignment"):
            aligned = self._align(features, features[reference].pyramid)
        del features
        with self.part("fusion"):
            # Side by side in each pixel: the fusion's 1×1 convolutions take them so, without another copy.
            stacked = torch.cat([aligned[n] for n in indices], dim=1).unflatten(1, (len(indices), -1))
            del aligned
            fused = self.model.fuse(stacked)
            del stacked
        return self._rebuild(fused, self._upload(frames[reference]))

    def _extract(self, frame: Tensor) -> _Features:
        pyramid = self.model.extract(self._upload(frame).to(self.dtype))
        return _Features(pyramid, [neighbor(x) for (neighbor, _), x in zip(self._pairs, pyramid, strict=True)])

    def _align(self, features: dict[int, _Features], reference: Pyramid) -> dict[int, Tensor]:
        """Every frame's features where the reference has them."""
        halves = [half(x) for (_, half), x in zip(self._pairs, reference, strict=True)]
        compare = None
        if self._cascade:
            neighbor_half, reference_half = self._cascade
            constant = reference_half(reference[0])

            def compare(aligned: Tensor) -> Tensor:
                return neighbor_half(aligned, SLOPE, add=constant)

        return {
            n: self.model.pcd_align.align(
                own.pyramid, [a + b for a, b in zip(own.halves, halves, strict=True)], compare
            )
            for n, own in features.items()
        }

    def _rebuild(self, fused: Tensor, frame: Tensor) -> Tensor:
        """The model's ``rebuild``, its tail in strips of rows: → (3, s·H, s·W).

        The frame is float32 whatever the features are, so that what is added to it keeps its precision.
        """
        with self.part("reconstruction"):
            x = self.model.reconstruction(fused)
        _, _, h, w = x.shape
        step = max(_STRIP_ROWS, (_STRIP_PIXELS_CPU if self.device.type == "cpu" else _STRIP_PIXELS) // w)
        inward = frame.shape[2] // h  # rows of the frame a row of features
        outward = inward * self.config.scale  # and of the output
        output = torch.empty(3, h * outward, w * outward, device=self.device)
        with self.part("tail"):
            for start in range(0, h, step):
                stop = min(start + step, h)
                top, bottom = max(0, start - TAIL_REACH), min(h, stop + TAIL_REACH)
                strip = self.model.upsample(x[:, :, top:bottom], frame[:, :, top * inward : bottom * inward])
                first = (start - top) * outward
                output[:, start * outward : stop * outward] = strip[0, :, first : first + (stop - start) * outward]
        return output

    def _upload(self, frame: Tensor) -> Tensor:
        """(3, H, W) anywhere → (1, 3, H, W) float32 on the device."""
        return frame[None].to(self.device).contiguous(memory_format=torch.channels_last)

    def _shrink(self, height: int, width: int) -> None:
        """Halve the tiles after memory ran out; DeviceError where they cannot be halved."""
        size = max(len(tile.core_y) for tile in self._tiles), max(len(tile.core_x) for tile in self._tiles)
        self._features.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if max(size) <= SMALLEST_TILE:
            raise DeviceError(
                f"out of memory on {self.device} even with tiles of {max(size)} pixels: free some memory, "
                "or pass --device cpu or a smaller model"
            )
        self.tile = max(SMALLEST_TILE, max(size) // 2)
        self.prepare(height, width)
        if self._on_smaller_tile:
            self._on_smaller_tile(self.tile)


def _halves(conv: nn.Module) -> nn.ModuleList:
    """Split a convolution over cat(a, b) into one over a and one (with the bias) over b, whose sum it is."""
    assert isinstance(conv, nn.Conv2d)
    parts = nn.ModuleList()
    for weight, bias in zip(conv.weight.chunk(2, dim=1), (None, conv.bias), strict=True):
        with torch.device("meta"):  # no random weights
            half = Conv(weight.shape[1], conv.out_channels, bias=bias is not None)
        half.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        half.bias = bias
        parts.append(half)
    return parts


def _pad(frame: Tensor, height: int, width: int) -> Tensor:
    """Fill (3, H, W) up to ``height`` and ``width``: reflected, and replicated where a frame is too small."""
    bottom, right = height - frame.shape[1], width - frame.shape[2]
    if not (bottom or right):
        return frame
    mode = "reflect" if bottom < frame.shape[1] and right < frame.shape[2] else "replicate"
    return F.pad(frame[None], (0, right, 0, bottom), mode)[0]
