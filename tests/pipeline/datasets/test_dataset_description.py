import pytest

from pipeline.datasets.dataset_description import load_description, shipped_descriptions
from storage.errors import InvalidInput
from storage.tables.llp_names import LLP_CLASSES, LLP_SPLIT_FILES


def test_llp_is_shipped():
    llp = load_description("llp")
    assert shipped_descriptions() == ("ave", "llp")
    assert llp.classes == LLP_CLASSES
    assert {file: split for split, file in llp.weak_files.items()} == LLP_SPLIT_FILES
    assert (llp.segments, llp.clip_seconds, llp.segment_seconds) == (10, 10, 1)
    assert llp.dense_splits == ("val", "test")


def test_class_index_names_what_is_lacking():
    llp = load_description("llp")
    assert llp.class_index("Clapping") == 24
    with pytest.raises(InvalidInput, match="class 'Horse' is none of the 25 classes of llp"):
        llp.class_index("Horse")


def test_a_description_of_ones_own(toy):
    assert (toy.name, toy.classes, toy.segment_seconds) == ("toy", ("Dog", "Cat", "Rain"), 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML: "),
        ("segments = 2\nclip_seconds = 2\n", "the key 'classes' is missing"),
        ('segments = 2\nclip_seconds = 2\nclasses = ["a", "a"]\n', "'a' is there twice"),
        ("segments = 2\nclip_seconds = 2\nclasses = []\n", "it is empty"),
        ('segments = 0\nclip_seconds = 2\nclasses = ["a"]\n', "segments: expected a whole number, 1 or more, got 0"),
        ('segments = 2\nclasses = ["a"]\n', "the key 'clip_seconds' is missing"),
        (
            'segments = 2\nclip_seconds = 2\nclasses = ["a"]\nsegment = 1\n',
            "unknown key 'segment'. Did you mean segments",
        ),
        (
            'segments = 2\nclip_seconds = 0\nclasses = ["a"]\n',
            "clip_seconds: expected a positive number of seconds, got 0",
        ),
        ("segments = 2\nclip_seconds = 2\nclasses = [1]\n", "classes: expected a list of texts, got 1"),
        ('segments = 2\nclip_seconds = 2\nclasses = "ab"\n', "classes: expected a list of texts, got 'ab'"),
        (
            'segments = 2\nclip_seconds = 2\nclasses = ["a"]\nweak_files.train = 3\n',
            "weak_files: train: expected a text",
        ),
        ('segments = 2\nclip_seconds = 2\nclasses = ["a"]\nweak_files = 3\n', "weak_files: expected a table, got 3"),
        ('segments = 2\nclip_seconds = 2\nclasses = ["a"]\ndense_files.splits = ["x"]\n', "names 'x'"),
        ('segments = 2\nclip_seconds = 2\nclasses = ["a", "b"]\nbackground = "a"\n', "must be the last of classes"),
    ],
)
def test_bad_descriptions_are_refused(tmp_path, text, message):
    (tmp_path / "d.toml").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        load_description(tmp_path / "d.toml")


def test_no_such_description():
    with pytest.raises(InvalidInput, match=r"nowhere.toml: no such dataset description.*one of: ave, llp"):
        load_description("nowhere.toml")
