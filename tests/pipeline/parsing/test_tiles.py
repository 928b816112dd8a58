"""Tiles cover each second of a file once; windows lie on their hop."""

import numpy as np
import pytest

from pipeline.parsing.tiles import cut, whole_seconds


@pytest.mark.parametrize(("duration", "seconds"), [(0.2, 1), (9.6, 10), (10.4, 10), (10.5, 11), (11.0, 11)])
def test_the_last_second_counts_if_half_of_it_is_there(duration, seconds):
    assert whole_seconds(duration) == seconds


@pytest.mark.parametrize("duration", [0.7, 1.0, 2.0, 9.6, 10.0, 10.4, 10.6, 11.2, 12.9, 19.0, 20.0, 20.6, 31.7, 660.0])
@pytest.mark.parametrize("hop", [1, 3, 5, 10])
def test_every_second_lies_in_one_place_and_in_a_window(duration, hop):
    found = cut(duration, window=10, hop=hop)
    tile, inside = found.places()
    assert len(tile) == found.seconds == whole_seconds(duration)
    np.testing.assert_array_equal(np.asarray(found.tiles)[tile] + inside, np.arange(found.seconds))
    assert inside.max() < 10
    assert len(set(tile.tolist())) == len(found.tiles)
    # No tile is so short that the decoder refuses it, but a file that is.
    assert duration - found.tiles[-1] >= min(duration, 1.0)
    covered = {second for start in found.windows for second in range(start, start + 10)}
    assert set(range(found.seconds)) <= covered
    assert all(start % hop == 0 for start in found.windows)
    # No window tells what the ones before it told already.
    assert len(found.windows) == 1 or found.windows[-2] + 10 < found.seconds


def test_the_last_tile_begins_early_rather_than_be_too_short():
    found = cut(20.6, window=10, hop=5)
    assert found.tiles == (0, 10, 19)
    tile, inside = found.places()
    assert (tile[18], inside[18], tile[19], inside[19], tile[20], inside[20]) == (1, 8, 1, 9, 2, 1)


def test_windows_that_cannot_be_put_together_are_tiles_themselves():
    found = cut(17.0, window=10, hop=5, tiled=False)
    assert found.tiles == found.windows == (0, 5, 10)


@pytest.mark.parametrize("hop", [0, 11])
def test_a_hop_that_leaves_gaps_is_refused(hop):
    with pytest.raises(ValueError, match="1 to 10 seconds"):
        cut(30.0, window=10, hop=hop)
