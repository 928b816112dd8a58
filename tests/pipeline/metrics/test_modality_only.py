import numpy as np
import pytest

from pipeline.metrics.modality_only import ONLY_HEADINGS, modality_only
from pipeline.metrics.parsing import parsing_scores
from storage.errors import InvalidInput


def test_perfect_and_empty(random_arrays):
    _, _, audio, visual = random_arrays(videos=5)
    assert set(modality_only(audio, visual, audio, visual).mean().values()) == {100.0}
    nothing = np.zeros_like(audio)
    assert set(modality_only(nothing, nothing, nothing, nothing).mean().values()) == {100.0}
    assert set(modality_only(audio, audio, audio, audio).mean().values()) == {100.0}  # nothing is in one modality only


def test_by_hand():
    """One class, ten seconds. Truth: heard 0-9, seen 3-6, so audible only 0-2 and 7-9. Found: heard 0-9, seen 2-3.

    Found audible only: 0-1 and 4-9. Segments: 0, 1, 7, 8, 9 right, 4, 5, 6 wrong, 2 missed: 10 / 14. Events: 0-1
    against 0-2 is 2/3, right; 4-9 against 7-9 is 3/6, right. Visible only is nothing in either.
    """
    true_a, true_v, found_a, found_v = (np.zeros((1, 10, 1), bool) for _ in range(4))
    true_a[0, :, 0] = found_a[0, :, 0] = True
    true_v[0, 3:7, 0] = found_v[0, 2:4, 0] = True
    scores = modality_only(found_a, found_v, true_a, true_v).mean()
    assert list(scores) == list(ONLY_HEADINGS)
    assert scores["seg_a_only"] == pytest.approx(100 * 10 / 14)
    assert scores["ev_a_only"] == 100
    assert (scores["seg_v_only"], scores["ev_v_only"]) == (100, 100)
    found_a[0, 2, 0] = False  # seen and not heard: a visible-only event that is not there
    scores = modality_only(found_a, found_v, true_a, true_v).mean()
    assert scores["seg_a_only"] == pytest.approx(100 * 10 / 14)
    assert (scores["seg_v_only"], scores["ev_v_only"]) == (0, 0)


def test_where_nothing_is_shared_it_is_the_plain_score(random_arrays):
    """Audio in the first half of the classes only, visual in the second."""
    arrays = [array.copy() for array in random_arrays()]
    for number, array in enumerate(arrays):
        array[:, :, 12:] &= number % 2 == 1
        array[:, :, :12] &= number % 2 == 0
    plain, only = parsing_scores(*arrays), modality_only(*arrays).mean()
    assert only["seg_a_only"] == pytest.approx(plain.seg_a)
    assert only["ev_v_only"] == pytest.approx(plain.ev_v)


def test_malformed(random_arrays):
    arrays = random_arrays(videos=3)
    with pytest.raises(InvalidInput, match="shapes differ"):
        modality_only(arrays[0][:, :5], *arrays[1:])
