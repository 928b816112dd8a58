"""Annotated clips, rows of a store and rows of predictions find each other by whole ids, or by YouTube's in LLP."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.datasets.dataset import load_split
from pipeline.recipes.recipe import FeaturesRecipe
from pipeline.reports.evaluation import decide_predictions
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.ledger import Row
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_features

ONE = FeaturesRecipe(audio="one", visual_2d="one", visual_3d="")


@pytest.fixture
def named(annotations, tmp_path):
    """A function: annotations of two test clips and a store, each with ids of one's own."""

    def make(ids, stored):
        test = annotations.split("test")
        labels = replace(test.align(test.ids[:2]), ids=tuple(ids))
        store = FeatureStore.create(str(tmp_path / "s.zarr"), ClipTable([Clip(name, "/m") for name in stored]))
        store.ensure_feature(FeatureSpec("one", 10, 2, "audio", 1.0), Provenance("one", "1", "random:0", {}, "uniform"))
        values = np.zeros((len(stored), 10, 2), np.float32)
        with claim(store, ["one"], 0):
            rows = [Row(name, "ok", stored=True) for name in stored]
            commit_features(store, "one", 0, values=values, valid=np.ones(values.shape[:2], bool), rows=rows)
        return labels, store

    return make


def test_rows_of_a_store_that_is_named_by_youtube_ids(named):
    labels, store = named(("AAAAAAAAAAA_0_10", "BBBBBBBBBBB_0_10"), ("BBBBBBBBBBB", "AAAAAAAAAAA_0_10"))
    assert load_split(store, labels, ONE, "test").rows.tolist() == [1, 0]


def test_other_names_that_begin_alike_are_other_clips(named):
    ids = ("birthday_party_morning", "birthday_party_evening")
    labels, store = named(ids, (ids[1], "birthday_pa"))
    clips = load_split(store, labels, ONE, "test")
    assert clips.rows.tolist() == [0]
    assert clips.skipped == {"not in the store": 1}


def test_two_clips_never_share_a_row(named):
    labels, store = named(("AAAAAAAAAAA_0_10", "AAAAAAAAAAA_10_20"), ("AAAAAAAAAAA", "v"))
    with pytest.raises(InvalidInput, match=r"'AAAAAAAAAAA_0_10' and 'AAAAAAAAAAA_10_20' would share the name"):
        load_split(store, labels, ONE, "test")


def predicted(labels, ids):
    found = {"id": np.array(ids), "audio_segment": labels.audio * 1.0, "visual_segment": labels.visual * 1.0}
    return decide_predictions(found, labels, "test").ids


def test_names_in_predictions(named):
    labels, _ = named(("AAAAAAAAAAA_0_10", "BBBBBBBBBBB_0_10"), ("v",))
    assert predicted(labels, ["AAAAAAAAAAA", "BBBBBBBBBBB_0_10"]) == labels.ids
    labels = replace(labels, ids=("AAAAAAAAAAA_0_10", "AAAAAAAAAAA_10_20"))
    with pytest.raises(InvalidInput, match=r"predictions: .* would share the name 'AAAAAAAAAAA'\. Write whole ids"):
        predicted(labels, ["AAAAAAAAAAA", "AAAAAAAAAAA_10_20"])
    labels = replace(labels, ids=("birthday_party_morning", "birthday_party_evening"))
    with pytest.raises(InvalidInput, match=r"1 ids are not in test, e\.g\. 'birthday_pa'"):
        predicted(labels, ["birthday_pa", "birthday_party_evening"])
