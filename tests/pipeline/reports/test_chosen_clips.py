import pytest

from pipeline.reports.chosen_clips import chosen_clips, file_name
from storage.errors import InvalidInput

IDS = ("abc_0_10", "abd_0_10", "x/y", "abc")


def test_ids_and_unique_beginnings():
    assert chosen_clips(["abd", "x", "abc", "abd_0_10"], IDS, split="test") == ["abd_0_10", "x/y", "abc"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [((), r"give the id of a clip of test, e\.g\. abc_0_10"), (("q",), "no such clip of test"),
     (("ab",), r"3 clips of test begin so, e\.g\. abc_0_10, abd_0_10"), (("",), "no such clip")],
)  # fmt: skip
def test_others_are_refused(asked, words):
    with pytest.raises(InvalidInput, match=words):
        chosen_clips(asked, IDS, split="test")


def test_file_names_are_distinct_and_in_their_folder():
    names = [file_name(clip) for clip in ("x/y", "x_y", "../x", "a b", "é", "-Qa1_0_10")]
    assert len(set(names)) == len(names)
    assert not any("/" in name for name in names)
    assert names[-1] == "-Qa1_0_10"
