"""Training begins with the weights of another run, trained or imported."""

import numpy as np
import pytest
import torch

from pipeline.train import run_training
from pipeline.training.imported_run import GivenLabels, import_official
from pipeline.training.loaded_run import load_run
from pipeline.training.loop import Trainer
from pipeline.training.run_folder import provenance_of
from pipeline.training.run_start import labels_note
from storage.errors import InvalidInput, WeightsError


def train_from(init, out, made, *changes, recipe=None):
    return run_training(
        recipe=recipe, init=init, store_url=str(made / "features.zarr"), annotations=str(made / "annotations"), out=out,
        changes=("train.batch_size=32", *changes), device="cpu",
    )  # fmt: skip


def test_training_begins_with_imported_weights_and_resumes(state_file, made, tmp_path, capsys):
    start, out = tmp_path / "start", tmp_path / "tuned"
    import_official("han", state_file("han"), start)
    train_from(start, out, made, "train.epochs=1", "train.learning_rate=0.0")
    assert f"{out}: begins with the weights of {start}" in capsys.readouterr().out
    ours, theirs = load_run(out).model.state_dict(), load_run(start).model.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    init = provenance_of(out)["init"]
    assert init == {"run": str(start), "weights": load_run(start).weights}
    metrics = (out / "metrics.jsonl").read_bytes()
    train_from(start, out, made, "train.epochs=1", "train.learning_rate=0.0")
    assert "nothing left to train after epoch 1" in capsys.readouterr().out
    assert (out / "metrics.jsonl").read_bytes() == metrics
    with pytest.raises(InvalidInput, match=r"began with the weights of .*start, and is to go on with fresh"):
        train_from(None, out, made, "train.epochs=1", "train.learning_rate=0.0", recipe="han")


def test_stopped_in_any_epoch_it_ends_with_the_same_metrics(state_file, made, tmp_path, monkeypatch):
    import_official("han", state_file("han"), tmp_path / "start")
    train_from(tmp_path / "start", tmp_path / "whole", made, "train.epochs=2")
    run_epoch = Trainer._epoch
    for stopped in (1, 2):

        def stop(trainer, epoch, on_step, at=stopped):
            if epoch == at:
                raise KeyboardInterrupt
            return run_epoch(trainer, epoch, on_step)

        monkeypatch.setattr(Trainer, "_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            train_from(tmp_path / "start", tmp_path / "cut", made, "train.epochs=2")
    monkeypatch.setattr(Trainer, "_epoch", run_epoch)
    train_from(tmp_path / "start", tmp_path / "cut", made, "train.epochs=2")
    whole, cut = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut"))
    assert cut == whole


def test_other_label_embeddings_than_the_initial_runs_are_told(state_file, tmp_path):
    vectors = np.random.default_rng(3).standard_normal((25, 300)).astype(np.float32)
    import_official("leap-han", state_file("leap-han"), tmp_path / "run", labels=GivenLabels(vectors, "x", "sha256:x"))
    assert labels_note(tmp_path / "run", torch.from_numpy(vectors)) == ""
    assert "reads other label embeddings" in labels_note(tmp_path / "run", torch.from_numpy(vectors + 1))


def test_weights_that_do_not_fit_to_begin_with_are_one_line(state_file, made, tmp_path):
    import_official("han", state_file("han"), tmp_path / "start")
    with pytest.raises(WeightsError, match=r"size mismatch.*--recipe .*start/recipe\.toml$") as caught:
        train_from(tmp_path / "start", tmp_path / "out", made, "model.width=16", recipe="han")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InvalidInput, match="is no run"):
        train_from(tmp_path, tmp_path / "out", made)
    with pytest.raises(InvalidInput, match="give --recipe RECIPE, or --init RUN"):
        train_from(None, tmp_path / "out", made)


def test_an_imported_run_is_not_trained_on(state_file, made, store, tmp_path):
    import_official("han", state_file("han"), tmp_path / "run", store_url=store.url)
    with pytest.raises(InvalidInput, match=r"is an imported checkpoint.*--init .*run --out NEW"):
        run_training(recipe="han", store_url=store.url, annotations=str(made / "annotations"), out=tmp_path / "run")
