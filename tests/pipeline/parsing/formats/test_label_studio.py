"""Label Studio's task and configuration: that they fit each other, and that Label Studio's own reader takes them."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from pipeline.parsing.formats.label_studio import to_config, to_tasks
from pipeline.parsing.parsed_video import Event


def test_the_task(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (task,) = json.loads(to_tasks(video))
    assert task["data"] == {
        "video": f"/data/local-files/?d={str(tmp_path).removeprefix('/')}/clips/holiday.mp4",
        "file": "holiday.mp4",
        "notes": "The last second has no picture.",
    }
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "runs/leap (run)"
    assert prediction["score"] == pytest.approx(0.7706)
    assert prediction["result"][1] == {
        "id": "audio-2",
        "from_name": "audio_events",
        "to_name": "audio",
        "type": "labels",
        "origin": "prediction",
        "original_length": 11.28,
        "value": {"start": 1.0, "end": 3.0, "channel": 0, "labels": ["Speech"]},
        "score": 0.7,
    }
    assert [region["from_name"] for region in prediction["result"]] == ["audio_events"] * 3 + ["visual_events"]
    assert len({region["id"] for region in prediction["result"]}) == 4


def test_every_region_is_a_choice_of_the_configuration(odd_video, video):
    for parsed in (odd_video, video):
        root = ET.fromstring(to_config(parsed))
        choices = {control.get("name"): {label.get("value") for label in control} for control in root.iter("Labels")}
        assert len(choices["audio_events"]) == len(parsed.classes)
        for region in json.loads(to_tasks(parsed))[0]["predictions"][0]["result"]:
            assert set(region["value"]["labels"]) <= choices[region["from_name"]]


def test_a_file_without_sound_has_a_time_line_all_the_same(video):
    def decoder(parsed):
        return ET.fromstring(to_config(parsed)).find("Audio").get("decoder")

    silent = replace(video, probabilities={"visual": video.probabilities["visual"]})
    assert decoder(silent) == "none"
    assert decoder(video) is None
    assert decoder(replace(video, probabilities={})) is None  # read from JSON without grids: not known


def test_bytes_that_are_no_utf_8_reach_no_text(make_video):
    parsed = make_video(path="/tmp/\udcff.mp4", notes=("bad name \udcff",))
    json.dumps(json.loads(to_tasks(parsed)), ensure_ascii=False).encode("utf-8")
    assert "?d=tmp/%FF.mp4" in to_tasks(parsed)


def test_odd_paths_and_random_weights(odd_video):
    (task,) = json.loads(to_tasks(odd_video))
    assert task["data"]["video"] == (
        "/data/local-files/?d=tmp/vi%20deos/Gr%C3%B6%C3%9Fe%20%231%20100%25%20%26%20%3Cq%3E.mp4"
    )
    assert task["predictions"][0]["model_version"] == "m --> n x (zero-shot with random weights)"


def test_no_events_and_no_score(make_video):
    assert json.loads(to_tasks(make_video()))[0]["predictions"] == [{"model_version": "runs/leap (run)", "result": []}]
    silent = make_video([Event("Dog", "visual", 0, 1, float("nan"), float("nan"))])
    assert "score" not in to_tasks(silent)


def test_label_studio_takes_them(video, odd_video, make_video):
    interface = pytest.importorskip(
        "label_studio_sdk.label_interface", reason="needs the PyPI package label-studio-sdk, which no extra brings"
    )
    for parsed in (video, odd_video, make_video()):
        (task,) = json.loads(to_tasks(parsed))
        config = interface.LabelInterface(to_config(parsed))
        config.validate()
        assert config.validate_task({"data": task["data"]})
        assert config.validate_prediction(task["predictions"][0], return_errors=True) == []
