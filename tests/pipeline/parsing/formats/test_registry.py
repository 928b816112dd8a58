"""Formats by name, and files that appear whole or not at all."""

import os
from pathlib import Path

import pytest

from pipeline.parsing.formats.json_reading import read_json
from pipeline.parsing.formats.registry import FORMATS, parse_formats, write
from storage.errors import InvalidInput

FILES = [
    "holiday.json",
    "holiday.audio.vtt",
    "holiday.visual.vtt",
    "holiday.audio.srt",
    "holiday.visual.srt",
    "holiday.audio.tsv",
    "holiday.visual.tsv",
    "holiday.audio.txt",
    "holiday.visual.txt",
    "holiday.eaf",
    "holiday.labelstudio.json",
    "holiday.labelstudio.xml",
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("json,vtt", ("json", "vtt")),
        (" VTT , json,vtt,", ("vtt", "json")),
        ("all", (*FORMATS, "html")),
        ("srt,all", (*FORMATS, "html")),
        ("html", ("html",)),
    ],
)
def test_names(text, names):
    assert parse_formats(text, more=["html"]) == names


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("json,vt", "format 'vt' is unknown. Did you mean vtt\\? Choices: json, vtt, srt, tsv, audacity, eaf, label"),
        ("", "--format '': expected names"),
        (",,", "--format ',,': expected names"),
        ("html", "format 'html' is unknown"),
        ("\x1b[2J", r"format '\\\\x1b\[2j' is unknown"),
    ],
)
def test_an_unknown_name_is_one_line(text, complaint):
    with pytest.raises(InvalidInput, match=complaint):
        parse_formats(text)


def test_every_file(video, odd_video, make_video, tmp_path):
    names = parse_formats("all")
    folder = tmp_path / "new" / "Größe"
    paths = write(video, folder=folder, stem="holiday", formats=names)
    assert [path.name for path in paths] == FILES
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert [path for name in names for path in FORMATS[name].paths(folder=folder, stem="holiday")] == paths
    for path in paths:
        assert "\r" not in path.read_bytes().decode("utf-8")
    write(make_video(), folder=folder, stem="holiday", formats=names)
    assert (folder / "holiday.audio.srt").read_text() == ""
    write(odd_video, folder=folder, stem="holiday", formats=[name for name in names if name != "tsv"])


def test_probabilities_go_where_they_can(video, tmp_path):
    (path,) = write(video, folder=tmp_path, stem="a", formats=["json"], probabilities=True)
    assert read_json(path).segments == 12
    (path,) = write(video, folder=tmp_path, stem="a", formats=["json"])
    assert read_json(path).segments == 0


def test_a_name_that_one_format_cannot_hold_writes_nothing(odd_video, tmp_path):
    with pytest.raises(InvalidInput, match="LLP's form"):
        write(odd_video, folder=tmp_path, stem="a", formats=["json", "tsv"])
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_is_cut_off_leaves_the_old_file(video, tmp_path, monkeypatch):
    (path,) = write(video, folder=tmp_path, stem="a", formats=["json"])
    before = path.read_bytes()

    def killed(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write(video, folder=tmp_path, stem="a", formats=["json"], probabilities=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_name_as_long_as_a_file_system_allows(video, tmp_path):
    stem = "x" * (255 - len(".labelstudio.json"))
    assert len(write(video, folder=tmp_path, stem=stem, formats=["labelstudio"])) == 2
    with pytest.raises(InvalidInput, match="cannot be written: File name too long"):
        write(video, folder=tmp_path, stem="x" * 255, formats=["json"])
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_cannot_be_written(video, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written: "):
        write(video, folder=tmp_path / "file", stem="a", formats=["json"])
    if os.getuid():
        with pytest.raises(InvalidInput, match="cannot be written: Permission denied"):
            write(video, folder=Path("/proc"), stem="a", formats=["json"])
