"""``avvp parse``: odd names, places that cannot be written, files that change, and two commands at once."""

import errno
import json
import os
import shutil
import signal
import time

import pytest
from toy_parser import ToyParser

from pipeline.parsing.jobs import Job


@pytest.fixture(autouse=True)
def toy_model(toys, monkeypatch):
    """The toy parser for every ``--model``."""
    monkeypatch.setattr("pipeline.parsing.setup.open_model", lambda name, **how: ToyParser())


@pytest.fixture(scope="module")
def red(make_clip, tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("red") / "red.mp4", colour="red", seconds=2)


@pytest.fixture
def put(red, tmp_path):
    """Copy the red clip to a name in an empty folder."""

    def copy(name, folder="films"):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        return shutil.copy(red, path)

    return copy


def names(folder):
    return sorted(path.name for path in folder.iterdir())


ODD_NAMES = (
    "no suffix", "-dash.mp4", " space .mp4", "quote'\".mp4", "new\nline.mp4", "tab\t.mp4", "\x1b[31m.mp4", "a::b.mp4",
    "p%20#?.mp4", "[x]*.mp4", "~x.mp4", "🎉.mp4", "\u202e.mp4", "é" * 120 + ".mp4", os.fsdecode(b"no\xffutf.mp4"),
)  # fmt: skip


def test_no_name_ends_the_run(avvp, put, tmp_path):
    for name in ODD_NAMES:
        put(name)
    paths = sorted((tmp_path / "films").iterdir())
    report = tmp_path / "new" / "report.json"
    code, out, err = avvp("parse", *paths, "--report", report)
    assert code == 3
    assert "\x1b" not in out + err
    assert f"{len(ODD_NAMES) - 1} files parsed, 1 failed" in out
    failed = json.loads(report.read_text())["failed"]
    assert [("not UTF-8" in reason, reason.count("\n")) for reason in failed.values()] == [(True, 0)]
    assert not [name for name in names(tmp_path / "films") if name.startswith(".")]
    code, out, _ = avvp("parse", *paths, "--format", "all")
    assert code == 3
    assert "10 files parsed, 5 failed" in out
    assert not [name for name in names(tmp_path / "films") if name.startswith(".")]


def test_a_terminal_that_knows_ascii_only(avvp_process, put, tmp_path):
    path = put("🎉.mp4")
    assert avvp_process("parse", path, AVVP_TOY_PARSER="1", PYTHONIOENCODING="ascii").wait() == 0
    log = (tmp_path / "log.txt").read_text()
    assert "\\U0001f389.mp4: 2.00 s" in log
    assert "Traceback" not in log


def test_a_folder_for_each_name(put):
    long = put("x" * 250 + ".mp4"[:4])
    assert len(Job(long, long.parent, long.stem).work_folder.name) <= 255


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_fails_its_files_only(avvp, put, tmp_path):
    put("a.mp4", "closed"), put("b.mp4", "open")
    (tmp_path / "closed").chmod(0o555)
    code, out, _ = avvp("parse", tmp_path / "closed", tmp_path / "open")
    assert code == 3
    assert "1 file parsed, 1 failed" in out
    assert "a.mp4: " in out
    assert "Permission denied" in out


def test_a_place_that_cannot_be_made_fails_its_file_only(avvp, put, tmp_path):
    put("a.mp4"), put("b.mp4")
    (tmp_path / "films" / ".a.avvp-parse").write_text("somebody's")
    code, out, _ = avvp("parse", tmp_path / "films")
    assert code == 3
    assert "1 file parsed, 1 failed" in out
    assert ".a.avvp-parse: File exists" in out


def test_a_full_disk_ends_the_run(avvp, put, tmp_path, monkeypatch):
    put("a.mp4"), put("b.mp4")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    code, out, err = avvp("parse", tmp_path / "films")
    assert (code, out) == (2, "")
    assert "No space left on device" in err.splitlines()[-1]
    assert names(tmp_path / "films") == [".a.avvp-parse", "a.mp4", "b.mp4"]
    monkeypatch.undo()


@pytest.mark.parametrize("change", ["touched", "removed"])
def test_a_file_that_changes_meanwhile_is_not_said_to_be_parsed(avvp, put, tmp_path, monkeypatch, change):
    put("a.mp4"), put("b.mp4")
    predict = ToyParser.predict

    def change_it(self, features):
        path = tmp_path / "films" / "a.mp4"
        if change == "removed":
            path.unlink(missing_ok=True)
        else:
            os.utime(path, ns=(0, self.windows))
        return predict(self, features)

    monkeypatch.setattr(ToyParser, "predict", change_it)
    code, out, _ = avvp("parse", tmp_path / "films")
    assert code == 3
    assert "1 file parsed, 1 failed" in out
    assert ("No such file" if change == "removed" else "a.mp4: was changed while it was parsed") in out
    assert [name for name in names(tmp_path / "films") if name.startswith((".", "a."))] == ["a.mp4"][
        : change == "touched"
    ]


def test_two_commands_at_once(avvp, avvp_process, put, tmp_path):
    path = put("a.mp4")
    first = avvp_process("parse", path, AVVP_TOY_PARSER="1", TOY_SLEEP="3")
    work = tmp_path / "films" / ".a.avvp-parse"
    end = time.monotonic() + 60
    while not work.is_dir() and time.monotonic() < end:
        time.sleep(0.02)
    code, out, err = avvp("parse", path)
    assert first.wait() == 0
    assert code == 0
    assert "0 files parsed, 1 were done already" in out
    assert "a.mp4: another process is parsing it; waiting" in err
    assert names(tmp_path / "films") == ["a.html", "a.json", "a.mp4"]


def test_what_a_kill_left_goes_with_the_next_run(avvp, put, tmp_path):
    path = put("a.mp4")
    avvp("parse", path)
    work = tmp_path / "films" / ".a.avvp-parse"
    (work / "features.zarr").mkdir(parents=True)
    (work / "lock").touch()
    assert avvp("parse", path)[0] == 0
    assert not work.exists()


def test_ctrl_c(avvp_process, put, tmp_path):
    path = put("a.mp4")
    process = avvp_process("parse", path, AVVP_TOY_PARSER="1", TOY_SLEEP="5")
    work = tmp_path / "films" / ".a.avvp-parse" / "features.zarr"
    end = time.monotonic() + 60
    while not work.is_dir() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert names(tmp_path / "films") == [".a.avvp-parse", "a.mp4"]


def test_one_name_instead_of_a_list_from_python(put, tmp_path):
    from pipeline import parse

    found = parse(put("a.mp4"), classes="red", progress=False)
    assert [event.label for event in found.events] == ["red"]
    assert names(tmp_path / "films") == ["a.mp4"]
    assert [path.name for path in found.save(tmp_path / "out", "vtt")] == ["a.audio.vtt", "a.visual.vtt"]
