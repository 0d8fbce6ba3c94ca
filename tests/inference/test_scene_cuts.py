"""Scene cuts: found where they are, not where a shot merely moves."""

import torch

from edvr_cli.inference.scene_cuts import CutDetector


def texture(seed):
    """A soft random picture twice as wide as a frame, of a brightness of its own."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 1, 9, 32, generator=generator)
    picture = torch.nn.functional.interpolate(small, (90, 320), mode="bicubic")[0, 0].clamp(0, 1)
    return picture * 0.8 + 0.1 * seed % 0.2


def cuts(frames):
    """The numbers of the frames that start a shot."""
    detector = CutDetector()
    return [i for i, frame in enumerate(frames) if detector.starts_shot(frame)]


def test_a_cut_between_two_moving_shots_is_found_at_its_frame():
    """And at no other."""
    first = [texture(1)[:, 2 * i : 160 + 2 * i] for i in range(20)]
    second = [texture(2)[:, 3 * i : 160 + 3 * i] for i in range(20)]
    assert cuts(first + second) == [20]


def test_fast_motion_a_fade_and_noise_are_no_cuts():
    """Steady change belongs to a shot."""
    picture = texture(3)
    assert cuts([picture[:, 4 * i : 160 + 4 * i] for i in range(20)]) == []
    assert cuts([picture[:, :160] * (1 - i / 20) for i in range(20)]) == []
    generator = torch.Generator().manual_seed(0)
    noisy = [(picture[:, :160] + 0.1 * torch.randn(90, 160, generator=generator)).clamp(0, 1) for _ in range(20)]
    assert cuts(noisy) == []


def test_shots_of_three_frames_are_all_found():
    """A slide show."""
    slides = [texture(i)[:, :160] for i in range(6) for _ in range(3)]
    assert cuts(slides) == [3, 6, 9, 12, 15]


def test_steady_motion_beyond_any_measure_is_not_a_cut_at_every_frame():
    """At most its first step is taken for one."""
    picture = texture(3)
    assert cuts([picture[:, 12 * i : 160 + 12 * i] for i in range(14)]) in ([], [1])


def test_two_clips_in_a_row_in_any_size():
    """Odd and tiny frames too."""
    for size in ((1, 1), (5, 3), (121, 161)):
        assert cuts([torch.zeros(size)] * 3 + [torch.ones(size)] * 3) == [3]
