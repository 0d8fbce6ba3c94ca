"""The training loop: stages, average weights, a watch against explosions, checkpoints, exact resumption.

One run is a folder (``state.pt``, ``log.csv``, ``chart.png``) and at its end a model file. The next step depends on
the last checkpoint and on nothing else, so a killed run resumes to the same weights.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from edvr_cli.errors import EdvrError, ModelError
from edvr_cli.image.metrics import psnr
from edvr_cli.models.checkpoint import save_model
from edvr_cli.network.edvr import EDVR
from edvr_cli.network.model import Model
from edvr_cli.train.alignment import aligns, prepare
from edvr_cli.train.checkpoint import STATE_FILE, Checkpoint, read_checkpoint, write_checkpoint
from edvr_cli.train.clips import Clip
from edvr_cli.train.divergence_guard import DivergenceGuard, StepStats
from edvr_cli.train.events import Event, Finished, Notice, OnEvent, Progress, RolledBack, Validated
from edvr_cli.train.init_passthrough import let_picture_through
from edvr_cli.train.objective import objective, to_float
from edvr_cli.train.optimizer import MixedOptimizer, make_optimizer
from edvr_cli.train.pace import Pace
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.revival import dead_channels, revive
from edvr_cli.train.run_log import RunLog
from edvr_cli.train.samples import Batch, Samples, batches
from edvr_cli.train.skeleton import carry_through
from edvr_cli.train.stages import Stage, learning_rate, rebuild, stages, trained, transfer_weights
from edvr_cli.train.teacher.guidance import Teacher, check_teacher

__all__ = ["train"]

_MAX_ROLLBACKS = 12
_MAX_LEFT_OUT, _OF_STEPS = 5, 100  # more rejected batches than these mean divergence
_MAX_DEAD = 0.25  # share of channels in residual blocks that may do nothing without a word
_VALIDATION_BATCHES = 4
_MAX_PSNR = 60.0  # dB, of frames that equal the truth or nearly so


def train(
    recipe: Recipe,
    clips: Sequence[Clip],
    target: Path,
    *,
    run: Path,
    held_out: Sequence[Clip] = (),
    start: EDVR | None = None,
    resume: bool = False,
    minutes: float | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
    teacher: Teacher | None = None,
    on_event: OnEvent | None = None,
) -> None:
    """Train a network as ``recipe`` says on ``clips`` and write it to ``target``, a ``.safetensors`` file.

    ``run`` is the folder of the run's state. ``start`` gives the first weights, of any network whose parameters fit
    in part; ``resume`` continues the run in the folder instead. ``minutes`` bounds this call: the run can be
    resumed, and ``target`` is written all the same. ``held_out`` clips are for validation only. ``teacher`` is the
    network that the recipe's ``teacher`` names. Raises ModelError where a run cannot be resumed with this recipe or
    the teacher cannot teach it, EdvrError where it explodes again and again.
    """
    check_teacher(teacher, recipe)
    run.mkdir(parents=True, exist_ok=True)
    if teacher is not None:
        teacher = teacher.to(device)
    trainer = _Trainer(recipe, Samples(clips, recipe), run, torch.device(device), teacher)
    revived = None
    if resume:
        trainer.load()
    elif trainer.state_file.exists():
        raise ModelError(f"{run} holds a run already: resume it, or give another folder")
    else:
        revived = trainer.begin(start)
    log = RunLog(run, first=trainer.step)
    validation = Samples(held_out, replace(recipe, known=0.0, seed=recipe.seed + 1)) if held_out else None
    began, first = time.monotonic(), trainer.step
    until = None if minutes is None else began + 60 * minutes

    def emit(event: Event) -> None:
        log.add(event)
        if on_event is not None:
            on_event(event)

    if revived is not None:
        emit(revived)
    out_of_time = False
    while trainer.step < recipe.steps and not out_of_time:
        for event in trainer.steps(workers):
            emit(event)
            if not isinstance(event, Progress):
                continue
            if validation and (event.step % recipe.validate_every == 0 or event.step == recipe.steps):
                emit(trainer.validate(validation))
                log.draw()
            if event.step % recipe.validate_every == 0 and (warning := trainer.dying()):
                emit(warning)
            out_of_time = until is not None and time.monotonic() >= until
            if out_of_time:
                trainer.settle()
                break
    teacher_file = Path(recipe.teacher or "none").name
    model = Model.of(trainer.average, padding=recipe.padding)
    save_model(model, target, name=target.stem, task=recipe.task, teacher=teacher_file)
    log.draw()
    pace = (trainer.step - first) * recipe.batch / (time.monotonic() - began)
    emit(Finished(target, trainer.step, complete=trainer.step >= recipe.steps, samples_per_second=pace))


class _Trainer:
    """A run in memory. ``step`` steps are done; ``stage`` is the one that the network and optimizer are of."""

    def __init__(
        self, recipe: Recipe, samples: Samples, run: Path, device: torch.device, teacher: Teacher | None
    ) -> None:
        self.recipe = recipe
        self.teacher = teacher
        self.samples = samples
        self.state_file = run / STATE_FILE
        self.device = device
        self.guard = DivergenceGuard(recipe.offset_alarm, recipe.spike)
        self.step = 0
        self.saved = 0  # step of the last checkpoint, whose weights the batch of that step approved
        self.rate_factor = 1.0
        self.rollbacks = 0

    def begin(self, start: EDVR | None) -> Notice | None:
        """First weights, first stage, first checkpoint; returns what there is to say of the weights."""
        stage = stages(self.recipe)[0]
        model = rebuild(self.recipe, stage)
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            if start is not None:
                transfer_weights(start, model)
            else:
                let_picture_through(model)
            if stage.name == "align":
                self._prepare(model)
        revived = self._revive(model, stage) if start is not None else None
        self._enter(stage, model)
        self.save()
        return revived

    def load(self) -> None:
        """Go back, or on, to the checkpoint. Raises ModelError where it is of another recipe."""
        state = read_checkpoint(self.state_file)
        if different := self.recipe.differences(state.recipe):
            raise ModelError(
                f"{self.state_file} is of a run with other settings ({', '.join(different)}): give it the same ones, "
                "or another folder"
            )
        stage = next(stage for stage in stages(self.recipe) if stage.name == state.stage)
        model = rebuild(self.recipe, stage)
        model.load_state_dict(state.model)
        self._enter(stage, model)
        self.average.load_state_dict(state.average)
        self.optimizer.load_state_dict(state.optimizer)
        self.step = self.saved = state.step
        self.averaged = state.averaged
        self.rate_factor, self.rollbacks = state.rate_factor, state.rollbacks
        self.guard.restore(state.usual)

    def settle(self) -> str | None:
        """Write the checkpoint if the weights stand the next batch; if they are wrecked, say what shows it.

        Where that batch alone is strange neither is done: it could not judge the weights of a resumed run.
        """
        objection = self._judged_by(self.step)
        if objection is None:
            self.save()
        return objection if objection is not None and self._wrecked() else None

    def save(self) -> None:
        """Write the checkpoint: to be called with weights that the guard has approved, or new ones."""
        write_checkpoint(
            Checkpoint(
                recipe=self.recipe,
                step=self.step,
                stage=self.stage.name,
                model=self.model.state_dict(),
                average=self.average.state_dict(),
                averaged=self.averaged,
                optimizer=self.optimizer.state_dict(),
                rate_factor=self.rate_factor,
                rollbacks=self.rollbacks,
                usual=self.guard.recall(),
            ),
            self.state_file,
        )
        self.saved = self.step

    def steps(self, workers: int) -> Iterator[Event]:
        """Train to the end of the present stage, or until an explosion has been undone."""
        stage = next(stage for stage in stages(self.recipe) if stage.last > self.step)
        if stage != self.stage:
            model = rebuild(self.recipe, stage)
            transfer_weights(self.average, model)
            if self.stage.name == "skeleton":
                self._add_alignment(model, stage)
            revived = self._revive(model, stage)
            self._enter(stage, model)
            self.save()
            yield Notice(f"stage {stage.name!r}: steps {stage.first} to {stage.last}")
            if revived:
                yield revived
        pace = Pace()
        left_out: list[int] = []  # steps
        asked = time.monotonic()
        for batch in batches(self.samples, self.step, stage.last, workers=workers, pin=self.device.type == "cuda"):
            got = time.monotonic()
            rate = self._set_rate()
            reading, objection = self._step(batch)
            if objection is not None:
                left_out = [step for step in left_out if step > self.step - _OF_STEPS] + [self.step]
                if len(left_out) > _MAX_LEFT_OUT or self._wrecked():
                    yield self._roll_back(objection)
                    return
                yield Notice(f"step {self.step} is left out: on its batch alone, {objection}")
            self.step += 1
            now = time.monotonic()
            pace.add(got - asked, now - got, self.recipe.batch)
            asked = now
            speed = pace.samples_per_second
            yield Progress(
                step=self.step,
                steps=self.recipe.steps,
                stage=stage.name,
                loss=reading.loss,
                learning_rate=rate,
                offset=reading.offset,
                samples_per_second=speed,
                waiting=pace.waiting_share,
                seconds_left=(self.recipe.steps - self.step) * self.recipe.batch / speed,
            )
            asked = time.monotonic()
        if (objection := self.settle()) is not None:
            yield self._roll_back(objection)

    @torch.no_grad()
    def validate(self, samples: Samples) -> Validated:
        """PSNR of the average weights on footage that is not trained on, and how much of it comes from time."""
        scores = []
        for n in range(_VALIDATION_BATCHES):
            batch = samples.batch(self.recipe.ramp + n, known=0.0).to(self.device)
            window, truth = to_float(batch.window), batch.truth
            copies = window[:, self.recipe.frames // 2, None].expand_as(window).contiguous()
            outputs = [(self.average(w) * 255).round().clamp(0, 255) for w in (window, copies)]
            scores.append(torch.stack([psnr(output, truth).clamp(max=_MAX_PSNR).mean() for output in outputs]))
        with_time, without = torch.stack(scores).mean(dim=0).tolist()
        return Validated(self.step, with_time, with_time - without)

    def dying(self) -> Notice | None:
        """A warning where many channels of residual blocks no longer do anything."""
        window = to_float(self.samples.batch(self.step).window).to(self.device)
        dead, channels = dead_channels(self.model, lambda: self.model(window))
        if dead <= _MAX_DEAD * channels:
            return None
        return Notice(
            f"{dead} of {channels} channels in residual blocks no longer do anything, and stay so in this run: begin "
            "another from this model, at a smaller learning rate"
        )

    def _prepare(self, model: EDVR) -> None:
        """Start the alignment of ``model`` from features of known motion, unless it aligns already."""
        if aligns(model):
            return
        prepare(model, to_float(self.samples.batch(self.recipe.skeleton, known=1.0).window))

    def _add_alignment(self, model: EDVR, stage: Stage) -> None:
        """Put an alignment around what the skeleton learned that changes nothing at first."""
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed * 1_000_003 + stage.first + 1)
            if stage.name == "align":
                self._prepare(model)
        frame = to_float(self.samples.batch(stage.first).window)[:, self.recipe.frames // 2]
        carry_through(model, frame)

    def _revive(self, model: EDVR, stage: Stage) -> Notice | None:
        """Give dead channels of residual blocks new weights, where ``stage`` trains them; says how many there were."""
        if stage.name == "align":
            return None
        window = to_float(self.samples.batch(stage.first).window)
        dead, channels = revive(model, lambda: model(window), torch.Generator().manual_seed(self.recipe.seed))
        said = f"{dead} of {channels} channels in residual blocks did nothing and got new weights"
        return Notice(said) if dead else None

    def _enter(self, stage: Stage, model: EDVR) -> None:
        self.stage = stage
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.averaged = 0
        self.parameters = trained(self.model, stage)
        self.optimizer: MixedOptimizer = make_optimizer(self.recipe, self.parameters)
        self.guard.restore([])

    def _set_rate(self) -> float:
        rate = learning_rate(self.recipe, self.stage, self.step) * self.rate_factor
        self.optimizer.set_rate(rate)
        return rate

    def _step(self, batch: Batch) -> tuple[StepStats, str | None]:
        """One update. Returns what it was judged by, and the objection, with which nothing is updated."""
        total, reading = self._forward(batch)
        objection = self.guard.reason_to_reject(reading)
        if objection is not None:
            return reading, objection
        if self.step % self.recipe.save_every == 0:
            # Only now: otherwise every rollback would return to weights that an update has wrecked.
            self.save()
        self.guard.add(reading)
        self.model.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_gradient)
        if not bool(norm.isfinite()):
            return reading, "the gradient is not finite"
        self.optimizer.step()
        self._add_to_average()
        return reading, None

    def _wrecked(self) -> bool:
        """Whether the weights fail at the batch, too, that the last checkpoint's passed: others may be strange."""
        return self._judged_by(self.saved) is not None

    @torch.no_grad()
    def _judged_by(self, step: int) -> str | None:
        """Why the present weights must be rejected, by the batch of ``step``, or None."""
        _, reading = self._forward(self.samples.batch(step))
        return self.guard.reason_to_reject(reading)

    def _forward(self, batch: Batch) -> tuple[Tensor, StepStats]:
        return objective(self.model, batch.to(self.device), self.recipe, self.stage, self.step, self.teacher)

    @torch.no_grad()
    def _add_to_average(self) -> None:
        # The first steps of a stage must not weigh on the average for thousands more.
        decay = min(self.recipe.ema, (1 + self.averaged) / (10 + self.averaged))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        self.averaged += 1

    def _roll_back(self, reason: str) -> RolledBack:
        """Return to the last good checkpoint with half the learning rate, and save that."""
        at, factor, rollbacks = self.step, self.rate_factor / 2, self.rollbacks + 1
        if rollbacks > _MAX_ROLLBACKS:
            raise EdvrError(
                f"training diverged {rollbacks} times, last at step {at}: {reason}; start again with a smaller "
                "learning rate or less motion"
            )
        self.load()
        self.rate_factor, self.rollbacks = factor, rollbacks
        self.save()
        return RolledBack(at, self.step, reason, factor)
