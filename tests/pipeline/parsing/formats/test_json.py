"""JSON: strictly valid, complete, and read back."""

import json
import math

import numpy as np
import pytest

from pipeline.parsing.formats.json_file import to_json
from pipeline.parsing.formats.json_reading import read_json
from pipeline.parsing.parsed_video import Event
from storage.errors import InvalidInput

KEYS = ["file", "duration", "model", "versions", "settings", "notes", "classes", "segment_seconds", "events"]


def strictly(text):
    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_what_it_holds(video):
    text = to_json(video)
    found = strictly(text)
    assert list(found) == KEYS
    assert found["file"] == "clips/holiday.mp4"
    assert found["duration"] == 11.28
    assert found["model"] == {
        "name": "runs/leap",
        "kind": "run",
        "description": "LEAP on MM-Pyr",
        "weights": {"clip": "sha256:abc"},
        "random": [],
        "unknown": {},
    }
    assert list(found["versions"]) == ["av", "numpy"]
    assert found["settings"] == {"threshold": 0.5, "classes": ["Dog"], "top": None}
    assert found["events"][3] == {
        "class": "Dog", "modality": "audio", "start": 7.0, "end": 11.28, "mean": 0.8123, "peak": 0.9,
    }  # fmt: skip
    assert text.count('\n    {"class"') == 4  # one event a line
    assert to_json(video) == text


def test_with_probabilities_it_comes_back_bit_for_bit(video, tmp_path):
    path = tmp_path / "holiday.json"
    path.write_text(to_json(video, probabilities=True), encoding="utf-8")
    assert strictly(path.read_text())["probabilities"]["visual"][-1] == [None, None, None]
    again = read_json(path)
    for modality in ("audio", "visual"):
        assert again.probabilities[modality].dtype == np.float32
        assert again.probabilities[modality].tobytes() == video.probabilities[modality].tobytes()
        assert again.decided[modality].dtype == bool
        assert np.array_equal(again.decided[modality], video.decided[modality])
    assert again.segments == 12
    assert again.model == video.model
    assert (again.path, again.classes, again.notes) == (video.path, video.classes, video.notes)
    assert again.events[:3] == video.events[:3]
    assert again.libraries == video.libraries
    assert to_json(again, probabilities=True) == path.read_text()


def test_without_probabilities_there_are_no_grids(video, tmp_path):
    path = tmp_path / "holiday.json"
    path.write_text(to_json(video), encoding="utf-8")
    again = read_json(path)
    assert again.probabilities == again.decided == {}
    assert again.segments == 0
    assert to_json(again) == path.read_text()


def test_odd_names_and_numbers(odd_video, tmp_path):
    text = to_json(odd_video)
    found = strictly(text)
    assert tuple(found["classes"]) == odd_video.classes
    assert found["settings"] == {"limit": None, "each": [None, 1]}
    assert found["events"][-1]["peak"] is None
    assert found["model"]["random"] == ["yamnet"]
    assert not set(text) & set("\x07\u2028\udcff")
    path = tmp_path / "odd.json"
    path.write_bytes(text.encode("utf-8"))
    again = read_json(path)
    assert again.events[:-1] == odd_video.events[:-1]
    assert math.isnan(again.events[-1].peak)
    assert again.model.random == ("yamnet",)


def test_no_events_and_no_steps(make_video, tmp_path):
    path = tmp_path / "none.json"
    path.write_text(to_json(make_video(grids=False), probabilities=True))
    again = read_json(path)
    assert again.events == ()
    assert again.probabilities == {}


BASE = {
    "file": "a.mp4",
    "duration": 10.0,
    "model": {"name": "x", "kind": "run"},
    "classes": ["Dog"],
    "segment_seconds": 1.0,
    "events": [{"class": "Dog", "modality": "audio", "start": 0, "end": 1, "mean": 0.5, "peak": 0.5}],
}
EVENT = BASE["events"][0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff\xfe", "not a text file in UTF-8"),
        (b"{", "not JSON: Expecting property name"),
        (b"[" * 100_000, "not JSON: "),
        (b'{"duration": NaN}', "not JSON: NaN is no JSON number"),
        ([], "expected an object, got \\[\\]"),
        ({**BASE, "events": [{**EVENT, "start": "0"}]}, r"events\[0\].start: expected a valid number, got '0'"),
        ({**BASE, "events": [{**EVENT, "modality": "smell"}]}, r"events\[0\].modality: expected 'audio' or 'visual'"),
        ({**BASE, "events": [{**EVENT, "class": "Cat"}]}, r"events\[0\]: class 'Cat' is not in classes"),
        ({**BASE, "events": [{**EVENT, "end": 0}]}, r"events\[0\]: ends at 0 s, but starts at 0 s"),
        ({**BASE, "events": [{"class": "Dog"}]}, r"events\[0\]: the key 'modality' is missing"),
        ({key: value for key, value in BASE.items() if key != "classes"}, "the key 'classes' is missing"),
        ({**BASE, "duration": -1}, "duration: expected greater than or equal to 0, got -1"),
        ({**BASE, "segment_seconds": 0}, "segment_seconds: expected greater than 0"),
        ({**BASE, "model": {"name": "\x1b[31m"}}, "model: the key 'kind' is missing"),
        ({**BASE, "file": 3}, "file: expected a valid string, got 3"),
        ({**BASE, "probabilities": {"audio": [[0.1], [0.1, 0.2]]}}, "probabilities.audio: a step has 2 numbers"),
    ],
)
def test_a_malformed_file_is_one_line(content, complaint, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(InvalidInput, match=complaint) as told:
        read_json(path)
    assert str(told.value).startswith(str(path))
    assert "\n" not in str(told.value)
    assert "\x1b" not in str(told.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_json(tmp_path / "none.json")


def test_keys_that_others_added_are_passed_over(tmp_path):
    path = tmp_path / "more.json"
    path.write_text(json.dumps({**BASE, "checked_by": "me", "events": [{**EVENT, "comment": "loud"}]}))
    assert read_json(path).events == (Event("Dog", "audio", 0, 1, 0.5, 0.5),)
