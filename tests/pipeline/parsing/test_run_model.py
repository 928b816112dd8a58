"""A run parses a clip as it is scored, and says what it cannot parse."""

import json

import numpy as np
import pytest

from pipeline.datasets.llp import load_annotations
from pipeline.parsing.formats.json_reading import read_json
from pipeline.reports.evaluation import decide_predictions, run_predictions
from storage.store import FeatureStore

SMALL = ("--set", "model.width=16", "--set", "model.encoder.feed_forward=16", "--set", "train.epochs=2",
         "--set", "train.batch_size=4", "--set", "train.learning_rate=3e-3", "--device", "cpu")  # fmt: skip
FEATURES = ("--set", "features.audio=toy_audio", "--set", "features.visual_2d=toy_visual",
            "--set", "features.visual_3d=toy_visual")  # fmt: skip


@pytest.fixture(params=["uniform", "published"])
def trained(avvp, tmp_path, request):
    """A small run on toy features of made-up clips; gives its folder, and that of the clips."""
    made = tmp_path / "made"
    assert avvp("synthetic", made, "--count", 8)[0] == 0
    store = tmp_path / "toy.zarr"
    code, _, err = avvp("extract", "--clips", made / "annotations", "--media", made / "clips", "--store", store,
                        "--backbone", "toy_audio", "--backbone", "toy_visual", "--weights", "random:3",
                        "--sampling", request.param, "--workers", 1)  # fmt: skip
    assert code == 0, err
    run = tmp_path / "run"
    code, _, err = avvp("train", "--recipe", "han", "--store", store, "--annotations", made / "annotations",
                        "--out", run, *SMALL, *FEATURES)  # fmt: skip
    assert code == 0, err
    return run, made


def test_a_clip_gets_the_decisions_that_are_scored(avvp, trained, tmp_path):
    run, made = trained
    labels = load_annotations(str(made / "annotations"))
    clips = sorted((made / "clips").glob("*.mp4"))
    code, _, err = avvp(
        "parse", *clips, "--model", run, "--out", tmp_path / "out", "--probabilities", "--format", "json"
    )
    assert code == 0, err
    assert "RANDOM WEIGHTS in toy_audio, toy_visual" in err
    compared = 0
    for split in ("val", "test"):
        found = run_predictions(run, FeatureStore.open(tmp_path / "toy.zarr"), labels, split)
        expected = decide_predictions(found, labels, split, mask="union", threshold=0.5)
        for row, name in enumerate(expected.ids):
            video = read_json(tmp_path / "out" / f"{name.rsplit('_', 2)[0]}.json")
            np.testing.assert_array_equal(video.decided["audio"], expected.audio[row])
            np.testing.assert_array_equal(video.decided["visual"], expected.visual[row])
            np.testing.assert_allclose(video.probabilities["audio"], found["audio_segment"][row], atol=1e-6)
            compared += 1
    assert compared == 2
    facts = json.loads((tmp_path / "out" / "synth-00000.json").read_text())["model"]
    assert facts["kind"] == "run"
    assert facts["weights"]["parser"].startswith("sha256:")
    assert facts["weights"]["toy_audio"] == "random:3"


def test_other_weights_than_those_of_the_features_are_refused(avvp, trained):
    run, made = trained
    code, _, err = avvp("parse", made / "clips", "--model", run, "--weights", "toy_audio=random:4")
    assert code == 2
    assert "was trained on features of toy_audio with weights random:3, these are random:4" in err


def test_runs_that_no_video_fits_are_refused(avvp, tmp_path):
    avvp("synthetic", tmp_path / "toy", "--features", "--count", "24")
    run = tmp_path / "run"
    code, _, err = avvp("train", "--recipe", "han", "--store", tmp_path / "toy" / "features.zarr",
                        "--annotations", tmp_path / "toy" / "annotations", "--out", run, *SMALL)  # fmt: skip
    assert code == 0, err
    (tmp_path / "x.mp4").write_bytes(b"x")
    code, _, err = avvp("parse", tmp_path / "x.mp4", "--model", run)
    assert code == 2
    assert "was trained on made-up features of vggish, which no video has" in err
