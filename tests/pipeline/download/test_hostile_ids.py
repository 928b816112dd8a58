"""Ids that a table may hold: options of programs, paths, templates, variables and names that no disk takes."""

import csv
import json

import pytest
from video_server import make_video, serve

from pipeline.download.names import id_problem, url_of
from pipeline.download.one_clip import DownloadJob, fetch_clip
from storage.clips import Clip

yt_dlp = pytest.importorskip("yt_dlp")

ODD = (
    "--exec=touch owned",
    "-x",
    "-o x",
    "a\nb",
    "$HOME",
    "${PATH}",
    "~",
    "%(id)s",
    "a&list=b#c?d",
    "é\u202e",
    "a ",
)
BAD = ("x" * 300, "../up", "/etc/passwd", ".hidden")


@pytest.fixture(scope="module")
def video(ffmpeg, tmp_path_factory):
    return make_video(ffmpeg, tmp_path_factory.mktemp("video") / "whole.mp4")


@pytest.mark.parametrize("name", ODD)
def test_ids_are_quoted_in_addresses(name):
    url = url_of(Clip(name, "", 0, 2), "https://site/watch?v={id}")
    assert set(url.removeprefix("https://site/watch?v=")).isdisjoint("&#?/\n $")


def test_ids_of_youtube_stay_as_they_are():
    url = url_of(Clip("-_Aa0123456_30_40", "", 30, 40), "https://site/watch?v={id}&n={name}")
    assert url == "https://site/watch?v=-_Aa0123456&n=-_Aa0123456_30_40"


def test_every_clip_has_its_own_end(avvp, video, tmp_path, monkeypatch):
    """Each id is one file or one reason; nothing lies elsewhere, and nothing of an id is run."""
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "own.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "start_seconds", "end_seconds"])
        writer.writerows([name, 1, 3] for name in (*BAD, "--exec=touch owned", "$HOME", "good"))
    with serve({"good": video, "%24HOME": video, "--exec%3Dtouch%20owned": video}) as server:
        code, _, err = avvp(
            "download", table, "--out", tmp_path / "out", "--url-template", server.url, "--rate", "none"
        )
    assert code == 3, err
    lines = [json.loads(line) for line in (tmp_path / "out/download.jsonl").read_text().splitlines()]
    assert {line["id"]: line["status"] for line in lines} == dict.fromkeys(BAD, "bad_id") | {
        "--exec=touch owned": "ok", "$HOME": "ok", "good": "ok",
    }  # fmt: skip
    assert "its file's name would have 304 bytes" in lines[0]["reason"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "own.csv"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mp4")) == [
        "$HOME.mp4", "--exec=touch owned.mp4", "good.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["$HOME", "%(id)s", "a$$b%%", "~"])
def test_the_folder_is_a_name_and_no_template(ffmpeg, video, tmp_path, name):
    work, log = tmp_path / name / "work", tmp_path / "log"
    work.mkdir(parents=True)
    log.touch()
    with serve({"x": video}) as server:
        outcome = fetch_clip(DownloadJob("x", server.url.format(id="x"), 1, 3, work), log)
    assert outcome.status == "ok", outcome
    assert outcome.file is not None
    assert outcome.file.parent == work


def test_what_can_be_a_name():
    assert not any(map(id_problem, ODD))
    assert all(map(id_problem, BAD))
    assert not id_problem("x" * 251)
    assert id_problem("é" * 126)
