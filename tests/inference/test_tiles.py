"""Tiles: cores that cover a frame once, regions that hold their halo."""

import pytest
import torch

from edvr_cli.inference.tiles import tiles


@pytest.mark.parametrize(("height", "width"), [(4, 4), (180, 320), (184, 324), (64, 1000)])
@pytest.mark.parametrize("size", [0, 4, 30, 64, 1000])
@pytest.mark.parametrize("halo", [0, 5, 16])
def test_cores_cover_every_pixel_once_and_regions_hold_the_halo(height, width, size, halo):
    """Boundaries are multiples, no core is larger than asked, and a frame is put together again."""
    frame = torch.rand(height, width)
    output, seen = torch.zeros(height * 2, width * 2), torch.zeros(height, width)
    enlarged = frame.repeat_interleave(2, 0).repeat_interleave(2, 1)
    for tile in tiles(height, width, size, halo, 4):
        rows, columns = tile.region()
        assert not any(edge % 4 for edge in (rows.start, rows.stop, columns.start, columns.stop))
        core_y, core_x = tile.core()
        seen[core_y, core_x] += 1
        if size:
            assert max(core_y.stop - core_y.start, core_x.stop - core_x.start) <= max(4, -(-size // 4) * 4)
        assert rows.start <= max(0, core_y.start - halo)
        assert rows.stop >= min(height, core_y.stop + halo)
        region = enlarged[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
        output[tile.core(2)] = region[tile.core_in_region(2)]
    assert (seen == 1).all()
    assert (output == enlarged).all()


def test_tiles_are_about_equal_rather_than_full_and_a_sliver():
    """100 at most 64 is two of 48 and 52, not 64 and 36."""
    assert [len(tile.core_x) for tile in tiles(4, 100, 64, 0, 4)] == [48, 52]


def test_size_zero_is_one_tile_of_everything():
    """And so is a size beyond the frame."""
    for size in (0, 500):
        (tile,) = tiles(180, 320, size, 16, 4)
        assert tile.region() == tile.core() == (slice(0, 180), slice(0, 320))


def test_a_frame_that_is_no_multiple_raises():
    """The engine pads before it cuts."""
    with pytest.raises(ValueError, match="multiple of 4"):
        tiles(10, 12, 0, 0, 4)
