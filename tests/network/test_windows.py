"""Windows: which frames the network sees around each frame."""

import pytest

from edvr_cli.network.windows import PADDINGS, window_indices, windows

FIRST = {
    "replicate": [(0, 0, 0, 1, 2), (0, 0, 1, 2, 3)],
    "reflection": [(2, 1, 0, 1, 2), (1, 0, 1, 2, 3)],
    "reflection_circle": [(4, 3, 0, 1, 2), (4, 0, 1, 2, 3)],
    "circle": [(3, 4, 0, 1, 2), (4, 0, 1, 2, 3)],
}
LAST = {  # of ten frames
    "replicate": [(6, 7, 8, 9, 9), (7, 8, 9, 9, 9)],
    "reflection": [(6, 7, 8, 9, 8), (7, 8, 9, 8, 7)],
    "reflection_circle": [(6, 7, 8, 9, 5), (7, 8, 9, 6, 5)],
    "circle": [(6, 7, 8, 9, 5), (7, 8, 9, 5, 6)],
}


@pytest.mark.parametrize("padding", PADDINGS)
def test_ends_of_a_clip_are_padded_as_published(padding):
    """The first two and last two windows of five of ten frames."""
    assert [window_indices(i, 10, 5, padding) for i in (0, 1)] == FIRST[padding]
    assert [window_indices(i, 10, 5, padding) for i in (8, 9)] == LAST[padding]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [1, 5, 7])
def test_inner_windows_are_the_frames_around(padding, size):
    """No padding away from the ends."""
    radius = size // 2
    assert window_indices(10, 30, size, padding) == tuple(range(10 - radius, 11 + radius))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_a_clip_shorter_than_the_window_is_replicated(padding, length):
    """It has too few frames to borrow from."""
    for i in range(length):
        expected = tuple(min(max(n, 0), length - 1) for n in range(i - 2, i + 3))
        assert window_indices(i, length, 5, padding) == expected


@pytest.mark.parametrize("arguments", [(-1, 5, 5, "circle"), (5, 5, 5, "circle"), (0, 5, 4, "circle"), (0, 5, 5, "no")])
def test_impossible_windows_raise(arguments):
    """Outside the clip, an even size, an unknown padding."""
    with pytest.raises(ValueError, match="no window"):
        window_indices(*arguments)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("shots", [[1], [4], [5], [12], [3, 1, 9], [5, 5, 6], [20, 2]])
def test_a_stream_of_shots_gives_each_shot_the_windows_of_its_own_clip(padding, size, shots):
    """In order, one per frame, frames matching indices, and nothing from another shot."""
    stream, expected, first = [], [], 0
    for length in shots:
        stream += [(f"frame {first + i}", i == 0) for i in range(length)]
        expected += [tuple(first + n for n in window_indices(i, length, size, padding)) for i in range(length)]
        first += length
    found = list(windows(stream, size, padding))
    assert [window.indices for window in found] == expected
    for number, window in enumerate(found):
        assert window.frames == tuple(f"frame {n}" for n in window.indices)
        assert window.reference == f"frame {number}"


def test_windows_come_as_soon_as_they_can_and_hold_few_frames():
    """Memory is that of two windows, however long the shot."""
    taken = 0

    def stream():
        nonlocal taken
        for i in range(100):
            taken += 1
            yield i, i == 0

    for number, window in enumerate(windows(stream(), 5, "reflection_circle")):
        assert taken == min(100, max(5, number + 3))
        assert max(window.indices) - min(window.indices) < 5


def test_the_first_frame_need_not_say_that_it_starts_a_shot():
    """A stream without cuts is one shot."""
    assert [w.indices for w in windows([(i, False) for i in range(3)], 3, "replicate")] == [
        (0, 0, 1),
        (0, 1, 2),
        (1, 2, 2),
    ]
