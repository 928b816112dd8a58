import time

import numpy as np
import pytest

from pipeline.metrics.counts import event_counts, segment_counts
from pipeline.metrics.parsing import SCORES, VideoScores, parsing_scores, video_scores
from storage.errors import InvalidInput

COLUMNS = {"a": 0, "v": 1, "event": 2, "av": 3}


def by_loop(pred_audio, pred_visual, true_audio, true_visual):
    """The definition, one video and one class at a time, as published evaluations do it."""
    rows = []
    for arrays in zip(pred_audio, pred_visual, true_audio, true_visual, strict=True):
        pa, pv, ta, tv = arrays
        row = {}
        for level, count in (("seg", count_segments), ("ev", count_events)):
            triples = {"a": [], "v": [], "av": [], "event": []}
            for c in range(pa.shape[1]):
                one = {"a": count(pa[:, c], ta[:, c]), "v": count(pv[:, c], tv[:, c])}
                one["av"] = count(pa[:, c] & pv[:, c], ta[:, c] & tv[:, c])
                one["event"] = tuple(x + y for x, y in zip(one["a"], one["v"], strict=True))
                for key, value in one.items():
                    triples[key].append(value)
            for key, values in triples.items():
                f1 = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in values if tp + fp + fn]
                row[f"{level}_{key}"] = sum(f1) / len(f1) if f1 else 1.0
            row[f"{level}_type"] = (row[f"{level}_a"] + row[f"{level}_v"] + row[f"{level}_av"]) / 3
        row["average"] = sum(row.values()) / 10
        rows.append([100 * row[name] for name in SCORES])
    return np.array(rows)


def count_segments(predicted, true):
    return int((predicted & true).sum()), int((predicted & ~true).sum()), int((true & ~predicted).sum())


def events_of(row):
    events, start = [], None
    for t, on in enumerate([*row, False]):
        if on and start is None:
            start = t
        if not on and start is not None:
            events.append(set(range(start, t)))
            start = None
    return events


def count_events(predicted, true):
    predicted, true = events_of(predicted), events_of(true)
    right = sum(any(len(p & t) >= 0.5 * len(p | t) for t in true) for p in predicted)
    lost = sum(not any(len(p & t) >= 0.5 * len(p | t) for p in predicted) for t in true)
    return right, len(predicted) - right, lost


def test_published_cases(oracle, oracle_arrays):
    values = video_scores(*oracle_arrays).values / 100
    for level, name in (("seg", "segment"), ("ev", "event")):
        for score, column in COLUMNS.items():
            ours = values[:, SCORES.index(f"{level}_{score}")]
            np.testing.assert_allclose(ours, oracle[name][:, column], rtol=0, atol=1e-12)
        three = oracle[name][:, [0, 1, 3]].mean(axis=1)
        np.testing.assert_allclose(values[:, SCORES.index(f"{level}_type")], three, rtol=0, atol=1e-12)


def test_published_average(oracle, oracle_arrays):
    scores = parsing_scores(*oracle_arrays)
    segment, event = oracle["segment"].mean(axis=0), oracle["event"].mean(axis=0)
    ten = [*segment, *event, segment[[0, 1, 3]].mean(), event[[0, 1, 3]].mean()]
    assert scores.average == pytest.approx(100 * np.mean(ten), abs=1e-10)
    assert list(scores.as_dict()) == list(SCORES)


def test_published_events_of_one_row(oracle):
    rows = (oracle["pair_pred_code"][:, None] >> np.arange(10)) & 1
    true = (oracle["pair_gt_code"][:, None] >> np.arange(10)) & 1
    counts = event_counts(rows.astype(bool)[:, :, None], true.astype(bool)[:, :, None])
    ours = np.stack([counts.true_positives, counts.false_positives, counts.false_negatives], axis=-1)[:, 0]
    np.testing.assert_array_equal(ours, oracle["pair_tp_fp_fn"])
    every = ((np.arange(1024)[:, None] >> np.arange(10)) & 1).astype(bool)[:, :, None]
    alone = event_counts(every, np.zeros_like(every))
    np.testing.assert_array_equal(alone.false_positives[:, 0], oracle["single_row_num_events"])


@pytest.mark.parametrize(("segments", "classes"), [(10, 25), (1, 1), (7, 3), (64, 5)])
def test_any_number_of_segments_and_classes(random_arrays, segments, classes):
    arrays = random_arrays(videos=25, segments=segments, classes=classes, seed=segments, active=0.6)
    np.testing.assert_allclose(video_scores(*arrays).values, by_loop(*arrays), atol=1e-10)


def test_all_pairs_of_short_rows():
    """Every prediction against every truth over 6 segments: 4,096 pairs."""
    rows = ((np.arange(64)[:, None] >> np.arange(6)) & 1).astype(bool)
    predicted, true = np.repeat(rows, 64, axis=0), np.tile(rows, (64, 1))
    counts = event_counts(predicted[:, :, None], true[:, :, None])
    ours = np.stack([counts.true_positives, counts.false_positives, counts.false_negatives], axis=-1)[:, 0]
    by_hand = [count_events(p, t) for p, t in zip(predicted, true, strict=True)]
    np.testing.assert_array_equal(ours, by_hand)


def test_perfect_and_empty():
    true = np.zeros((3, 10, 4), bool)
    true[0, 2:5, 1] = true[1, :, 3] = True
    assert set(parsing_scores(true, true, true, true).as_dict().values()) == {100.0}
    nothing = np.zeros_like(true)
    assert parsing_scores(nothing, nothing, nothing, nothing).average == 100.0
    scores = parsing_scores(nothing, nothing, true, true)
    assert scores.seg_a == pytest.approx(100 / 3)  # the third video has no event and no prediction


def test_by_hand():
    """One video, two classes. Class 0: three of four segments found, one too many. Class 1: predicted, not there."""
    true, predicted = np.zeros((1, 10, 2), bool), np.zeros((1, 10, 2), bool)
    true[0, 0:4, 0] = True
    predicted[0, 1:5, 0] = True
    predicted[0, 9, 1] = True
    nothing = np.zeros_like(true)
    scores = parsing_scores(predicted, nothing, true, nothing)
    assert scores.seg_a == pytest.approx(100 * (6 / 8 + 0) / 2)
    assert scores.ev_a == pytest.approx(100 * (1 + 0) / 2)  # intersection 3, union 5: an event found
    assert (scores.seg_v, scores.seg_av, scores.ev_v) == (100, 100, 100)
    assert scores.seg_event == scores.seg_a
    assert scores.seg_type == pytest.approx((scores.seg_a + 200) / 3)


def test_half_of_an_event_counts():
    true, predicted = np.ones((1, 10, 1), bool), np.zeros((1, 10, 1), bool)
    predicted[0, :5] = True
    assert parsing_scores(predicted, predicted, true, true).ev_a == 100
    predicted[0, 4] = False
    assert parsing_scores(predicted, predicted, true, true).ev_a == 0


def test_means_of_subsets(random_arrays):
    arrays = random_arrays()
    videos = video_scores(*arrays)
    rows = np.arange(len(videos)) % 3 == 0
    assert videos.select(rows).mean() == parsing_scores(*(array[rows] for array in arrays))
    with pytest.raises(InvalidInput, match="the subset is empty"):
        videos.select(np.zeros(len(videos), bool)).mean()
    assert isinstance(videos.select([0, 2]), VideoScores)


def test_zeros_and_ones_of_any_type_are_decisions(random_arrays):
    arrays = random_arrays(videos=4)
    assert parsing_scores(*(array.astype(np.float32) for array in arrays)) == parsing_scores(*arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[0], r"pred_audio: shape is \[10, 25\], expected \[videos, segments, classes\]"),
        (lambda a: a[:0], "none of them 0"),
        (lambda a: a * 0.5, "expected decisions .* threshold them first"),
        (lambda a: a[:, :9], r"shapes differ: pred_audio \[4, 9, 25\]"),
    ],
)
def test_malformed(random_arrays, change, message):
    first, *others = random_arrays(videos=4, active=1.0)
    with pytest.raises(InvalidInput, match=message):
        parsing_scores(change(first), *others)


def test_a_test_set_takes_well_under_a_second_and_the_loop_fifty_times_longer(random_arrays):
    arrays = random_arrays(videos=1200, active=0.08)
    parsing_scores(*(array[:10] for array in arrays))
    ours = min(seconds(lambda: parsing_scores(*arrays)) for _ in range(3))
    few = [array[:60] for array in arrays]
    loop = seconds(lambda: by_loop(*few)) * 1200 / 60
    assert ours < 0.5
    assert loop / ours > 50


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_counts_of_segments(oracle, oracle_arrays):
    audio = segment_counts(oracle_arrays[0], oracle_arrays[2])
    np.testing.assert_array_equal(audio.true_positives, oracle["classwise_counts"][:, 0])
    np.testing.assert_array_equal(audio.false_negatives, oracle["classwise_counts"][:, 1])
    np.testing.assert_array_equal(audio.false_positives, oracle["classwise_counts"][:, 2])
