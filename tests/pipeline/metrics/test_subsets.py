import csv

import numpy as np
import pytest

from pipeline.metrics.parsing import parsing_scores
from pipeline.metrics.subsets import overlapping
from storage.errors import InvalidInput
from storage.tables.llp_names import LLP_CLASSES


def test_readings_by_hand():
    audio, visual = np.zeros((4, 3, 2), bool), np.zeros((4, 3, 2), bool)
    audio[0, 1] = True  # both classes heard at once
    visual[1, 2] = True  # both seen at once
    audio[2, 0, 0] = visual[2, 0, 1] = True  # one heard, the other seen
    audio[3, 0, 0] = audio[3, 1, 1] = visual[3, 0, 0] = True  # one after the other
    found = {
        reading: overlapping(audio, visual, reading=reading).tolist()
        for reading in ("either_modality", "union_of_modalities", "audio", "visual")
    }
    assert found == {
        "either_modality": [True, True, False, False],
        "union_of_modalities": [True, True, True, False],
        "audio": [True, False, False, False],
        "visual": [False, True, False, False],
    }
    with pytest.raises(InvalidInput, match="reading 'both': expected one of either_modality"):
        overlapping(audio, visual, reading="both")


@pytest.fixture(scope="module")
def llp_test(shared_dir):
    with (shared_dir / "llp/AVVP_test_pd.csv").open() as file:
        rows = {row["filename"]: i for i, row in enumerate(csv.DictReader(file, delimiter="\t"))}
    found = {}
    for modality in ("audio", "visual"):
        found[modality] = np.zeros((len(rows), 10, 25), bool)
        with (shared_dir / f"llp/AVVP_eval_{modality}.csv").open() as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row["filename"] in rows:
                    span = slice(int(row["onset"]), int(row["offset"]))
                    found[modality][rows[row["filename"]], span, LLP_CLASSES.index(row["event_labels"])] = True
    return found


def test_llp(llp_test):
    audio, visual = llp_test["audio"], llp_test["visual"]
    assert (audio.sum(), visual.sum(), (audio & visual).sum()) == (14_576, 11_789, 9_592)
    readings = {"either_modality": 665, "union_of_modalities": 764, "audio": 626, "visual": 267}
    assert {reading: overlapping(audio, visual, reading=reading).sum() for reading in readings} == readings


def test_all_zero_and_all_one_predictions_on_llp(llp_test):
    """The reference's numbers for predictors that know nothing."""
    truth = llp_test["audio"], llp_test["visual"]
    nothing, everything = np.zeros_like(truth[0]), np.ones_like(truth[0])
    zero, one = parsing_scores(nothing, nothing, *truth), parsing_scores(everything, everything, *truth)
    assert (zero.seg_a, round(zero.seg_v, 2), zero.seg_av, zero.seg_event) == (0.5, 10.08, 14.5, 0)
    assert (round(one.seg_a, 2), round(one.seg_v, 2)) == (5.38, 4.16)
