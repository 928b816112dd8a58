import numpy as np
import pytest

from pipeline.datasets.annotation_defects import count_kinds, nearest_clip
from pipeline.datasets.llp import load_annotations
from storage.errors import InvalidInput

DENSE = "filename\tonset\toffset\tevent_labels\n"


@pytest.fixture(scope="module")
def real(shared_dir):
    return load_annotations(shared_dir / "llp")


def test_arrays_by_hand(toy, toy_files):
    found = load_annotations(toy_files(), dataset=toy)
    assert found.ids == ("t1", "t2", "e1", "e2")
    assert found.splits == ("train", "train", "test", "test")
    assert found.weak.astype(int).tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 1], [0, 1, 0]]
    assert found.audio.shape == (4, 5, 3)
    assert found.audio[2].T.astype(int).tolist() == [[1, 1, 0, 0, 0], [0] * 5, [0, 0, 0, 0, 1]]
    assert found.visual[2].T.astype(int).tolist() == [[0, 1, 1, 0, 0], [0] * 5, [0] * 5]
    assert found.audio_visual.sum() == 1
    assert found.audio_visual[2, 1, 0]
    assert found.has_ground_truth.tolist() == [False, False, True, True]
    assert found.defects == ()
    assert len(found.split("test")) == 2


def test_statistics_equal_those_of_the_official_files(real):
    counts = real.statistics()
    assert {name: numbers["clips"] for name, numbers in counts.items()} == {"train": 10_000, "val": 649, "test": 1_200}
    test, val = counts["test"], counts["val"]
    modalities = ("audio", "visual", "audio_visual")
    assert [test[f"without_{name}"] for name in modalities] == [6, 121, 174]
    assert [test[f"{name}_segments"] for name in modalities] == [14_576, 11_789, 9_592]
    assert [val[f"without_{name}"] for name in modalities] == [4, 70, 93]
    assert real.weak.shape == (11_849, 25)
    assert real.audio.shape == (11_849, 10, 25)
    assert not real.audio[:10_000].any()


def test_defects_equal_those_of_the_official_files(real):
    by_file = {}
    for defect in real.defects:
        by_file.setdefault((defect.kind, defect.file.removeprefix("AVVP_").removesuffix(".csv")), []).append(defect)
    assert {key: len(found) for key, found in by_file.items()} == {
        ("unknown_clip", "eval_audio"): 14,
        ("unknown_clip", "eval_visual"): 11,
        ("empty_interval", "eval_audio"): 6,
        ("duplicate_row", "eval_audio"): 8,
        ("overlapping_intervals", "eval_audio"): 16,
        ("touching_intervals", "eval_audio"): 10,
        ("touching_intervals", "eval_visual"): 2,
        ("class_not_in_weak_label", "eval_audio"): 76,
        ("class_not_in_weak_label", "eval_visual"): 51,
        ("weak_label_differs", "val_pd"): 30,
        ("weak_label_differs", "test_pd"): 51,
    }
    unknown = {defect.clip for defect in real.defects if defect.kind == "unknown_clip"}
    assert len(unknown) == 8
    assert nearest_clip("VMTJRpjbE_150_160", real.ids) == "1-VMTJRpjbE_150_160"
    backwards = [defect for defect in by_file["empty_interval", "eval_audio"] if "[9, 0)" in defect.detail]
    assert [(defect.lines, defect.clip) for defect in backwards] == [((3770,), "8DF2PxdT5tE_390_400")]
    assert real.revisions == ()


def test_the_audio_file_from_before_april_2024(real, shared_dir, tmp_path):
    """It names three rows otherwise; that changes the audio ground truth of two test clips, and of none in val."""
    for file in (shared_dir / "llp").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lines = (tmp_path / "AVVP_eval_audio.csv").read_text().splitlines()
    for at in (929, 930):
        assert lines[at].startswith("JfZEqeLZqWk_30_40\t")
        lines[at] = lines[at].replace("JfZEqeLZqWk_30_40", "Baby_cry_infant_cry")
    assert lines[2451].startswith("KvIjsmANkxI_10_20\t")
    lines[2451] = lines[2451].replace("KvIjsmANkxI_10_20", "KvIjsmANkxI_10_20`")
    (tmp_path / "AVVP_eval_audio.csv").write_text("\n".join(lines))
    old = load_annotations(tmp_path)
    assert old.revisions == ("before April 2024",)
    assert count_kinds(old.defects)["old_revision"] == 3
    changed = np.flatnonzero((old.audio != real.audio).any(axis=(1, 2)))
    assert {(old.ids[row], old.splits[row]) for row in changed} == {
        ("JfZEqeLZqWk_30_40", "test"),
        ("KvIjsmANkxI_10_20", "test"),
    }
    np.testing.assert_array_equal(old.visual, real.visual)


def test_odd_lines_count_as_in_the_published_code(toy, toy_files):
    audio = DENSE + "e1\t0\t4\tDog\ne1\t0\t4\tDog\ne1\t2\t6\tDog\ne1\t6\t8\tDog\ne1\t8\t8\tRain\ne1\t8\t4\tRain\n"
    audio += "e2\t8\t14\tCat\ne2\t0\t2\tDog\nnobody\t0\t2\tDog\nt1\t0\t2\tDog\nold name\t0\t2\tDog\n"
    found = load_annotations(toy_files(audio=audio), dataset=toy)
    assert found.audio[2, :, 0].tolist() == [True] * 4 + [False]
    assert not found.audio[2, :, 2].any()
    assert found.audio[3, :, 1].tolist() == [False] * 4 + [True]
    assert found.audio[3, 0, 0]
    assert not found.audio[:2].any()
    assert found.revisions == ("first",)
    lines = [(defect.kind, defect.lines) for defect in found.defects]
    assert lines == [
        ("unknown_clip", (10,)),
        ("unknown_clip", (11,)),
        ("empty_interval", (6,)),
        ("empty_interval", (7,)),
        ("beyond_clip", (8,)),
        ("duplicate_row", (3,)),
        ("overlapping_intervals", (2, 3, 4, 5)),
        ("touching_intervals", (2, 3, 4, 5)),
        ("class_not_in_weak_label", (9,)),
        ("weak_label_differs", (3,)),
        ("old_revision", (12,)),
    ]
    with pytest.raises(InvalidInput, match=r"11 defects .*2 unknown_clip.*the first: audio.csv line 10: nobody"):
        load_annotations(toy_files(audio=audio), dataset=toy, strict=True)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("train", "id\tlabels\nt1\tDog\n", r"train.csv: line 1: expected the columns filename event_labels"),
        ("train", "filename\tevent_labels\nt1 Dog\n", r"train.csv: 1 line is bad: line 2: expected 2 fields"),
        ("train", "filename\tevent_labels\nt1\tDog,Hose\n", r"train.csv: .*line 2: class 'Hose' is none of the 3"),
        ("train", "filename\tevent_labels\nt1\tDog\nt1\tDog\n", r"train.csv line 3: t1 is already in train.csv line 2"),
        ("audio", DENSE + "e1\t0\tsoon\tDog\n", r"audio.csv: .*line 2: 'soon' is no number"),
        (
            "audio",
            DENSE + "e1\t0\t3\tDog\ne1\t-2\t4\tDog\n",
            r"2 lines are bad: line 2: 3 s is not on the grid.*line 3",
        ),
        ("visual", DENSE + "e1\t0\t2\tHose\n", r"visual.csv: .*class 'Hose'"),
        ("visual", DENSE + "e1\t0\t2\n", r"visual.csv: .*line 2: expected 4 fields"),
        ("audio", DENSE, r"audio.csv: has no events"),
        ("visual", "", r"visual.csv: has no events"),
    ],
)
def test_malformed_lines_are_refused_by_number(toy, toy_files, file, text, message):
    with pytest.raises(InvalidInput, match=message):
        load_annotations(toy_files(**{file: text}), dataset=toy)


def test_absent_files(toy, toy_files, tmp_path):
    folder = toy_files()
    (folder / "audio.csv").unlink()
    with pytest.raises(InvalidInput, match=r"audio.csv: no such file, but visual.csv is there"):
        load_annotations(folder, dataset=toy)
    (folder / "visual.csv").unlink()
    found = load_annotations(folder, dataset=toy)
    assert not found.has_ground_truth.any()
    assert found.defects == ()
    with pytest.raises(InvalidInput, match=r"no weak labels of toy here. Expected train.csv, test.csv"):
        load_annotations(tmp_path, dataset=toy)
    with pytest.raises(InvalidInput, match="no clips of split 'val'; there are train, test"):
        found.split("val")


def test_alignment_to_other_rows(toy, toy_files):
    found = load_annotations(toy_files(), dataset=toy)
    aligned = found.align(["e2", "t1"])
    assert aligned.ids == ("e2", "t1")
    assert aligned.splits == ("test", "train")
    np.testing.assert_array_equal(aligned.visual, found.visual[[3, 0]])
    np.testing.assert_array_equal(aligned.weak, found.weak[[3, 0]])
    with pytest.raises(InvalidInput, match=r"has no labels for 'x' of s\.zarr"):
        found.align(["e1", "x"], asker="s.zarr")


@pytest.mark.parametrize("separator", "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e")
def test_only_newlines_end_a_line_of_labels(toy, toy_files, separator):
    found = load_annotations(toy_files(train=f"filename\tevent_labels\nt{separator}1\tDog\nt2\tCat\n"), dataset=toy)
    assert found.ids[:2] == (f"t{separator}1", "t2")
    with pytest.raises(InvalidInput, match=r"train\.csv: 1 line is bad: line 3: "):
        load_annotations(toy_files(train=f"filename\tevent_labels\nt{separator}1\tDog\nbad\n"), dataset=toy)
