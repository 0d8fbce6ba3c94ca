"""What a run begins with, and the schedule that suits it."""

from dataclasses import replace

import pytest
import torch

from edvr_cli.errors import ModelError
from edvr_cli.train.recipe import PRESETS, NetworkSize, Recipe
from edvr_cli.train.teacher.first_weights import choose_init, first_weights, recipe_after
from tests.support.networks import random_network
from tests.train.test_samples import TINY, footage
from tests.train.test_teacher import random_teacher

DEEP = replace(TINY, size=NetworkSize(16, 2, 2, 8))
SMALL = {"features": 8, "groups": 8, "tail": 8}
TEACHER = random_teacher()


@pytest.mark.parametrize(
    ("start", "teacher", "init"),
    [
        (None, None, "random"),
        (SMALL, None, "widen"),
        (SMALL, TEACHER, "assemble"),
        (None, TEACHER, "transplant"),
        (None, random_network(), "random"),
        ({**SMALL, "tail": 16}, None, "start"),
        ({"groups": 8, "extraction_blocks": 2, "reconstruction_blocks": 2}, TEACHER, "start"),
        ({**SMALL, "tsa": False}, random_teacher(features=24), "start"),
    ],
)
def test_the_most_is_made_of_a_start_and_a_teacher(start, teacher, init):
    """A network of the same size is continued, a smaller one grows, and a teacher adds what it can."""
    assert choose_init(DEEP, None if start is None else random_network(**start), teacher) == init


def test_a_network_that_aligns_is_not_aligned_again():
    """Nor learns attention from nothing; what the user chose stays."""
    start = random_network(**SMALL)
    for init in ("widen", "assemble"):
        recipe = recipe_after(init, DEEP, start, frozenset({"fusion"}))
        assert (recipe.align, recipe.attention, recipe.fusion) == (0, 1.0, DEEP.fusion)
    assert recipe.learning_rate < recipe_after("widen", DEEP, start, frozenset()).learning_rate
    same = replace(DEEP, size=NetworkSize(8, 1, 1, 8))
    assert recipe_after("start", same, start, frozenset()).align == 0
    for init, recipe in (("start", DEEP), ("random", DEEP), ("transplant", DEEP)):
        assert recipe_after(init, recipe, start, frozenset()) == recipe


@pytest.mark.parametrize("init", ["start", "widen", "transplant", "assemble"])
def test_each_way_gives_a_network_that_restores(init):
    """Of the recipe's size, apart from a start; each says what it did, and the seed decides the rest."""
    start, said = random_network(**SMALL), []
    made = [first_weights(init, DEEP, footage(), start, TEACHER, said.append) for _ in range(2)]
    window = torch.rand(1, 5, 3, 16, 16)
    assert torch.equal(*(model(window) for model in made))
    if init == "start":
        assert made[0] is start
    else:
        assert made[0].config == DEEP.config(tsa=True)
        assert said
    if init == "widen":
        assert torch.allclose(made[0](window), start(window), atol=1e-5)


def test_a_teacher_of_the_networks_kind_gives_what_fits():
    """All of it, for an EDVR of the same size."""
    teacher = random_network(groups=8, extraction_blocks=2, reconstruction_blocks=2)
    window = torch.rand(1, 5, 3, 16, 16)
    model = first_weights("transplant", DEEP, footage(), None, teacher, lambda _: None)
    assert torch.equal(model(window), teacher(window))


def test_what_is_missing_is_named():
    """A start or a teacher, or one of the right kind."""
    start, teacher = random_network(**SMALL), random_network()
    for init, given, reason in (
        ("start", (None, None), "no model to start from"),
        ("widen", (None, TEACHER), "no model to start from"),
        ("transplant", (start, None), "none is given"),
        ("assemble", (start, teacher), "BasicVSR checkpoint as the teacher"),
        ("assemble", (start, None), "BasicVSR checkpoint as the teacher"),
    ):
        with pytest.raises(ModelError, match=reason):
            first_weights(init, DEEP, footage(), *given, lambda _: None)
    assert first_weights("random", DEEP, footage(), None, None, lambda _: None) is None


def test_the_presets_hold_a_teacher_and_the_papers_sizes():
    """``m`` is as deep as BasicVSR's trunks; a skeleton must be followed by steps that know how to take it over."""
    assert PRESETS["m"] == NetworkSize(64, 30, 30, 64)
    assert PRESETS["m-published"] == NetworkSize(64, 5, 10, 64)
    with pytest.raises(ValueError, match="attention below 1"):
        Recipe(skeleton=10, attention=1.0)
