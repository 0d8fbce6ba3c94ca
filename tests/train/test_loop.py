"""A run from its first step to its model file: stages, resumption, explosions, the log."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edvr_cli.errors import EdvrError, ModelError
from edvr_cli.models.checkpoint import load_model, read_state_dict
from edvr_cli.network.edvr import EDVR
from edvr_cli.train import loop, objective
from edvr_cli.train.checkpoint import STATE_FILE, read_checkpoint
from edvr_cli.train.divergence_guard import DivergenceGuard, StepStats
from edvr_cli.train.events import Event, Finished, Notice, Progress, RolledBack, Validated
from edvr_cli.train.loop import train
from edvr_cli.train.recipe import Recipe
from edvr_cli.train.samples import Batch, Samples
from edvr_cli.train.stages import Stage, learning_rate, stages, supervision_weight, trained, transfer_weights
from tests.support.networks import random_network
from tests.train.test_samples import TINY, footage
from tests.train.test_teacher import random_teacher

SHORT = replace(TINY, steps=12, align=2, fusion=2, batch=2, save_every=4, validate_every=6, precision="fp32")


def run(folder: Path, recipe: Recipe = SHORT, **options: object) -> list[Event]:
    events: list[Event] = []
    options = {"on_event": events.append, "held_out": footage(), **options}
    train(recipe, footage(), folder / "model.safetensors", run=folder / "run", **options)
    return events


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "run" / STATE_FILE).average


def test_a_run_goes_through_its_stages_and_writes_a_model_that_loads(tmp_path):
    """Alignment, the plain network, the attention alone, all of it; then a file for edvr upscale."""
    events = run(tmp_path)
    names = [event.stage for event in events if isinstance(event, Progress)]
    assert names == ["align"] * 2 + ["plain"] * 6 + ["fusion"] * 2 + ["all"] * 2
    assert [event.step for event in events if isinstance(event, Validated)] == [6, 12]
    assert events[-1] == Finished(tmp_path / "model.safetensors", 12, complete=True)
    model = load_model(tmp_path / "model.safetensors")
    assert model.config == SHORT.config(tsa=True)
    assert model.network(torch.rand(1, 5, 3, 16, 16)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    "changes", [{"tsa": False}, {"cascade": False}, {"levels": 1}, {"tsa": False, "cascade": False, "levels": 1}]
)
def test_the_papers_ablations_train_and_load(tmp_path, changes):
    """As configurations of one network, which the loader infers from the file."""
    recipe = replace(SHORT, steps=4, align=1, fusion=1, **changes)
    run(tmp_path, recipe)
    assert load_model(tmp_path / "model.safetensors").config == recipe.config(tsa=recipe.tsa)


def test_deblurring_trains(tmp_path):
    """Full-size input, pre-deblurring inside, and frames that move at the ends of a shot."""
    recipe = replace(SHORT, task="deblur", steps=4, align=1, fusion=1, exposure=3, relative=True)
    run(tmp_path, recipe)
    model = load_model(tmp_path / "model.safetensors")
    assert model.config.hr_in
    assert model.padding == "reflection"


def test_equal_recipes_give_equal_weights(tmp_path):
    """Of a network that frames are let through, too, whatever was drawn before."""
    size = replace(SHORT.size, features=24, tail=16)
    recipe = replace(SHORT, task="deblur", size=size, steps=2, align=1, fusion=0, exposure=3)
    for name in ("first", "second"):
        run(tmp_path / name, recipe)
        torch.rand(1)
    first, second = (weights(tmp_path / name) for name in ("first", "second"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_validation_bounds_what_is_restored_perfectly(tmp_path, monkeypatch):
    """A sharp sample of a deblurring run has no error: its infinite PSNR must not hide the others'."""
    monkeypatch.setattr(loop, "psnr", lambda output, truth: torch.tensor([torch.inf, 30.0]))
    (validated,) = [event for event in run(tmp_path, replace(SHORT, steps=1)) if isinstance(event, Validated)]
    assert validated == Validated(step=1, psnr=45.0, gain=0.0)


def test_a_slight_blur_teaches_as_much_as_a_strong_one():
    """Where losses count by their share, halving a small one is worth nearly what halving a large one is."""
    nothing = torch.tensor([0.08, 0.04])
    losses = nothing.clone().requires_grad_()
    objective.relative_loss(losses, nothing).backward()
    worth = losses.grad * nothing / 2
    assert worth[1] / worth[0] == pytest.approx(1, abs=0.05)


def test_a_shortened_recipe_keeps_the_shares_of_its_stages():
    """Alignment, TSA alone and the ramp shrink with the rest."""
    recipe = Recipe(steps=1000, align=200, fusion=40, ramp=100).shortened(500)
    assert (recipe.steps, recipe.align, recipe.fusion, recipe.ramp) == (500, 100, 20, 50)
    assert [stage.last for stage in stages(recipe)] == [100, 340, 360, 500]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


@pytest.mark.parametrize("killed_at", [1, 5, 9, 11])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path, whole, killed_at):
    """Bit for bit, wherever it was killed: the last checkpoint decides all that follows."""

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and event.step == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, on_event=kill)
    events = run(tmp_path, resume=True)
    assert next(e for e in events if isinstance(e, Progress)).step <= killed_at + 1
    expected, resumed = weights(whole), weights(tmp_path)
    assert all(torch.equal(expected[key], resumed[key]) for key in expected)
    optimizers = [read_checkpoint(folder / "run" / STATE_FILE).optimizer for folder in (whole, tmp_path)]
    for a, b in zip(*(o["adam"]["state"].values() for o in optimizers), strict=True):
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_checkpoint_is_whole_or_the_one_before(tmp_path, monkeypatch):
    """A kill in the middle of writing leaves the last state readable."""
    run(tmp_path)
    before = (tmp_path / "run" / STATE_FILE).read_bytes()

    def half(content: object, file: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        loop.write_checkpoint(read_checkpoint(tmp_path / "run" / STATE_FILE), tmp_path / "run" / STATE_FILE)
    assert (tmp_path / "run" / STATE_FILE).read_bytes() == before


def wrecking(monkeypatch: pytest.MonkeyPatch, wrecked_at: int) -> None:
    """Make the first update of step ``wrecked_at`` monstrous."""
    exploded = []

    def once(recipe: Recipe, stage: Stage, step: int) -> float:
        if step == wrecked_at and not exploded:
            exploded.append(step)
            return 1e6
        return learning_rate(recipe, stage, step)

    monkeypatch.setattr(loop, "learning_rate", once)


@pytest.mark.parametrize(("wrecked_at", "back_to"), [(6, 4), (3, 2), (7, 4), (11, 10)])
def test_an_explosion_is_undone_with_a_smaller_learning_rate(tmp_path, monkeypatch, wrecked_at, back_to):
    """One step with a monstrous rate wrecks the weights; the run goes back, slows down, and ends sound.

    The fourth step's weights are those of a checkpoint, the eighth's and twelfth's end a stage: where they are the
    wrecked ones, the run goes back behind them.
    """
    wrecking(monkeypatch, wrecked_at)
    events = run(tmp_path)
    (rolled_back,) = [event for event in events if isinstance(event, RolledBack)]
    assert (rolled_back.step, rolled_back.to, rolled_back.rate_factor) == (wrecked_at + 1, back_to, 0.5)
    assert all(torch.isfinite(value).all() for value in weights(tmp_path).values())
    after = [event for event in events[events.index(rolled_back) :] if isinstance(event, Progress)]
    assert [event.step for event in after] == list(range(back_to + 1, 13))
    assert max(event.loss for event in after) < 1
    stage = next(stage for stage in stages(SHORT) if stage.last > back_to)
    assert after[0].learning_rate == pytest.approx(learning_rate(SHORT, stage, back_to) / 2)


def test_a_strange_batch_is_left_out_and_does_not_slow_the_run_down(tmp_path, monkeypatch):
    """Weights that fail at one batch alone are not wrecked: going back would meet that batch for ever."""
    judge = DivergenceGuard.reason_to_reject
    strange = Samples(footage(), SHORT).batch(6)
    forward = loop._Trainer._forward
    judged: list[bool] = []

    def seen(trainer: object, batch: Batch) -> object:
        judged.append(torch.equal(batch.window, strange.window))
        return forward(trainer, batch)

    monkeypatch.setattr(loop._Trainer, "_forward", seen)
    monkeypatch.setattr(
        DivergenceGuard, "reason_to_reject", lambda guard, r: "it is strange" if judged[-1] else judge(guard, r)
    )
    events = run(tmp_path)
    (notice,) = [event.message for event in events if isinstance(event, Notice) and "left out" in event.message]
    assert notice == "step 6 is left out: on its batch alone, it is strange"
    assert not [event for event in events if isinstance(event, RolledBack)]
    assert [event.step for event in events if isinstance(event, Progress)] == list(range(1, 13))
    assert read_checkpoint(tmp_path / "run" / STATE_FILE).rate_factor == 1


def test_many_strange_batches_are_an_explosion(tmp_path, monkeypatch):
    """Whatever the checkpoint's batch says: a run must not skip its way to the end."""
    monkeypatch.setattr(loop._Trainer, "_wrecked", lambda trainer: False)
    with pytest.raises(EdvrError, match="smaller learning"):
        run(tmp_path, replace(SHORT, align=0, tsa=False, learning_rate=1e12))


def test_a_run_out_of_time_does_not_keep_wrecked_weights(tmp_path, monkeypatch):
    """The state on disk stays that of the last weights that stood a batch."""
    wrecking(monkeypatch, 0)
    assert not run(tmp_path, replace(SHORT, align=0), minutes=1e-9)[-1].complete
    assert read_checkpoint(tmp_path / "run" / STATE_FILE).step == 0


def test_a_run_killed_after_an_explosion_stays_slowed_down(tmp_path, monkeypatch):
    """The smaller rate is part of the checkpoint."""
    rate = learning_rate
    monkeypatch.setattr(loop, "learning_rate", lambda r, stage, step: 1e6 if step == 6 else rate(r, stage, step))

    def kill(event: Event) -> None:
        if isinstance(event, RolledBack):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, on_event=kill)
    assert read_checkpoint(tmp_path / "run" / STATE_FILE).rate_factor == 0.5


def test_a_run_that_explodes_again_and_again_gives_up_with_advice(tmp_path):
    """No endless loop."""
    with pytest.raises(EdvrError, match="smaller learning"):
        run(tmp_path, replace(SHORT, learning_rate=1e12))


def stands(guard: DivergenceGuard, loss: float, offset: float, doing_nothing: float = 1.0) -> bool:
    """Whether the guard lets a reading stand, which then is usual."""
    reading = StepStats(loss, offset, doing_nothing)
    if guard.reason_to_reject(reading) is not None:
        return False
    guard.add(reading)
    return True


def objection(guard: DivergenceGuard, loss: float, offset: float, doing_nothing: float = 1.0) -> str:
    return guard.reason_to_reject(StepStats(loss, offset, doing_nothing)) or ""


def test_the_guard_objects_to_nan_to_far_offsets_and_to_spikes():
    """And to nothing else."""
    guard = DivergenceGuard(offset_alarm=50, spike=4)
    assert "finite" in objection(guard, float("nan"), 1)
    assert "finite" in objection(guard, 0.1, float("inf"))
    assert "51.0 pixels" in objection(guard, 0.1, 51)
    assert all(stands(guard, loss, 1) for loss in [9.0] + [0.1] * 20)
    assert "5.0 times" in objection(guard, 0.5, 1)
    assert stands(guard, 0.3, 1)
    guard.restore([])
    assert stands(guard, 0.5, 1)


def test_offsets_far_above_the_usual_are_an_explosion_long_before_the_alarm():
    """Growing with the motion is none."""
    guard = DivergenceGuard(offset_alarm=50, spike=4)
    assert all(stands(guard, 0.1, 0.3) for _ in range(100))
    assert stands(guard, 0.1, 4.9)
    assert "14.0 pixels (alarm at 5)" in objection(guard, 0.1, 14)
    assert all(stands(guard, 0.1, 0.3 + 0.02 * n) for n in range(500))
    assert stands(guard, 0.1, 14)


def test_a_hard_batch_is_not_an_explosion():
    """The guard weighs a loss by what doing nothing would lose on the same batch."""
    guard = DivergenceGuard(offset_alarm=50, spike=4)
    assert all(stands(guard, 0.1, 1, 0.2) for _ in range(20))
    assert stands(guard, 1.0, 1, 2.0)
    assert "10.0 times" in objection(guard, 1.0, 1, 0.2)


def test_a_time_budget_stops_a_run_that_can_go_on(tmp_path, whole):
    """The model is written all the same, and the resumed run ends as if it had never stopped."""
    events = run(tmp_path, minutes=1e-9)
    assert events[-1] == Finished(tmp_path / "model.safetensors", 1, complete=False)
    assert run(tmp_path, resume=True)[-1].complete
    stopped, expected = weights(tmp_path), weights(whole)
    assert all(torch.equal(stopped[key], expected[key]) for key in expected)


def test_a_folder_with_another_run_is_not_overwritten_nor_resumed(tmp_path):
    """Each of the mistakes has its sentence."""
    with pytest.raises(ModelError, match="no run to resume"):
        run(tmp_path, resume=True)
    run(tmp_path, replace(SHORT, steps=2))
    with pytest.raises(ModelError, match="holds a run already"):
        run(tmp_path)
    with pytest.raises(ModelError, match="steps"):
        run(tmp_path, resume=True)
    (tmp_path / "run" / STATE_FILE).write_bytes(b"junk")
    with pytest.raises(ModelError, match="not a readable training state"):
        run(tmp_path, resume=True)


def test_the_log_has_a_row_every_ten_steps_and_none_twice(tmp_path):
    """Rows of steps that a kill undid are dropped; the chart is a picture."""

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, on_event=kill)
    run(tmp_path, resume=True)
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [(row["step"], bool(row["psnr"])) for row in rows]
    assert found == [("6", True), ("10", False), ("12", False), ("12", True)]
    assert (tmp_path / "run" / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_training_starts_from_the_weights_it_is_given(tmp_path):
    """Stages tell which were kept: with no alignment stage all that fit are."""
    start = random_network(features=8, groups=8, tail=8, tsa=False)
    recipe = replace(SHORT, align=0, tsa=False, steps=1, learning_rate=0.0)
    events = run(tmp_path, recipe, start=start)
    assert not [event for event in events if isinstance(event, Notice)]
    assert all(torch.equal(value, start.state_dict()[key]) for key, value in weights(tmp_path).items())


def test_an_alignment_stage_keeps_what_a_start_has_learned(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Only its offset branches and coarse levels are trained, from where they are; attention is not dropped."""
    monkeypatch.setattr(loop, "revive", lambda *_: (0, 0))  # of channels that do nothing on these few pixels
    start = random_network(features=8, groups=8, tail=8)
    recipe = replace(SHORT, steps=2, align=1, attention=1.0, fusion=0, learning_rate=0.0, align_rate=1e-4, ema=0.0)
    run(tmp_path, recipe, start=start)
    found, trained_keys = weights(tmp_path), ("conv_l2", "conv_l3", "pcd_align.offset_conv", "pcd_align.dcn_pack")
    for key, value in start.state_dict().items():
        assert torch.allclose(found[key], value, atol=1e-3), key
        assert key.startswith(trained_keys) or torch.equal(found[key], value), key


def test_the_network_that_grows_attention_starts_where_the_plain_one_ended():
    """Up to the activation that follows the fusion: equal where all fused features are positive."""
    plain = random_network(tsa=False)
    plain.fusion.weight.abs_()
    plain.fusion.bias.add_(100)
    target = EDVR(random_network().config)
    transfer_weights(plain, target)
    for parameter in target.fusion.temporal_attn1.parameters():
        parameter.data.zero_()
    window = torch.rand(1, 5, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(target(window), plain(window), atol=1e-3)


def test_stages_cover_the_run_and_freeze_what_they_do_not_train():
    """None is empty, none overlaps, and attention alone leaves the rest alone."""
    found = stages(replace(SHORT, steps=100, align=20, attention=0.5, fusion=10))
    assert [(stage.name, stage.first, stage.last) for stage in found] == [
        ("align", 0, 20), ("plain", 20, 60), ("fusion", 60, 70), ("all", 70, 100),
    ]  # fmt: skip
    assert [stage.name for stage in stages(replace(SHORT, tsa=False, align=0))] == ["plain"]
    with_skeleton = stages(replace(SHORT, steps=100, skeleton=30, align=20, attention=0.5, fusion=0))
    assert [(stage.name, stage.first, stage.last) for stage in with_skeleton] == [
        ("skeleton", 0, 30), ("align", 30, 50), ("plain", 50, 75), ("all", 75, 100),
    ]  # fmt: skip
    model = random_network()
    trained(model, found[2])
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"fusion"}


def test_known_motion_is_shown_where_it_can_be_learned():
    """Not to a skeleton; to the alignment alone only that, unless a teacher knows how real footage moves."""
    recipe = replace(SHORT, skeleton=3, align=4, known=0.25)
    assert [recipe.known_at(step) for step in (0, 2, 3, 6, 7, 11)] == [0, 0, 1, 1, 0.25, 0.25]
    assert replace(recipe, teacher="teacher.pth").known_at(3) == 0.25
    assert replace(recipe, teacher="teacher.pth", teacher_flow=False).known_at(3) == 1


def test_offsets_are_supervised_in_the_first_stage_that_restores_windows():
    """Less and less, and not in later stages."""
    recipe = replace(SHORT, steps=20, align=0, attention=0.5, fusion=0, supervision=2.0)
    plain, everything = stages(recipe)
    assert [supervision_weight(recipe, plain, step) for step in (0, 5)] == [2.0, 1.0]
    assert supervision_weight(recipe, everything, 10) == 0
    recipe = replace(recipe, attention=1.0)
    assert supervision_weight(recipe, *stages(recipe), 10) == 1.0


def test_a_run_with_a_skeleton_and_a_teacher_resumes_to_the_same_weights(tmp_path):
    """Through all stages, with everything that a teacher offers; without the teacher it does not go on."""
    teacher = random_teacher(blocks=1)
    recipe = replace(
        SHORT, steps=10, skeleton=3, align=2, fusion=1, teacher="teacher.pth", teacher_frame=0.5, teacher_features=0.01
    )
    events = run(tmp_path / "whole", recipe, teacher=teacher)
    names = [event.stage for event in events if isinstance(event, Progress)]
    assert names == ["skeleton"] * 3 + ["align"] * 2 + ["plain"] * 3 + ["fusion"] + ["all"]
    assert events[-1].samples_per_second > 0

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", recipe, teacher=teacher, on_event=kill)
    with pytest.raises(ModelError, match="which is not given"):
        run(tmp_path / "killed", recipe, resume=True)
    run(tmp_path / "killed", recipe, teacher=teacher, resume=True)
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    _, metadata = read_state_dict(tmp_path / "killed" / "model.safetensors")
    assert metadata["teacher"] == "teacher.pth"  # for the model's card


def test_what_a_skeleton_learned_arrives_in_the_next_stage(tmp_path):
    """The features' weights are those that the skeleton stage ended with; offsets are still zero."""
    recipe = replace(SHORT, steps=3, skeleton=2, align=0, tsa=False, learning_rate=0.0, ema=0.0)
    states: list[dict[str, torch.Tensor]] = []

    def keep(event: Event) -> None:
        if isinstance(event, Notice):
            states.append(weights(tmp_path))

    run(tmp_path, recipe, on_event=keep)
    (begun,) = states
    ended = weights(tmp_path)
    assert all(torch.equal(begun[key], ended[key]) for key in begun)
    fusion = begun["fusion.weight"][:, :, 0, 0].unflatten(1, (5, -1))
    assert torch.allclose(fusion[:, 2], 0.8 * torch.eye(8))


def test_the_learning_rate_warms_up_and_restarts():
    """From nearly nothing to full, down a cosine, and up again at each restart."""
    recipe = replace(SHORT, steps=1000, align=0, tsa=False, restarts=2, warm_up=10)
    (stage,) = stages(recipe)
    rates = [learning_rate(recipe, stage, step) for step in range(1000)]
    assert rates[0] == pytest.approx(recipe.learning_rate / 10, rel=0.01)
    assert max(rates) == pytest.approx(recipe.learning_rate, rel=0.01)
    assert rates[499] < 0.03 * recipe.learning_rate < rates[500]
    assert rates[999] < 0.03 * recipe.learning_rate


def test_blocks_that_died_get_new_weights(tmp_path):
    """A ReLU that is never positive gets no gradient: such a run goes on for hours, and its loss still falls."""
    start = random_network(features=8, groups=8, tail=8)
    start.feature_extraction[0].conv1.bias.data.fill_(-100)
    recipe = replace(SHORT, steps=2, align=0, attention=1.0, fusion=0, learning_rate=1e-4, validate_every=1)
    events = run(tmp_path, recipe, start=start)
    assert float(weights(tmp_path)["feature_extraction.0.conv1.bias"].min()) > -10
    assert any("did nothing and got new weights" in event.message for event in events if isinstance(event, Notice))
    assert not any("no longer do anything" in event.message for event in events if isinstance(event, Notice))


def test_blocks_that_die_are_reported(tmp_path, monkeypatch: pytest.MonkeyPatch):
    start = random_network(features=8, groups=8, tail=8)
    start.feature_extraction[0].conv1.bias.data.fill_(-100)
    monkeypatch.setattr(loop, "revive", lambda *_: (0, 0))
    recipe = replace(SHORT, steps=1, align=0, attention=1.0, fusion=0, validate_every=1)
    warnings = [event.message for event in run(tmp_path, recipe, start=start) if isinstance(event, Notice)]
    assert any(re.search(r"\d+ of \d+ channels in residual blocks no longer do anything", text) for text in warnings)
