"""Which files are parsed, and where their output goes."""

from pathlib import Path

import pytest

from pipeline.parsing.jobs import find_jobs
from storage.errors import InvalidInput


@pytest.fixture
def folder(tmp_path):
    for name in (
        "talks/b.mp4",
        "talks/a.mkv",
        "talks/deep/c.webm",
        "talks/notes.txt",
        "holiday.mp4",
        "odd name [x].mp4",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def names(jobs):
    return [job.path.name for job in jobs]


def test_files_folders_and_patterns(folder):
    jobs, notes = find_jobs([str(folder / "holiday.mp4"), str(folder / "talks")])
    assert names(jobs) == ["holiday.mp4", "a.mkv", "b.mp4", "c.webm"]
    assert [job.stem for job in jobs] == ["holiday", "a", "b", "c"]
    assert jobs[3].folder == folder / "talks" / "deep"
    assert len(notes) == 1
    assert "1 file that is no media: .txt (1)" in notes[0]
    jobs, _ = find_jobs([str(folder / "talks" / "*.mp4")])
    assert names(jobs) == ["b.mp4"]
    jobs, _ = find_jobs([str(folder / "**" / "*.webm")])
    assert names(jobs) == ["c.webm"]


def test_a_name_that_looks_like_a_pattern_is_a_name(folder):
    jobs, _ = find_jobs([str(folder / "odd name [x].mp4")])
    assert names(jobs) == ["odd name [x].mp4"]


def test_a_file_that_is_named_twice_is_parsed_once(folder):
    (folder / "link.mp4").symlink_to(folder / "holiday.mp4")
    jobs, _ = find_jobs([str(folder / "holiday.mp4"), str(folder / "link.mp4"), str(folder / "holiday.mp4")])
    assert names(jobs) == ["holiday.mp4"]


def test_files_with_one_stem_keep_their_suffix(folder):
    (folder / "talks" / "a.mp4").write_bytes(b"x")
    jobs, _ = find_jobs([str(folder / "talks")])
    assert [job.stem for job in jobs] == ["a.mkv", "a.mp4", "b", "c"]


def test_a_stem_that_is_the_name_of_another_file_keeps_its_suffix(folder):
    for name in ("a.mkv.avi", "a"):
        (folder / "talks" / name).write_bytes(b"x")
    jobs, _ = find_jobs([str(folder / "talks" / name) for name in ("a.mkv", "a.mkv.avi", "a", "b.mp4")])
    assert [job.stem for job in jobs] == ["a.mkv", "a.mkv.avi", "a", "b"]


def test_output_of_an_earlier_run_is_no_input(folder):
    talks = folder / "talks"
    for name in ("b.json", "b.html", "b.audio.vtt", "b.labelstudio.xml", "a.mkv.json", "b.txt", "lonely.json"):
        (talks / name).write_bytes(b"x")
    jobs, notes = find_jobs([str(talks / "*.*")])
    assert names(jobs) == ["a.mkv", "b.mp4", "b.txt", "lonely.json", "notes.txt"]
    assert notes == ("left out 5 files that avvp parse wrote",)


def test_output_of_all_in_one_folder(folder, tmp_path):
    (folder / "talks" / "holiday.mp4").write_bytes(b"x")
    out = tmp_path / "out"
    jobs, _ = find_jobs([str(folder / "talks")], out=out)
    assert {job.folder for job in jobs} == {out}
    with pytest.raises(InvalidInput, match="would have the same output"):
        find_jobs([str(folder / "talks"), str(folder / "holiday.mp4")], out=out)


@pytest.mark.parametrize("name", ["no.mp4", "*.avi", "empty"])
def test_what_is_not_there_is_named(folder, name):
    (folder / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"no such file or folder|holds no media file"):
        find_jobs([str(Path(folder) / name)])
