import warnings

import numpy as np
import pytest

from pipeline.metrics.classwise import class_table
from storage.errors import InvalidInput


def test_published_table(oracle, oracle_arrays):
    table = class_table(*oracle_arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class without any video is NaN in both
        published = 100 * np.nanmean(oracle["classwise_segment"], axis=0)
    for column, ours in enumerate((table.audio, table.visual, table.event, table.both)):
        np.testing.assert_allclose(ours, published[column], atol=1e-10)
    np.testing.assert_array_equal(table.videos, (~np.isnan(oracle["classwise_segment"][:, 2])).sum(axis=0))


def test_by_hand():
    true, predicted = np.zeros((3, 4, 3), bool), np.zeros((3, 4, 3), bool)
    true[0, :2, 0] = predicted[0, :, 0] = True  # F1 2*2/(4+2)
    predicted[1, 0, 0] = True  # 0
    nothing = np.zeros_like(true)
    table = class_table(predicted, nothing, true, nothing)
    assert table.audio[0] == pytest.approx(100 * (4 / 6) / 2)
    assert np.isnan(table.audio[1:]).all()
    assert np.isnan(table.visual).all()
    assert table.videos.tolist() == [2, 0, 0]
    assert class_table(predicted, nothing, true, nothing, level="event").audio[0] == pytest.approx(50)


def test_level_is_checked():
    array = np.zeros((1, 1, 1), bool)
    with pytest.raises(InvalidInput, match="level 'frame': expected one of segment, event"):
        class_table(array, array, array, array, level="frame")
