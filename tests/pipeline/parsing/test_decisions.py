"""Decisions follow the scored rule; events are their runs."""

import numpy as np
import pytest

from pipeline.metrics.decisions import decide
from pipeline.parsing.decisions import EventRules, decide_segments, find_events
from storage.errors import InvalidInput

CLASSES = ("Dog", "Speech", "Cat")


@pytest.fixture
def one_clip():
    random = np.random.default_rng(0)
    found = {name: random.random((1, 10, 3), dtype=np.float32) for name in ("audio_segment", "visual_segment")}
    return found | {f"{kind}_video": random.random((1, 3), dtype=np.float32) for kind in ("union", "audio", "visual")}


@pytest.mark.parametrize("mask", ["none", "union", "own", "mmcse"])
@pytest.mark.parametrize("threshold", [0.3, 0.5, [0.2, 0.5, 0.9]])
def test_decisions_of_one_window_are_those_that_are_scored(one_clip, mask, threshold):
    expected = decide(**one_clip, mask=mask, threshold=threshold)
    means = {"audio": one_clip["audio_segment"][0], "visual": one_clip["visual_segment"][0]}
    means |= {name: np.repeat(values, 10, axis=0) for name, values in one_clip.items() if name.endswith("_video")}
    level = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (3,))
    found = decide_segments(means, levels={"audio": level, "visual": level}, mask=mask)
    for place, modality in enumerate(("audio", "visual")):
        np.testing.assert_array_equal(found[modality], expected[place][0])


def test_each_modality_has_its_own_thresholds():
    means = {"audio": np.full((2, 1), 0.6, np.float32), "visual": np.full((2, 1), 0.6, np.float32)}
    means["audio"][1] = means["visual"][1] = np.nan
    found = decide_segments(means, levels={"audio": np.array([0.7]), "visual": np.array([0.5])}, mask="none")
    assert found["audio"].tolist() == [[False], [False]]
    assert found["visual"].tolist() == [[True], [False]]


def events_of(rows, **rules):
    decided = np.array([[int(mark) for mark in row] for row in rows], dtype=bool).T
    probabilities = np.where(decided, np.float32(0.75), np.float32(0.25))
    return find_events(
        {"audio": decided}, {"audio": probabilities}, classes=CLASSES[: len(rows)], segment_seconds=1.0,
        duration_seconds=len(rows[0]) - 0.4, rules=EventRules(**rules),
    )  # fmt: skip


def spans(events):
    return [(event.start_seconds, event.end_seconds) for event in events]


def test_runs_are_events_and_end_with_the_file():
    assert spans(events_of(["0110010111"])) == [(1, 3), (5, 6), (7, 9.6)]
    assert spans(events_of(["0000000000"])) == []
    assert spans(events_of(["1"])) == [(0, 0.6)]


def test_gaps_are_joined_and_short_events_dropped():
    assert spans(events_of(["1101100010"], join_gap=1)) == [(0, 5), (8, 9)]
    assert spans(events_of(["1101100010"], join_gap=3)) == [(0, 9)]
    assert spans(events_of(["1101100010"], min_duration=2)) == [(0, 2), (3, 5)]
    # Joined first, then measured; the gap's probabilities count.
    (event,) = events_of(["1010000000"], join_gap=1, min_duration=3)
    assert (event.mean, event.peak) == (pytest.approx((0.75 + 0.25 + 0.75) / 3), 0.75)


def test_classes_are_chosen_and_sorted():
    rows = ["0011000000", "1100000000", "0011100000"]
    assert [event.label for event in events_of(rows)] == ["Speech", "Dog", "Cat"]
    assert [event.label for event in events_of(rows, classes=("Cat",))] == ["Cat"]


def test_top_keeps_the_classes_with_the_highest_peaks():
    decided = np.ones((4, 3), dtype=bool)
    probabilities = np.array([[0.6, 0.9, 0.7]] * 4, dtype=np.float32)
    found = find_events({"visual": decided}, {"visual": probabilities}, classes=CLASSES, segment_seconds=0.5,
                        duration_seconds=2.0, rules=EventRules(top=2))  # fmt: skip
    assert [event.label for event in found] == ["Speech", "Cat"]


NAN = float("nan")


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"threshold": 1.5}, "from 0 to 1"),
        ({"min_duration": -1}, "0 or more"),
        ({"join_gap": NAN}, "0 or more"),
        ({"top": 0}, "1 or more"),
        ({"threshold": 0.5, "thresholds": {}}, "exclude each other"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules, said):
    with pytest.raises(InvalidInput, match=said):
        EventRules(**rules)


def test_an_unknown_class_is_named_with_the_nearest():
    with pytest.raises(InvalidInput, match="Did you mean Speech"):
        EventRules(classes=("Speach",)).check_classes(CLASSES)
