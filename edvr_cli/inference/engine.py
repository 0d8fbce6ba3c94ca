"""StreamingEDVR: restores a stream of windows and computes each intermediate result once.

The definition is :meth:`EDVR.forward`, which this equals. It differs in when and where things are computed:

- features of a frame are computed when it first appears, and kept as long as windows contain it;
- the convolutions over a pair of frames as two halves, a neighbor's computed once, the reference's once per
  window, and added per pair;
- on a CPU the 3×3 convolutions after Winograd, with a quarter of the products;
- on a GPU all neighbors of a small frame at once, and several windows, which one by one would leave it idle between
  launches;
- turned copies of a window, where they are averaged, keep their features apart;
- a frame too large for the memory as tiles with padding; the tail after the residual blocks, whose maps are
  16 times as large, in strips, exactly.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from edvr_cli.errors import DeviceError
from edvr_cli.image.convert import fill_up
from edvr_cli.inference.look import finish
from edvr_cli.inference.memory_plan import MAX_WINDOWS, MIN_TILE, MemoryPlan, peak_memory, plan_memory, round_up
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.inference.precision import dtype_for
from edvr_cli.inference.stages import Features, Reference, Stages, batch_of, join_images, join_maps
from edvr_cli.inference.strips import rows_per_strip, strips
from edvr_cli.inference.tiles import Tile, tiles
from edvr_cli.inference.turned_copies import mean_of_turns
from edvr_cli.network.edvr import EDVR
from edvr_cli.network.model import Model
from edvr_cli.network.windows import Window, windows
from edvr_cli.ops.cpu import accelerate
from edvr_cli.ops.deform_conv import missing_kernel
from edvr_cli.ops.numba_status import numba_fault
from edvr_cli.ops.selftest import check_kernel
from edvr_cli.system.gpu_copy import upload
from edvr_cli.system.gpu_errors import is_out_of_memory

__all__ = ["STAGES", "StreamingEDVR"]

_LOG = logging.getLogger(__name__)

STAGES = ("features", "alignment", "fusion", "reconstruction", "tail")

Label = TypeVar("Label")


class StreamingEDVR:
    """Restores a stream of frames, one window after the other, or several small ones in one go.

    The network works on the device of ``model``; on a CPU, or in another precision than the model's, it is a copy.
    When memory runs out, frames are restored again one at a time, then with smaller tiles. ``on_notice`` receives a
    sentence about that, or about a compilation that failed.
    """

    def __init__(
        self,
        model: Model | EDVR,
        options: InferenceOptions | None = None,
        *,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self.options = options or InferenceOptions()
        model = Model.of(model)
        network = model.network
        self.config = model.config
        self.device = model.device
        self.dtype = dtype_for(self.options.precision, self.device)
        if self.device.type == "cuda":
            check_kernel(self.device, self.dtype, self.config.features, self.config.groups)
        kernels = self.device.type == "cpu" and numba_fault() is None
        if kernels or next(network.parameters()).dtype != self.dtype:
            network = copy.deepcopy(network).to(self.dtype)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = replace(model, network=network)
        self._on_notice = on_notice or (lambda _: None)
        self._around_stage: Callable[[str], AbstractContextManager[object]] = lambda _: nullcontext()
        self._compile_ignored = self.options.torch_compile and kernels
        if kernels:
            self._stages = Stages(network, replace=accelerate)
        elif self.options.torch_compile:
            from edvr_cli.inference.torch_compile import Compiler  # noqa: PLC0415 (only what is asked for)

            self._stages = Stages(network, compiler=Compiler(self._on_notice))
        else:
            self._stages = Stages(network)
        # A compiler would have to learn every number of images.
        self._max_windows = 1 if self.options.torch_compile else MAX_WINDOWS
        self._shape: tuple[int, int] | None = None  # (H, W) of the frames, rounded up
        self._tiles: list[Tile] = []
        self._plan = MemoryPlan(0, keep_features=True)
        self._frames: dict[int, Tensor] = {}  # (3, H, W) float32 on the device, filled up, by frame number
        self._features: dict[tuple[int, int, int], Features] = {}  # by the numbers of tile, turn and frame

    @property
    def whole_frames(self) -> bool:
        """Whether frames are not tiled (known from the first frame on)."""
        return len(self._tiles) == 1

    @property
    def tile_size(self) -> int:
        """Largest side of a tile in input pixels, 0 for whole frames (known from the first frame on)."""
        return 0 if self.whole_frames else self._plan.tile

    def memory_needed(self) -> int:
        """Bytes that frames of the size that is prepared need at most, about."""
        assert self._shape is not None
        return peak_memory(self._plan, self.config, *self._shape, self.options.tile_pad, self.dtype.itemsize)

    @property
    def windows_at_once(self) -> int:
        """How many windows go through in one piece (known when prepared)."""
        return self._plan.windows

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about the speed to expect."""
        notes = []
        if missing := missing_kernel(self.device):
            notes.append(
                f"This will be slow, without a kernel for deformable convolutions on {self.device}: {missing}."
            )
        if self._compile_ignored:
            notes.append("torch.compile is for GPUs: on a CPU the network already runs in compiled kernels.")
        return tuple(notes)

    def modules(self) -> Iterator[nn.Module]:
        """Every module that processes a window."""
        return self._stages.modules()

    @property
    def staging_device(self) -> torch.device:
        """Where frames wait for their turn: on the device, or on the host where they are restored in tiles."""
        return self.device if self.whole_frames else torch.device("cpu")

    @contextmanager
    def observed(self, around_stage: Callable[[str], AbstractContextManager[object]]) -> Iterator[None]:
        """Within the block, enter ``around_stage(name)`` around each of the :data:`STAGES`."""
        before, self._around_stage = self._around_stage, around_stage
        try:
            yield
        finally:
            self._around_stage = before

    def use_tile(self, tile: int | None, height: int, width: int) -> None:
        """Restore frames of this size in tiles of ``tile`` pixels (0: whole frames, None: by the free memory)."""
        self.options = replace(self.options, tile=tile)
        self.prepare(height, width)

    def prepare(self, height: int, width: int) -> None:
        """Choose the tiles for frames of this size and drop what is kept of other frames."""
        multiple = self.config.multiple
        height, width = round_up(height, multiple), round_up(width, multiple)
        self._forget()
        plan = plan_memory(self.config, height, width, self.options, self.device, self.dtype)
        self._plan = replace(plan, windows=min(plan.windows, self._max_windows))
        _LOG.debug("frames of %d×%d on %s in %s: %s", width, height, self.device, self.dtype, self._plan)
        self._shape = height, width
        self._tiles = tiles(height, width, self._plan.tile, self.options.tile_pad, multiple)

    def windows(self, frames: Iterable[tuple[Label, Tensor, bool]]) -> Iterator[tuple[Label, Window[Tensor]]]:
        """Each frame's label and window; ``frames`` are (label, RGB, whether the frame starts a shot)."""
        labelled = (((label, rgb), starts_shot) for label, rgb, starts_shot in frames)
        for window in windows(labelled, self.config.frames, self.model.padding):
            label, rgb = window.reference
            if self._shape is None:
                self.prepare(*rgb.shape[1:])
            yield label, Window(window.indices, tuple(rgb for _, rgb in window.frames))

    def restore_stream(self, frames: Iterable[tuple[Label, Tensor, bool]]) -> Iterator[tuple[Label, Tensor]]:
        """Restore each frame of a stream, in order: see :meth:`windows` for ``frames``, :meth:`restore` for RGB."""
        group: list[tuple[Label, Window[Tensor]]] = []
        for item in self.windows(frames):
            group.append(item)
            if len(group) >= self.windows_at_once:
                yield from self._restore_group(group)
                group = []
        if group:
            yield from self._restore_group(group)

    def _restore_group(self, group: list[tuple[Label, Window[Tensor]]]) -> Iterator[tuple[Label, Tensor]]:
        outputs = self.restore_windows([window for _, window in group])
        yield from zip((label for label, _ in group), outputs, strict=True)

    def restore(self, window: Window[Tensor]) -> Tensor:
        """Restore the reference frame of ``window``.

        Frames are (3, H, W) float32 RGB in [0, 1], on any device; the window's indices identify them.
        Returns (3, s·H, s·W) float32 on the engine's device, not clamped. On a GPU it comes back when the work is
        queued there, not when it is done.
        """
        return self.restore_windows([window])[0]

    @torch.inference_mode()
    def restore_windows(self, group: Sequence[Window[Tensor]]) -> list[Tensor]:
        """What :meth:`restore` gives for each window of ``group``, :attr:`windows_at_once` in one go.

        They should follow each other: frames that one names and the next does not are forgotten.
        """
        _, height, width = group[0].reference.shape
        if self._shape is None:
            self.prepare(height, width)
        restored: list[Tensor] = []
        while len(restored) < len(group):
            next_ones = group[len(restored) : len(restored) + self._plan.windows]
            try:
                restored += self._restore_cropped(next_ones, height, width)
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the except block, where the error no longer holds on to the frame's tensors.
            self.use_less_memory()
        return restored

    def _restore_cropped(self, group: Sequence[Window[Tensor]], height: int, width: int) -> list[Tensor]:
        """The outputs (3, s·H, s·W) for frames of this size, sharpened and blended as model and options say."""
        scale, options, sharpen = self.config.scale, self.options, self.model.sharpen
        outputs = [output[:, : height * scale, : width * scale] for output in self._restore(group)]
        middle = [self._frames[window.indices[self.config.reference]][:, :height, :width] for window in group]
        return [finish(output, frame, options, sharpen=sharpen) for output, frame in zip(outputs, middle, strict=True)]

    def _restore(self, group: Sequence[Window[Tensor]]) -> Tensor:
        """(B, 3, s·H, s·W), of as many windows."""
        assert self._shape is not None  # prepared
        height, width = self._shape
        frames = {n: frame for window in group for n, frame in zip(window.indices, window.frames, strict=True)}
        self._features = {key: value for key, value in self._features.items() if key[2] in frames}
        self._frames = {n: value for n, value in self._frames.items() if n in frames}
        for n, frame in frames.items():
            if n not in self._frames:
                self._frames[n] = fill_up(upload(frame, self.device), height, width)
        indices = [window.indices for window in group]
        if self.whole_frames:
            return mean_of_turns(self._plan.turns, self._frames, indices, partial(self._restore_tile, 0))
        scale = self.config.scale
        output = torch.empty(len(group), 3, height * scale, width * scale, device=self.device)
        for number, tile in enumerate(self._tiles):
            region = {n: frame[:, *tile.region()] for n, frame in self._frames.items()}
            restored = mean_of_turns(self._plan.turns, region, indices, partial(self._restore_tile, number))
            output[:, :, *tile.core(scale)] = restored[:, :, *tile.core_in_region(scale)]
        return output

    def _restore_tile(self, tile: int, turn: int, frames: dict[int, Tensor], windows: list[tuple[int, ...]]) -> Tensor:
        """What the network makes of ``frames``, those of this tile in this turn: (B, 3, s·H, s·W)."""
        place = tile, turn
        with self._around_stage("features"):
            features = self._features_of(place, frames)
        if self._plan.keep_features:
            self._features.update({(*place, n): value for n, value in features.items()})
        middle = [indices[self.config.reference] for indices in windows]
        with self._around_stage("alignment"):
            reference = self._stages.prepare_reference(join_maps([features[n].pyramid for n in middle]))
            # By position in the window: (B, C, h, w) each.
            aligned = self._align(
                [[features[n] for n in position] for position in zip(*windows, strict=True)], reference
            )
        del features, reference
        with self._around_stage("fusion"):
            # Side by side in each pixel: the fusion's 1×1 convolutions take them so, without another copy.
            stacked = torch.cat(aligned, dim=1).unflatten(1, (len(aligned), -1))
            del aligned
            fused = self._stages.fuse(stacked)
            del stacked
        return self._rebuild(fused, join_images([frames[n] for n in middle]))

    def _features_of(self, place: tuple[int, int], frames: dict[int, Tensor]) -> dict[int, Features]:
        """Features of every frame, those that are not known computed, of small frames in one go."""
        known = {n: own for n in frames if (own := self._features.get((*place, n))) is not None}
        new = [n for n in frames if n not in known]
        together = len(new) if self._plan.at_once and self._max_windows > 1 else 1
        for first in range(0, len(new), max(1, together)):
            part = new[first : first + together]
            found = self._stages.extract(join_images([frames[n] for n in part]).to(self.dtype))
            if not self._plan.keep_halves:
                found = found._replace(halves=None)
            known |= {n: found.of_image(i) for i, n in enumerate(part)}
        return known

    def _align(self, positions: list[list[Features]], reference: Reference) -> list[Tensor]:
        """The features of windows' frames where their references have them: for each position (B, C, h, w)."""
        if not self._plan.at_once:
            # A window at a shot's end has some frames twice.
            known: dict[tuple[int, ...], Tensor] = {}
            for frames in positions:
                key = tuple(id(own) for own in frames)
                if key not in known:
                    known[key] = self._stages.align(batch_of(frames), reference)
            return [known[tuple(id(own) for own in frames)] for frames in positions]
        together = batch_of([own for frames in positions for own in frames])
        return list(self._stages.align(together, reference).chunk(len(positions)))

    def _rebuild(self, fused: Tensor, frames: Tensor) -> Tensor:
        """The model's ``rebuild``, its tail in strips of rows: → (B, 3, s·H, s·W).

        Frames are float32 whatever the features are, so that what is added to them keeps its precision.
        """
        with self._around_stage("reconstruction"):
            x = self._stages.reconstruct(fused)
        B, _, h, w = x.shape
        inward = frames.shape[2] // h  # rows of the frame a row of features
        outward = inward * self.config.scale  # and of the output
        output = torch.empty(B, 3, h * outward, w * outward, device=self.device)
        rows = rows_per_strip(B, h, w, self.device, at_once=self._plan.at_once)
        with self._around_stage("tail"):
            for start, stop, top, bottom in strips(h, rows):
                strip = self._stages.upsample(x[:, :, top:bottom], frames[:, :, top * inward : bottom * inward])
                first = (start - top) * outward
                output[:, :, start * outward : stop * outward] = strip[:, :, first : first + (stop - start) * outward]
        return output

    def use_less_memory(self) -> None:
        """After memory ran out: single windows, or else tiles half as large; DeviceError where these are the least."""
        assert self._shape is not None  # prepared
        size = max(len(tile.core_y) for tile in self._tiles), max(len(tile.core_x) for tile in self._tiles)
        used = self._plan
        estimate = peak_memory(used, self.config, *self._shape, self.options.tile_pad, self.dtype.itemsize)
        self._forget()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if used.windows > 1:
            self._max_windows = 1
            self.prepare(*self._shape)
            self._on_notice("Out of memory: continuing with one frame at a time.")
            return
        if max(size) <= MIN_TILE and not used.keep_features:
            raise DeviceError(
                f"out of memory on {self.device} even with tiles of {max(size)} pixels: free some memory",
                hint="device",
            )
        # Small tiles have more padding, whose features may be too many to keep: the new plan must need less memory.
        limit = 0 if max(size) <= MIN_TILE else min(self.options.max_memory or estimate, estimate // 2)
        tile = max(MIN_TILE, max(size) // 2)
        self.options = replace(self.options, tile=tile, max_memory=limit)
        self.prepare(*self._shape)
        self._on_notice(f"Out of memory: continuing with tiles of {tile} pixels.")

    def _forget(self) -> None:
        self._frames.clear()
        self._features.clear()
