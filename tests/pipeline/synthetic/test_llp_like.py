"""Made-up clips like LLP's: classes as often as there, and events that coincide as often as asked for."""

from collections import Counter

import pytest

from pipeline.synthetic.dataset import Event, SyntheticClip
from pipeline.synthetic.llp_counts import llp_counts
from pipeline.synthetic.llp_like import overlap_share, plan_llp_like
from storage.errors import InvalidInput
from storage.tables.llp_names import LLP_CLASSES


def plan(overlap=None, *, count=1500, seed=0, **options):
    return plan_llp_like(count, held_out=count // 6, seed=seed, classes=LLP_CLASSES, overlap=overlap, **options)


def test_the_counts_are_those_of_llp():
    counts = llp_counts()
    assert sum(counts.train.values()) == 10_000
    assert sum(count for names, count in counts.train.items() if "Speech" in names) == 4_988
    assert {name for names in counts.train for name in names} == set(LLP_CLASSES)
    assert set(counts.spans) == {"same", "different", "audio", "visual"}
    assert {*counts.among(("Dog", "Cat"))} == {("Dog",), ("Cat",), ("Dog", "Cat")}


def test_classes_occur_as_often_as_in_llp():
    found = Counter(label for clip in plan(count=6000) for label in clip.weak_labels)
    assert 0.47 < found["Speech"] / 6000 < 0.53
    assert 0.003 < found["Telephone_bell_ringing"] / 6000 < 0.017


@pytest.mark.parametrize("overlap", [0.0, 0.15, 0.3])
def test_events_coincide_as_often_as_asked_for(overlap):
    assert overlap_share(plan(overlap)) == pytest.approx(overlap, abs=0.02)


def test_overlap_changes_when_things_happen_and_nothing_else():
    none, much = plan(0.0), plan(0.3)
    for one, other in zip(none, much, strict=True):
        assert (one.name, one.split, one.weak_labels) == (other.name, other.split, other.weak_labels)
        lengths = [
            [span and span[1] - span[0] for e in clip.events for span in (e.audio, e.visual)] for clip in (one, other)
        ]
        assert lengths[0] == lengths[1]
        assert all(0 <= e.audio[0] < e.audio[1] <= 10 for e in other.events if e.audio)
    assert none != much
    assert much == plan(0.3)
    assert much != plan(0.3, seed=1)


def test_even_frequencies_give_each_class_its_turn():
    found = Counter(clip.weak_labels[0] for clip in plan(0.2, count=250, frequencies="even"))
    assert set(found.values()) == {10}


def test_splits_are_as_large_as_asked_for():
    assert Counter(clip.split for clip in plan(count=60)) == {"train": 40, "val": 10, "test": 10}


@pytest.mark.parametrize("share", [0.9, -0.1])
def test_an_overlap_that_cannot_be_is_refused_with_the_most_that_can(share):
    with pytest.raises(InvalidInput, match=r"expected 0 to 0\.3"):
        plan(share)


def test_what_llp_does_not_have_is_refused():
    with pytest.raises(InvalidInput, match="no training clip with"):
        plan_llp_like(30, held_out=5, classes=())
    with pytest.raises(InvalidInput, match="expected one of even, llp"):
        plan(frequencies="odd")


def test_overlap_counts_both_modalities():
    clip = SyntheticClip("a", "train", (Event("Dog", (0, 4), (0, 2)), Event("Cat", (2, 6), None)))
    assert overlap_share([clip]) == 2 / (6 + 2)
    assert overlap_share([SyntheticClip("a", "train", ())]) == 0
