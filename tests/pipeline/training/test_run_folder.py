"""A run's folder is enough to make its model; folders of earlier versions go on working."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from pipeline.datasets.dataset import label_vectors, load_split
from pipeline.datasets.llp import load_annotations
from pipeline.evaluate import run_evaluation
from pipeline.models.config_tables import model_config
from pipeline.reports.evaluation import run_predictions
from pipeline.train import run_training
from pipeline.training.loaded_run import load_run
from pipeline.training.run_folder import LABELS, RECORD, record_of
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.store import FeatureStore

SMALL = ("train.epochs=1", "model.width=32", "model.encoder.feed_forward=32")
LEAP = (*SMALL, "model.decoder.feed_forward=32", "model.decoder.heads=4")


def train(made, out, recipe="leap-han", changes=LEAP):
    return run_training(
        recipe=recipe, store_url=str(made / "features.zarr"), annotations=str(made / "annotations"), out=out,
        changes=changes, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("folder") / "run"
    train(made, out)
    return out


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def predicted(run, made, split="test"):
    store, annotations = FeatureStore.open(made / "features.zarr"), load_annotations(made / "annotations")
    return run_predictions(run, store, annotations, split)


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [("leap-han", LEAP), ("leap-han", (*LEAP, "features.labels=learnable")), ("mmil-han", SMALL),
     ("mmcse", ("train.epochs=1", "model.width=32", "model.class_dim=8", "model.feed_forward=16", "model.heads=2",
                "model.layers=1"))],
)  # fmt: skip
def test_a_run_is_loaded_without_its_store_and_predicts_the_same_bits(made, tmp_path, recipe, changes):
    data = shutil.copytree(made, tmp_path / "data")
    train(data, tmp_path / "run", recipe, changes)
    clips = load_split(
        FeatureStore.open(made / "features.zarr"), load_annotations(made / "annotations"),
        load_run(tmp_path / "run").recipe.features, "test",
    )  # fmt: skip
    shutil.rmtree(data)
    run = load_run(tmp_path / "run")
    assert (run.origin, run.dataset.name, run.dataset.segments, run.dataset.clip_seconds) == ("trained", "llp", 10, 10)
    assert (run.labels is None) == (recipe != "leap-han" or "features.labels=learnable" in changes)
    with torch.inference_mode():
        out = run.model(**clips.batch(np.arange(len(clips))).features, labels=run.labels)
    kept = np.load(tmp_path / "run/predictions-test.npz")
    np.testing.assert_array_equal(out.visual_segment.numpy(), kept["visual_segment"])
    np.testing.assert_array_equal(out.union_video.numpy(), kept["union_video"])


def test_the_record_names_everything(finished, made):
    run, store = load_run(finished), FeatureStore.open(made / "features.zarr")
    assert {stream: feature.backbone for stream, feature in run.features.items()} == {
        "audio": "vggish", "visual_2d": "resnet152", "visual_3d": "r2plus1d_18",
    }  # fmt: skip
    audio = run.features["audio"]
    assert (audio.dim, audio.steps, audio.modality, audio.sampling) == (128, 10, "audio", "uniform")
    assert (audio.weights, audio.source) == ("random:1", "synthetic")
    assert audio.preprocessing == store.provenance("vggish").preprocessing
    record = record_of(finished)
    assert record.labels.group == "glove"
    assert record.labels.source == store.url
    assert model_config(record.model).width == 32
    assert run.weights.startswith("sha256:")
    assert torch.equal(run.labels, label_vectors(store, "glove", run.dataset.classes))


def test_a_run_of_an_earlier_version_is_evaluated_and_trained_on(run, made, capsys):
    before = predicted(run, made)
    (run / RECORD).unlink()
    (run / LABELS).unlink()
    again = predicted(run, made)
    for name, values in before.items():
        np.testing.assert_array_equal(again[name], values)
    assert run_evaluation(run=run, predictions=None, annotations=str(made / "annotations"))
    with pytest.raises(InvalidInput, match=r"has no model\.json.*Run the avvp train that made it once more"):
        load_run(run)
    metrics = (run / "metrics.jsonl").read_bytes()
    train(made, run)
    assert "nothing left to train after epoch 1" in capsys.readouterr().out
    assert (run / "metrics.jsonl").read_bytes() == metrics
    assert load_run(run).labels is not None


def test_the_runs_own_label_embeddings_are_used(run, made, tmp_path):
    """Not those of the store that is evaluated, which may be others."""
    before = predicted(run, made)
    data = shutil.copytree(made, tmp_path / "data")
    labels = LabelStore.open(str(data / "features.zarr"))
    found = labels.read_embeddings("glove")
    found.vectors[:] += 1
    labels.write_embeddings(found, rebuild=True)
    np.testing.assert_array_equal(predicted(run, data)["audio_segment"], before["audio_segment"])
    (run / "provenance.json").write_text((run / "provenance.json").read_text().replace(str(made), str(data)))
    with pytest.raises(InvalidInput, match="was trained with other label embeddings"):
        train(data, run)


def test_labels_can_be_imported_again(run, made, tmp_path):
    from pipeline.datasets.dataset_description import load_description
    from pipeline.labels.embeddings import read_label_file

    vectors, _ = read_label_file(run / LABELS, load_description("llp"))
    assert torch.equal(torch.from_numpy(vectors), load_run(run).labels)


@pytest.mark.parametrize("changed", ["", 'description = "a HAN"\n[model]\nsystem = "mmcse"', None])
def test_a_recipe_of_another_model_is_told(run, made, changed):
    text = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(text.replace("heads = 4", "heads = 8") if changed is None else changed)
    for use in (lambda: load_run(run), lambda: predicted(run, made)):
        with pytest.raises(InvalidInput, match=r"recipe\.toml and model\.json are of different models"):
            use()


def test_the_threshold_and_the_mask_may_be_changed(run, made):
    text = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(text.replace('mask = "union"', 'mask = "own"'))
    assert load_run(run).recipe.evaluate.mask == "own"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (RECORD, "{", "model.json: cannot be read"),
        (RECORD, "[]", "model.json: expected an object"),
        (RECORD, "{}", "model.json: the key 'origin' is missing"),
        (RECORD, '{"version": 9}', "is of format 9, this avvp reads 1. Install a newer"),
        (RECORD, {"features": {"audio": {"array": "x", "dim": 0, "modality": "audio", "backbone": "x"}}},
         "features: audio: dim: expected a whole number, 1 or more, got 0"),
        (RECORD, {"labels": {"group": "glove", "dim": 200, "source": "x"}}, "expected float32 embeddings [25, 200]"),
        (RECORD, {"model": {"name": "parser", "encoder": "hna"}}, "encoder: expected one of han"),
        (RECORD, {"extra\u001b[31m": 1}, "unknown key 'extra"),
        (LABELS, "no archive", "labels.npz: holds no label embeddings"),
        (LABELS, None, "labels.npz: holds no label embeddings"),
        (LABELS, {"classes": np.array(["a"] * 25)}, "labels.npz: expected float32 embeddings [25, 300]"),
        (LABELS, {"embeddings": np.zeros((25, 300))}, "labels.npz: expected float32 embeddings [25, 300]"),
        (LABELS, {"embeddings": np.full((25, 300), np.nan, np.float32)}, "not finite"),
    ],
)  # fmt: skip
def test_damaged_files_are_one_line(run, made, file, content, words):
    path = run / file
    if content is None:
        path.unlink()
    elif isinstance(content, str):
        path.write_text(content)
    elif file == RECORD:
        path.write_text(json.dumps(json.loads(path.read_text()) | content))
    else:
        np.savez(path, **(dict(np.load(path)) | content))
    for use in (lambda: load_run(run), lambda: predicted(run, made)):
        with pytest.raises(InvalidInput) as caught:
            use()
        assert words in str(caught.value)
        assert str(caught.value).isprintable()


def test_an_unfinished_run_has_no_model_yet(run, made):
    shutil.rmtree(run / "best")
    with pytest.raises(InvalidInput, match="has no finished epoch yet"):
        load_run(run)


def test_a_start_that_was_killed_begins_anew(made, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    for name in ("provenance.json", ".model.json.partial", "labels.npz", ".labels.npz.partial", ".recipe.toml.partial"):
        (out / name).write_text("{")
    train(made, out)
    assert load_run(out).labels is not None
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").touch()
    with pytest.raises(InvalidInput, match="contains other files"):
        train(made, tmp_path / "other")


def test_what_a_folder_holds_is_known_without_torch():
    code = "import sys, pipeline.training.run_folder; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"
