"""Several names in one text."""

import fsspec
import pytest

from storage.errors import ClipTableError
from storage.tables.patterns import is_pattern, named_files


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("a.tar", ["a.tar"]),
        ("{000..003}.tar", ["000.tar", "001.tar", "002.tar", "003.tar"]),
        ("{8..11}.tar", ["8.tar", "9.tar", "10.tar", "11.tar"]),
        ("{03..01}.tar", ["03.tar", "02.tar", "01.tar"]),
        ("{a,b}/{0..1}.tar", ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]),
        ("s3://bucket/{a,}x{1..2}.tar", ["s3://bucket/ax1.tar", "s3://bucket/ax2.tar", "s3://bucket/x1.tar",
                                         "s3://bucket/x2.tar"]),
        ("{a,a}.tar", ["a.tar"]),
        ("{one}{}.tar", ["{one}{}.tar"]),
    ],
)  # fmt: skip
def test_braces_are_spelled_out(pattern, files):
    assert named_files(pattern) == files


def test_wildcards_are_sorted(tmp_path):
    for name in ("b/1.tar", "a/2.tar", "a/1.tar", "a/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert named_files(f"{tmp_path}/{{b,a}}/*.tar") == [
        str(tmp_path / name) for name in ("b/1.tar", "a/1.tar", "a/2.tar")
    ]
    assert len(named_files(f"{tmp_path}/**/*.tar")) == 3
    with pytest.raises(ClipTableError, match=r"\*.mp4: finds no file"):
        named_files(f"{tmp_path}/*.mp4")


def test_wildcards_in_a_bucket():
    files = fsspec.filesystem("memory")
    for number in (2, 1):
        files.pipe_file(f"/p/{number}.tar", b"1")
    try:
        assert named_files("memory://p/*.tar") == ["memory:///p/1.tar", "memory:///p/2.tar"]
        with pytest.raises(ClipTableError, match="finds no file"):
            named_files("memory://q/*.tar")
    finally:
        files.rm("/p", recursive=True)


def test_what_is_a_pattern():
    assert [is_pattern(text) for text in ("a.tar", "{one}.tar", "{1..2}.tar", "{a,b}", "*.tar", "a?.tar")] == [
        False, False, True, True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("pattern", ["{0..999999999}.tar", "{0..9999}{0..9999}.tar"])
def test_too_many_names_are_refused_before_they_are_made(pattern):
    with pytest.raises(ClipTableError, match="more than 100,000 files"):
        named_files(pattern)
