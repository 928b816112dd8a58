"""``avvp parse``: output files, bad files, what is done twice, and a kill."""

import json
import signal
import time

import pytest
from toy_parser import ToyParser

from pipeline.parsing.formats.json_reading import read_json


@pytest.fixture
def toy_model(monkeypatch):
    """The toy parser for every ``--model``."""
    monkeypatch.setattr("pipeline.parsing.setup.open_model", lambda name, **how: ToyParser())


@pytest.fixture
def holidays(make_clip, tmp_path):
    """A good file, a silent one and one that is no media."""
    folder = tmp_path / "holidays"
    make_clip(folder / "beach.mp4", colour="red", seconds=9)
    make_clip(folder / "silent.mp4", colour="green", seconds=3, audio=False)
    (folder / "broken.mp4").write_bytes(b"no media at all")
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix != ".mp4"}


def without_output(path):
    """The JSON, without the digests of the other files: a page in another folder links the video otherwise."""
    found = json.loads(path.read_text())
    del found["settings"]["output"]
    return found


def test_a_bad_file_stops_nothing(avvp, toy_model, holidays, tmp_path):
    report = tmp_path / "report.json"
    code, out, err = avvp("parse", holidays, "--report", report)
    assert code == 3
    assert "2 files parsed, 1 failed" in out
    assert "broken.mp4: unreadable: " in out
    assert "RANDOM WEIGHTS in toy_visual, toy_audio" in err
    assert names(holidays) == [
        "beach.html", "beach.json", "beach.mp4", "broken.mp4", "silent.html", "silent.json", "silent.mp4",
    ]  # fmt: skip
    found = json.loads((holidays / "beach.json").read_text())
    said = [(event["class"], event["modality"], event["start"], event["end"]) for event in found["events"]]
    assert said == [("red", "visual", 0, 9), ("loud", "audio", 0, 9)]
    assert found["model"]["weights"] == {"toy_visual": "random:0", "toy_audio": "random:0"}
    assert json.loads((holidays / "silent.json").read_text())["notes"] == ["no sound: no audio stream"]
    body = json.loads(report.read_text())
    assert (list(body["parsed"].values()), len(body["failed"]), body["done"]) == ([2, 1], 1, [])


def test_a_second_run_does_what_is_missing(avvp, toy_model, holidays, make_clip):
    avvp("parse", holidays)
    before = times(holidays)
    code, out, _ = avvp("parse", holidays)
    assert (code, times(holidays)) == (3, before)
    assert "0 files parsed, 2 were done already, 1 failed" in out
    (holidays / "beach.html").unlink()
    make_clip(holidays / "silent.mp4", colour="red", seconds=4)
    _, out, _ = avvp("parse", holidays)
    assert "2 files parsed, 1 failed" in out
    assert read_json(holidays / "silent.json").events[0].label == "red"
    _, out, _ = avvp("parse", holidays, "--threshold", "0.4")
    assert "2 files parsed" in out
    _, out, _ = avvp("parse", holidays, "--threshold", "0.4", "--probabilities")
    assert "2 files parsed" in out
    assert read_json(holidays / "beach.json").probabilities["visual"].shape == (9, 3)


def test_every_format_and_its_names(avvp, toy_model, holidays, tmp_path):
    out = tmp_path / "out"
    code, _, _ = avvp("parse", holidays / "beach.mp4", "--output-dir", out, "--format", "all")
    assert code == 0
    assert names(out) == [
        "beach.audio.srt", "beach.audio.tsv", "beach.audio.txt", "beach.audio.vtt", "beach.eaf", "beach.html",
        "beach.json", "beach.labelstudio.json", "beach.labelstudio.xml", "beach.visual.srt", "beach.visual.tsv",
        "beach.visual.txt", "beach.visual.vtt",
    ]  # fmt: skip


def test_kept_features_are_not_made_again(avvp, toy_model, holidays, tmp_path, monkeypatch):
    from pipeline.extraction.workers import DecodePool

    beach, kept = holidays / "beach.mp4", tmp_path / "beach.zarr"
    assert avvp("parse", beach, "--keep", kept)[0] == 0

    def refuse(*arguments, **how):
        raise AssertionError("decodes again")

    monkeypatch.setattr(DecodePool, "decode", refuse)
    code, out, _ = avvp("parse", beach, "--keep", kept, "--threshold", "0.1", "--hop", "1")
    assert (code, "1 file parsed" in out) == (0, True)
    assert (holidays / "beach.html").stat().st_size > 10_000


def test_features_that_are_to_be_kept_later_are_made(avvp, toy_model, holidays, tmp_path):
    beach, kept = holidays / "beach.mp4", tmp_path / "kept"
    avvp("parse", beach)
    assert "1 file parsed" in avvp("parse", beach, "--keep", kept)[1]
    assert names(kept) == ["beach.zarr"]
    assert "1 were done already" in avvp("parse", beach, "--keep", kept)[1]


def test_a_kept_store_of_something_else_is_not_touched(avvp, toy_model, holidays, tmp_path):
    kept = tmp_path / "kept.zarr"
    avvp("parse", holidays / "beach.mp4", "--keep", kept)
    for other in (["silent.mp4"], ["beach.mp4", "--weights", "random:3"]):
        code, out, err = avvp("parse", holidays / other[0], *other[1:], "--keep", kept)
        assert (code, out) == (2, "")
        assert err.splitlines()[-1].endswith(". Give another --keep, or remove this one")
    (tmp_path / "kept").mkdir()
    kept.rename(tmp_path / "kept" / "silent.zarr")
    code, out, _ = avvp("parse", holidays, "--keep", tmp_path / "kept")
    assert code == 3
    assert "silent.mp4: " in out
    assert "1 file parsed, 2 failed" in out or "1 were done already, 2 failed" in out


def test_one_store_a_file_where_there_are_several(avvp, toy_model, holidays, tmp_path):
    avvp("parse", holidays, "--keep", tmp_path / "kept")
    assert names(tmp_path / "kept") == ["beach.zarr", "silent.zarr"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "jsn"], "format 'jsn' is unknown. Did you mean json?"),
        (["--classes", "rde"], "the model has no such class. Did you mean red?"),
        (["--hop", "5"], "--hop 5: expected whole segments within a window"),
        (["--threshold", "2"], "--threshold 2: expected a probability from 0 to 1"),
        (["--device", "cuda:0,cuda:1"], "avvp parse runs on one device"),
        (["--weights", "clap=random:0"], "'clap' is not among the backbones"),
        (["--thresholds", "no.json"], "no.json"),
        (["--truth", "no-such-folder"], "no-such-folder"),
        (["no.mp4"], "no.mp4: no such file or folder"),
        (["--classes", ""], "--classes '': expected names. The model knows red, green, loud"),
        (["--classes", " , "], "expected names"),
        (["--device", "cuda:7"], "device 'cuda:7': this machine has"),
        (["--device", "abacus"], "expected auto, cpu or cuda:N"),
        (["--memory", "1"], "--memory '1': is 1 bytes"),
        (["--report", "/"], "--report /: is a folder. Give the name of a file"),
        (["--report", f"{__file__}/report.json"], "report.json: no file can be made in "),
        (["--out", __file__], "test_parse_command.py is a file, expected a folder"),
        (["--out", f"{__file__}/new"], "test_parse_command.py is a file, expected a folder"),
        (["--keep", __file__], "test_parse_command.py is a file, expected a folder"),
        (["--keep", "one.zarr"], "--keep one.zarr: is a store of one file, there are 3. Give a folder"),
        (["--out", "x" * 300], "File name too long"),
    ],
)
def test_mistakes_cost_nothing(avvp, toy_model, holidays, arguments, said):
    code, _, err = avvp("parse", holidays, *arguments)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()[-1:]) == 1
    assert not list(holidays.glob("*.json"))


def test_two_files_of_one_name_share_no_store(avvp, toy_model, holidays, make_clip, tmp_path):
    make_clip(tmp_path / "other" / "beach.mp4")
    code, _, err = avvp("parse", holidays, tmp_path / "other", "--keep", tmp_path / "kept")
    assert code == 2
    assert "beach.mp4 would have the same store. Parse them one by one" in err


def test_an_unknown_model_is_refused(avvp, holidays):
    code, _, err = avvp("parse", holidays, "--model", "no-such-run")
    assert code == 2
    assert "--model no-such-run: no such folder. Give a run, an imported checkpoint" in err
    code, _, err = avvp("parse", holidays, "--model", "clip+clapp")
    assert code == 2
    assert "--model clip+clapp: no such folder. Did you mean clip+clap? Give a run" in err


def test_thresholds_by_class_and_modality(avvp, toy_model, holidays, tmp_path):
    file = tmp_path / "levels.toml"
    file.write_text("[audio]\nred = 0.5\ngreen = 0.5\nloud = 1.5\n[visual]\nred = 0.1\ngreen = 0.5\nloud = 0.5\n")
    beach = holidays / "beach.mp4"
    assert avvp("parse", beach, "--thresholds", file, "--out", tmp_path)[0] == 0
    assert [event.label for event in read_json(tmp_path / "beach.json").events] == ["red"]
    (tmp_path / "one.json").write_text('{"red": 1.5, "green": 0.5, "loud": 0.5}')
    avvp("parse", beach, "--thresholds", tmp_path / "one.json", "--out", tmp_path)
    assert [event.label for event in read_json(tmp_path / "beach.json").events] == ["loud"]


def test_after_a_kill_the_rest_is_parsed(avvp, avvp_process, toy_model, make_clip, tmp_path):
    path = make_clip(tmp_path / "long.mp4", colour="red", seconds=70)
    process = avvp_process("parse", path, AVVP_TOY_PARSER="1", TOY_SLEEP="0.1")
    ledger = tmp_path / ".long.avvp-parse" / "features.zarr" / "ledger" / "toy_visual"
    end = time.monotonic() + 120
    while not list(ledger.glob("*.json")) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    committed = {file.name: file.stat().st_mtime_ns for file in ledger.glob("*.json")}
    assert committed
    assert not (tmp_path / "long.json").exists()
    kept = tmp_path / "kept.zarr"
    (tmp_path / ".long.avvp-parse" / "features.zarr").rename(kept)
    code, _, _ = avvp("parse", path, "--keep", kept)
    assert code == 0
    after = {file.name: file.stat().st_mtime_ns for file in (kept / "ledger" / "toy_visual").glob("*.json")}
    assert {name: after[name] for name in committed} == committed
    assert len(after) > len(committed)
    unbroken = tmp_path / "unbroken"
    avvp("parse", path, "--out", unbroken, "--probabilities")
    avvp("parse", path, "--keep", kept, "--probabilities")
    assert without_output(unbroken / "long.json") == without_output(tmp_path / "long.json")
