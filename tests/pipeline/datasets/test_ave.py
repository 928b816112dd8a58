import numpy as np
import pytest

from pipeline.datasets.ave import load_events
from pipeline.datasets.dataset_description import load_description
from pipeline.datasets.llp import load_annotations
from storage.errors import InvalidInput

HEADER = "Category&VideoID&Quality&StartTime&EndTime\n"
FILES = {
    "trainSet.txt": "Bark&aaaaaaaaaaa&good&2&5\nBackground&bbbbbbbbbbb&good&0&10\nBark&aaaaaaaaaaa&good&6&7\n",
    "valSet.txt": "Church bell&-_Cccccc&cc&good&0&0\n".replace("&cc&", "ccc&"),
    "testSet.txt": HEADER + "\nMale speech, man speaking&ddddddddddd&bad&0&10\n",
}


@pytest.fixture
def write(tmp_path):
    def make(**changed):
        files = FILES | {f"{name}.txt": text for name, text in changed.items()}
        for name, text in files.items():
            if text is not None:
                (tmp_path / name).write_text(text)
        return tmp_path

    return make


def test_ave_is_shipped_with_its_classes_and_background():
    ave = load_description("ave")
    assert len(ave.classes) == 29
    assert ave.classes.index(ave.background) == 28
    assert (ave.segments, ave.clip_seconds) == (10, 10)


def test_arrays_by_hand(write):
    found = load_events(write())
    assert found.ids == ("aaaaaaaaaaa", "bbbbbbbbbbb", "aaaaaaaaaaa#2", "-_Ccccccccc", "ddddddddddd")
    assert found.splits == ("train", "train", "train", "val", "test")
    assert found.segments[0].tolist() == [28, 28, 2, 2, 2, 28, 28, 28, 28, 28]
    assert found.segments[2].tolist() == [28] * 6 + [2] + [28] * 3
    assert set(found.segments[1]) == set(found.segments[3]) == {28}
    assert set(found.segments[4]) == {1}
    assert found.weak.argmax(axis=1).tolist() == [2, 28, 2, 0, 1]
    assert found.weak.sum(axis=1).tolist() == [1] * 5
    assert found.one_hot.shape == (5, 10, 29)
    assert (found.one_hot.argmax(axis=2) == found.segments).all()


def test_shares_are_the_time_that_each_class_has(write):
    found = load_events(write()).with_shares().split("train")
    np.testing.assert_allclose(found.weak[0, [2, 28]], [0.3, 0.7], rtol=1e-6)
    np.testing.assert_allclose(found.weak.sum(axis=1), 1, rtol=1e-6)


def test_rows_are_aligned_by_name(write):
    found = load_events(write()).align(["ddddddddddd", "aaaaaaaaaaa"])
    assert found.segments[:, 3].tolist() == [1, 2]
    with pytest.raises(InvalidInput, match="has no labels for 'x' of the store"):
        found.align(["x"])


def test_annotations_txt_must_hold_the_same_lines(write):
    every = "".join(FILES.values()).replace(HEADER, "").replace("Background&bbbbbbbbbbb&good&0&10\n", "")
    assert len(load_events(write(Annotations=HEADER + every))) == 5
    with pytest.raises(InvalidInput, match=r"testSet.txt: 1 line is bad: line 3: 'Male .*' is not in Annotations.txt"):
        load_events(write(Annotations=every.replace("&bad&", "&good&")))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Bark&x&good&0", r"line 1: expected Category&VideoID&Quality&StartTime&EndTime, got 'Bark&x&good&0'"),
        ("Bark&&good&0&10", "expected Category&VideoID"),
        ("Barking&x&good&0&10", "class 'Barking' is none of the 29 classes of ave"),
        ("Bark&x&good&5&2", "from 5 to 2 s: expected a span within 0 and 10 s"),
        ("Bark&x&good&0&11", "from 0 to 11 s"),
        ("Bark&x&good&0&half", "'half' is no number of seconds"),
        ("Bark&x&good&0.5&2", "0.5 s is not on the grid of segments of 1 s"),
    ],
)
def test_bad_lines_are_named(write, line, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        load_events(write(trainSet=line + "\n"))
    assert "trainSet.txt: 1 line is bad" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_or_a_description_that_does_not_fit(tmp_path):
    with pytest.raises(InvalidInput, match=r"no events of ave here. Expected trainSet.txt, valSet.txt, testSet.txt"):
        load_events(tmp_path)
    with pytest.raises(InvalidInput, match="llp: names no background and event_files"):
        load_events(tmp_path, dataset="llp")
    with pytest.raises(InvalidInput, match="ave: is a dataset of event localization"):
        load_annotations(tmp_path, dataset="ave")


def test_only_newlines_end_a_line_of_events(write):
    folder = write(trainSet="Bark&a\u2028b\x85c&good&2&5\nbad\n")
    with pytest.raises(InvalidInput, match=r"trainSet\.txt: 1 line is bad: line 2: "):
        load_events(folder)
    assert load_events(write(trainSet="Bark&a\u2028b\x85c&good&2&5\n")).ids[0] == "a\u2028b\x85c"
