from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.llp import load_annotations
from pipeline.metrics.parsing import SCORES, parsing_scores
from pipeline.parsing.parsed_video import MODALITIES, ModelFacts, ParsedVideo
from pipeline.parsing.truth import truth_of

DESCRIPTION = """
name = "toy"
classes = ["Dog", "Cat", "Speech"]
segments = 10
clip_seconds = 10
[weak_files]
train = "train.csv"
test = "test.csv"
[dense_files]
audio = "audio.csv"
visual = "visual.csv"
splits = ["test"]
"""
CLIP = "abcdefghijk_30_40"


@pytest.fixture
def annotations(tmp_path):
    (tmp_path / "toy.toml").write_text(DESCRIPTION)
    head = "filename\tonset\toffset\tevent_labels\n"
    (tmp_path / "train.csv").write_text("filename\tevent_labels\nABCDEFGHIJK_0_10\tDog,Speech\n")
    (tmp_path / "test.csv").write_text(
        f"filename\tevent_labels\n{CLIP}\tDog,Cat\ntwicetwicet_0_10\tDog\ntwicetwicet_50_60\tCat\n"
    )
    twice = "twicetwicet_0_10\t0\t1\tDog\ntwicetwicet_50_60\t0\t1\tCat\n"
    (tmp_path / "audio.csv").write_text(f"{head}{CLIP}\t2\t5\tDog\n{twice}")
    (tmp_path / "visual.csv").write_text(f"{head}{CLIP}\t0\t10\tCat\n{twice}")
    return load_annotations(tmp_path, dataset=tmp_path / "toy.toml")


def video(name, *, seconds=10, classes=("Cat", "Dog", "Speech"), modalities=MODALITIES):
    grids = {modality: np.zeros((seconds, len(classes)), np.float32) for modality in modalities}
    for grid in grids.values():
        grid[2:4, 1] = 0.9
    decided = {modality: grid >= 0.5 for modality, grid in grids.items()}
    return ParsedVideo(Path(f"/x/{name}.mp4"), float(seconds), ModelFacts("m", "run"), classes, 1.0, grids, decided, ())


@pytest.mark.parametrize("name", [CLIP, "abcdefghijk"])
def test_a_clip_by_its_name_or_its_id(annotations, name):
    parsed = video(name)
    truth = truth_of(parsed, annotations)
    assert (truth.clip, truth.labels, truth.note) == (CLIP, ("Dog", "Cat"), "")
    assert truth.known.all()
    assert np.flatnonzero(truth.grids["audio"][:, 1]).tolist() == [2, 3, 4]
    assert truth.grids["visual"][:, 0].all()
    assert truth.grids["visual"].sum() == 10
    assert tuple(truth.scores) == SCORES
    expected = parsing_scores(
        *(parsed.decided[m][None] for m in MODALITIES), *(truth.grids[m][None] for m in MODALITIES)
    )
    assert truth.scores == expected.as_dict()
    assert truth.scores["seg_a"] == pytest.approx(80)


def test_the_whole_source_video_has_the_truth_where_the_clip_was_cut(annotations):
    truth = truth_of(video("abcdefghijk", seconds=35), annotations)
    assert np.flatnonzero(truth.known).tolist() == [30, 31, 32, 33, 34]
    assert np.flatnonzero(truth.grids["audio"][:, 1]).tolist() == [32, 33, 34]
    assert (truth.scores, truth.note) == ({}, "no scores: they are defined for 10 segments, this file has 35")


def test_a_clip_with_weak_labels_only(annotations):
    truth = truth_of(video("ABCDEFGHIJK_0_10"), annotations)
    assert (truth.labels, truth.grids, truth.scores) == (("Dog", "Speech"), {}, {})
    assert truth.note == "ABCDEFGHIJK_0_10 is annotated as a whole, without seconds: Dog, Speech"


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("holiday", "no clip is named holiday"),
        ("twicetwicet", "2 annotated clips are of twicetwicet: twicetwicet_0_10"),
    ],
)
def test_files_that_are_not_annotated(annotations, name, note):
    truth = truth_of(video(name), annotations)
    assert (truth.clip, truth.grids) == ("", {})
    assert note in truth.note


def test_names_that_are_not_llps_are_not_cut(annotations):
    own = replace(annotations, ids=("birthday_party_morning", *annotations.ids[1:]))
    assert "no clip is named birthday_pa" in truth_of(video("birthday_pa"), own).note
    assert truth_of(video("birthday_party_morning"), own).clip == "birthday_party_morning"


def test_a_clip_cut_at_a_fraction_of_a_second(annotations):
    row = annotations.ids.index(CLIP)
    ids = [*annotations.ids[:row], "abcdefghijk_20.8_30.8", *annotations.ids[row + 1 :]]
    truth = truth_of(video("abcdefghijk", seconds=35), replace(annotations, ids=tuple(ids)))
    assert np.flatnonzero(truth.known).tolist() == list(range(21, 31))


def test_why_there_are_no_scores(annotations):
    other = truth_of(video(CLIP, classes=("Cat", "Dog", "Rain")), annotations)
    assert (other.scores, other.note) == ({}, "no scores: the model's classes are not the dataset's")
    assert other.grids["visual"][:, 0].all()
    mute = truth_of(video(CLIP, modalities=("visual",)), annotations)
    assert (mute.scores, mute.note) == ({}, "no scores: nothing was decided for audio")
    halves = truth_of(replace(video(CLIP), segment_seconds=0.5), annotations)
    assert (halves.grids, halves.scores) == ({}, {})
    assert "in seconds that the parsed grid does not have" in halves.note
    short = truth_of(video("abcdefghijk", seconds=20), annotations)
    assert "in seconds that the parsed grid does not have" in short.note


def test_real_annotations(shared_dir):
    annotations = load_annotations(shared_dir / "llp")
    classes = annotations.dataset.classes
    truth = truth_of(video("4YdbENYcIyE", classes=classes), annotations)
    assert truth.clip == "4YdbENYcIyE_23_33"
    assert truth.grids["audio"][:, classes.index("Baby_cry_infant_cry")].tolist() == [True] * 4 + [False] * 6
    assert truth_of(video("BjCEufrlXm4", classes=classes), annotations).labels == ("Speech", "Dog")
