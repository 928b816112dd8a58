"""Windows are averaged on the grid of segments."""

import numpy as np

from pipeline.parsing.segment_grid import SegmentGrid


def test_the_mean_of_overlapping_windows():
    grid = SegmentGrid(7)
    segments = np.stack([np.full((4, 2), value, np.float32) for value in (0.2, 0.6, 0.4)])
    grid.add([0, 2, 4], {"audio": segments, "union_video": np.array([[1, 0], [0, 1], [1, 1]], np.float32)})
    means = grid.mean()
    np.testing.assert_allclose(means["audio"][:, 0], [0.2, 0.2, 0.4, 0.4, 0.5, 0.5, 0.4])
    expected = [[1, 0], [1, 0], [0.5, 0.5], [0.5, 0.5], [0.5, 1], [0.5, 1], [1, 1]]
    np.testing.assert_allclose(means["union_video"], expected)


def test_one_window_keeps_its_bits():
    values = np.random.default_rng(0).random((1, 10, 25), dtype=np.float32)
    grid = SegmentGrid(10)
    grid.add([0], {"visual": values})
    assert np.array_equal(grid.mean()["visual"], values[0])


def test_segments_without_a_window_are_nan():
    grid = SegmentGrid(3)
    grid.add([0], {"audio": np.ones((1, 2, 1), np.float32)})
    np.testing.assert_array_equal(grid.mean()["audio"][:, 0], [1, 1, np.nan])
