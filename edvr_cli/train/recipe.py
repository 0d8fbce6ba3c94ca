"""Everything that a training run is decided by, in one place: what to train, on what, and how long."""

from dataclasses import dataclass, fields, replace
from typing import Literal

from edvr_cli.network.config import EDVRConfig
from edvr_cli.network.windows import Padding

__all__ = ["PRESETS", "DegradationName", "NetworkSize", "OptimizerName", "Precision", "Recipe"]

DegradationName = Literal["clean", "real"]
"""``clean``: the benchmarks' bicubic, or motion blur alone; ``real``: also what cameras and codecs do."""
Precision = Literal["auto", "fp32", "bf16"]
OptimizerName = Literal["adam", "muon"]


@dataclass(frozen=True)
class NetworkSize:
    """How large a network is."""

    features: int
    extraction_blocks: int
    reconstruction_blocks: int
    tail: int


PRESETS = {
    "s": NetworkSize(32, 5, 10, 32),
    "m": NetworkSize(64, 30, 30, 64),
    "m-published": NetworkSize(64, 5, 10, 64),
    "l": NetworkSize(128, 5, 40, 64),
}
"""``s`` is one that a CPU can run; ``m`` has deep features, which are computed once per frame and hold a teacher's
trunk; ``m-published`` and ``l`` are the paper's."""


@dataclass(frozen=True)
class Recipe:
    """The whole of a run; two runs with equal recipes and clips on one machine give equal weights.

    The stages follow one another: ``skeleton`` steps without any alignment, ``align`` steps of alignment alone on
    known motion, then the network without temporal and spatial attention (TSA), then ``fusion`` steps of TSA alone,
    then all of it. ``steps`` counts all five; the last two take the last ``attention`` share of what is left after
    alignment.
    """

    task: Literal["sr", "deblur"] = "sr"
    size: NetworkSize = PRESETS["s"]
    tsa: bool = True
    cascade: bool = True
    levels: int = 3
    frames: int = 5
    degradation: DegradationName = "clean"

    steps: int = 20_000
    skeleton: int = 0
    align: int = 2_000
    attention: float = 0.4  # share of the steps after alignment that have TSA
    fusion: int = 500  # of them, steps of TSA alone
    batch: int = 8
    patch: int = 32  # input pixels, a multiple of 16
    learning_rate: float = 4e-4
    align_rate: float = 2e-3
    skeleton_rate: float = 3e-4
    warm_up: int = 100
    restarts: int = 1  # cosine periods per stage
    ema: float = 0.999
    clip_gradient: float = 1.0
    optimizer: OptimizerName = "adam"
    relative: bool = False  # each sample's loss is divided by that of the unrestored frame

    known: float = 0.5  # share of samples with synthetic, known motion
    supervision: float = 0.05  # weight of the offsets' loss on them, fading to 0 over the first stage that restores
    teacher: str | None = None  # file of a trained network to learn from
    teacher_flow: bool = True  # its optical flow is the known motion of real footage
    teacher_frame: float = 0.0  # weight of the distance to its restored frames
    teacher_features: float = 0.0  # weight of the share of its features that the network's own do not explain
    speed: float = 1.5  # maximum motion of synthetic scenes, input pixels per frame
    ramp: int = 3_000  # steps until motion and degradation reach full strength
    exposure: int = 17  # instants averaged into a motion-blurred frame

    offset_alarm: float = 50.0  # mean |offset| in pixels that counts as divergence
    spike: float = 4.0  # times the usual loss that counts as divergence
    save_every: int = 250
    validate_every: int = 500
    precision: Precision = "auto"  # bf16 where the device multiplies in it, else fp32
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for values that cannot be trained with."""
        for name in ("steps", "batch", "patch", "frames", "restarts", "save_every", "validate_every", "exposure"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.patch % 16 or self.frames % 2 == 0:
            raise ValueError(f"patch must be a multiple of 16 and frames odd, got {self.patch} and {self.frames}")
        if self.size.features % EDVRConfig().groups:
            raise ValueError(f"features must be a multiple of {EDVRConfig().groups}, got {self.size.features}")
        if not 0 <= self.known <= 1 or not 0 <= self.attention <= 1:
            raise ValueError(f"known and attention are shares of one, got {self.known} and {self.attention}")
        if self.skeleton and self.tsa and self.attention == 1:
            raise ValueError("after a skeleton stage some steps without attention must follow: attention below 1")
        if self.levels not in (1, 3):
            raise ValueError(f"the alignment has 1 or 3 levels, got {self.levels}")

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return 4 if self.task == "sr" else 1

    @property
    def padding(self) -> Padding:
        """How windows are padded at the ends of a shot."""
        # What blurs a frame shows in how things move, and copies of the frame do not move.
        return "reflection" if self.task == "deblur" else self.config(tsa=self.tsa).published_padding

    def config(self, *, tsa: bool) -> EDVRConfig:
        """The network of a stage with or without TSA."""
        deblur = self.task == "deblur"
        return EDVRConfig(
            features=self.size.features,
            frames=self.frames,
            extraction_blocks=self.size.extraction_blocks,
            reconstruction_blocks=self.size.reconstruction_blocks,
            tail=self.size.tail,
            predeblur=deblur,
            hr_in=deblur,
            tsa=tsa,
            cascade=self.cascade,
            levels=self.levels,
        )

    def shortened(self, steps: int) -> "Recipe":
        """The same schedule in ``steps`` steps: alignment, TSA alone and the ramp keep their shares."""
        part = steps / self.steps
        names = ("skeleton", "align", "fusion", "ramp")
        return replace(self, steps=steps, **{name: round(part * getattr(self, name)) for name in names})

    def known_at(self, step: int) -> float:
        """Share of samples with synthetic motion at ``step``: none where nothing is aligned, all where only they help.

        Alignment alone learns from real footage, too, where a teacher says how that moves.
        """
        if step < self.skeleton:
            return 0.0
        if step < self.skeleton + self.align and not (self.teacher and self.teacher_flow):
            return 1.0
        return self.known

    def speed_at(self, step: int) -> float:
        """Maximum motion of a synthetic scene at ``step``: from a third to all of ``speed``."""
        return self.speed * self.strength_at(step)

    def strength_at(self, step: int) -> float:
        """Strength of the ``real`` degradation at ``step``: from a third to 1 over the ramp."""
        return min(1.0, (1 + 2 * step / max(1, self.ramp)) / 3)

    def differences(self, other: "Recipe") -> list[str]:
        """Names of the fields in which two recipes differ."""
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]
