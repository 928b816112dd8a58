import numpy as np
import pytest

from pipeline.metrics.parsing import SCORES, video_scores
from pipeline.metrics.video_level import MEAN_HEADINGS, VIDEO_HEADINGS, level_means, mean_columns, video_level
from storage.errors import InvalidInput


def test_perfect_and_empty():
    true = np.zeros((3, 10, 4), bool)
    true[0, 2:5, 1] = true[1, :, 3] = True
    assert set(video_level(true, true, true, true).mean().values()) == {100.0}
    nothing = np.zeros_like(true)
    assert set(video_level(nothing, nothing, nothing, nothing).mean().values()) == {100.0}
    assert video_level(nothing, nothing, true, true).mean()["vid_a"] == pytest.approx(100 / 3)  # the third has no event


def test_by_hand():
    """One video, three classes. Heard: 0 and 1, found 0 and 2. Seen: 0, found 0. At once: 0, found 0 at other times."""
    true_a, true_v, found_a, found_v = (np.zeros((1, 10, 3), bool) for _ in range(4))
    true_a[0, 0:2, 0] = true_a[0, 5, 1] = True
    true_v[0, 1:4, 0] = True
    found_a[0, 8, 0] = found_a[0, 9, 2] = True
    found_v[0, 6, 0] = True
    scores = video_level(found_a, found_v, true_a, true_v).mean()
    assert list(scores) == list(VIDEO_HEADINGS)
    assert scores["vid_a"] == pytest.approx(100 / 3)  # 0 found, 1 missed, 2 wrong
    assert scores["vid_v"] == 100  # anywhere in the video will do
    assert scores["vid_av"] == 0  # heard and seen, but never at once
    assert scores["vid_type"] == pytest.approx((100 / 3 + 100 + 0) / 3)
    assert scores["vid_event"] == pytest.approx(100 * (1 + 0 + 0) / 3)  # class 0 twice right, 1 and 2 wrong


def test_it_is_the_segment_level_of_one_segment(random_arrays):
    """Where audio and visual events never coincide in part of a video only."""
    arrays = [array[:, :1] for array in random_arrays(active=0.5)]
    ours = video_level(*arrays).values
    columns = [SCORES.index(f"seg_{kind}") for kind in ("a", "v", "av", "type", "event")]
    np.testing.assert_allclose(ours, video_scores(*arrays).values[:, columns])
    long = [np.repeat(array, 10, axis=1) for array in arrays]
    np.testing.assert_allclose(video_level(*long).values, ours)


def test_means_of_the_levels(random_arrays):
    videos = video_scores(*random_arrays())
    means, scores = level_means(videos).mean(), videos.mean()
    assert list(means) == list(MEAN_HEADINGS)
    assert means["mean_av"] == pytest.approx((scores.seg_av + scores.ev_av) / 2)
    five = [means[name] for name in MEAN_HEADINGS if name != "average"]
    assert means["average"] == pytest.approx(scores.average) == pytest.approx(np.mean(five))
    assert mean_columns(scores.as_dict()) == pytest.approx(means)


def test_malformed_and_subsets(random_arrays):
    arrays = random_arrays(videos=6)
    with pytest.raises(InvalidInput, match="shapes differ"):
        video_level(arrays[0][:3], *arrays[1:])
    with pytest.raises(InvalidInput, match="expected decisions"):
        video_level(arrays[0] * 0.3, *arrays[1:])
    found = video_level(*arrays)
    rows = [0, 4]
    assert found.select(rows).mean() == pytest.approx(video_level(*(array[rows] for array in arrays)).mean())
    with pytest.raises(InvalidInput, match="the subset is empty"):
        found.select(np.zeros(6, bool)).mean()
    assert found.intervals(resamples=50)["vid_a"].estimate == pytest.approx(found.mean()["vid_a"])
