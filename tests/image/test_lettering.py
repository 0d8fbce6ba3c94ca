"""Labels in pictures: readable where there is room, and harmless where there is none."""

import torch

from edvr_cli.image.lettering import dot_for, label_above, label_in_corner, lettering


def test_letters_have_the_shapes_that_one_knows():
    """An L, in the two cases; another sign is a box."""
    rows = ["".join("#" if dot else "." for dot in row) for row in lettering("l").tolist()]
    assert rows == ["#....", "#....", "#....", "#....", "#....", "#....", "#####"]
    assert lettering("L").equal(lettering("l"))
    assert lettering("é")[0].all()


def test_dots_grow_with_the_picture_and_fit_its_width():
    """None is ever smaller than a pixel."""
    assert dot_for(1080, 1920, "bicubic") == 5
    assert dot_for(96, 128, "bicubic") == 2
    assert dot_for(1080, 100, "bicubic") == 2
    assert dot_for(8, 8, "bicubic") == 1


def test_a_strip_above_leaves_the_picture_alone():
    """Centered."""
    picture = torch.full((3, 20, 60), 7, dtype=torch.uint8)
    labelled = label_above(picture, "no", 1)
    assert labelled.shape == (3, 13 + 20, 60)
    assert labelled[:, 13:].equal(picture)
    assert labelled[0, 3:10, 24:35].eq(0).equal(lettering("no"))


def test_pictures_smaller_than_a_label_hold_what_there_is_room_for():
    """Of any size."""
    for height, width in ((1, 1), (3, 8), (20, 5), (8, 30)):
        picture = torch.zeros(3, height, width, dtype=torch.uint8)
        assert label_above(picture, "bicubic", 1).shape == (3, height + 13, width)
        for right in (False, True):
            assert label_in_corner(picture, "bicubic", 2, right=right).shape == picture.shape
