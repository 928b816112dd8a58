"""Checkpoints: damage is seen, a full disk ends in one line, and a finished run may be given more epochs."""

import errno
import shutil
from pathlib import Path

import pytest
import torch

from pipeline.cli.main import main
from pipeline.train import run_training
from pipeline.training import checkpoint as checkpoints
from pipeline.training.checkpoint import load_progress, load_weights, save_checkpoint
from pipeline.training.loaded_run import load_run
from storage.errors import InvalidInput, WeightsError

SMALL = ("train.batch_size=16", "model.width=32", "model.encoder.feed_forward=32")


def run(made, out, *, changes=(), **more):
    return run_training(
        recipe="han", store_url=str(made / "features.zarr"), annotations=str(made / "annotations"), out=out,
        changes=(*SMALL, *changes), device="cpu", **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def two_epochs(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "two"
    run(made, out, epochs=2, keep_optimizer=True)
    return out


@pytest.fixture
def copied(two_epochs, tmp_path):
    return shutil.copytree(two_epochs, tmp_path / "run")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(data)


def test_a_flipped_bit_of_the_best_weights(copied):
    flip(copied / "best/model.safetensors")
    with pytest.raises(WeightsError, match=r"best/model\.safetensors: is not the file that was written"):
        load_run(copied)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "progress.json"])
def test_a_flipped_bit_of_what_training_goes_on_from(made, copied, name):
    flip(copied / "last" / name)
    with pytest.raises((WeightsError, InvalidInput), match=rf"last/{name}: is not the file that was written"):
        run(made, copied, epochs=3)


def test_damaged_checksums(copied):
    flip(copied / "best/checksums.json")
    with pytest.raises(WeightsError, match=r"best/checksums\.json: is damaged"):
        load_run(copied)


def test_checkpoints_of_earlier_versions_have_no_checksums(copied):
    (copied / "best/checksums.json").unlink()
    assert load_run(copied).model is not None


@pytest.fixture
def full_disk(monkeypatch):
    """No file of a checkpoint can be written to the end any more."""
    written = checkpoints._write_all

    def fill(folder, files):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "model.safetensors"))

    def set_full(full):
        monkeypatch.setattr(checkpoints, "_write_all", fill if full else written)

    return set_full


def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_later(made, two_epochs, full_disk, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["train", "--recipe", "han", "--store", made / "features.zarr", "--annotations", made / "annotations"]
    command += ["--out", out, "--device", "cpu", "--keep-optimizer"]
    command = [str(part) for part in command] + [part for change in SMALL for part in ("--set", change)]
    with pytest.raises(SystemExit):
        main([*command, "--epochs", "1"])
    full_disk(True)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--epochs", "2"])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.count("\n") == 1
    assert "No space left on device. Mend it and run again" in err
    assert not list(out.glob(".*.partial/*"))
    full_disk(False)
    with pytest.raises(SystemExit) as ended:
        main([*command, "--epochs", "2"])
    assert ended.value.code == 0
    for name in ("metrics.jsonl", "best/model.safetensors", "last/model.safetensors", "recipe.toml"):
        assert (out / name).read_bytes() == (two_epochs / name).read_bytes()


def test_more_epochs_give_the_bytes_of_a_longer_run(made, copied, tmp_path):
    run(made, copied, epochs=3)
    run(made, tmp_path / "whole", epochs=3)
    for name in ("metrics.jsonl", "best/model.safetensors", "last/model.safetensors", "recipe.toml"):
        assert (copied / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_without_the_optimizer_a_run_cannot_grow(made, tmp_path, capsys):
    run(made, tmp_path / "run", epochs=1)
    assert sorted(file.name for file in (tmp_path / "run/last").iterdir()) == [
        "checksums.json", "model.safetensors", "progress.json",
    ]  # fmt: skip
    recipe = (tmp_path / "run/recipe.toml").read_bytes()
    with pytest.raises(InvalidInput, match=r"optimizer\.pt: is missing: a run drops it when it ends.*--init .*/run "):
        run(made, tmp_path / "run", epochs=2)
    assert (tmp_path / "run/recipe.toml").read_bytes() == recipe
    capsys.readouterr()
    run(made, tmp_path / "run", epochs=1)
    assert "nothing left to train after epoch 1" in capsys.readouterr().out


def test_a_schedule_that_spans_all_epochs_does_not_grow(made, tmp_path):
    cosine = ("train.schedule=warmup_cosine", "train.warmup_epochs=1")
    run(made, tmp_path / "run", changes=cosine, epochs=1, keep_optimizer=True)
    with pytest.raises(
        InvalidInput, match=r"1 epochs, and its learning rate \(train\.schedule=warmup_cosine\) depends"
    ):
        run(made, tmp_path / "run", changes=cosine, epochs=2)


def test_a_checkpoint_comes_back(tmp_path):
    torch.manual_seed(0)
    model, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    progress = checkpoints.Progress(1, 1, 0.5, [{"epoch": 1}])
    save_checkpoint(tmp_path / "last", model, optimizer=optimizer, progress=progress)
    load_weights(Path(tmp_path / "last"), other)
    assert torch.equal(other.weight, model.weight)
    again = torch.optim.Adam(other.parameters())
    assert load_progress(tmp_path / "last", again, epochs=2) == progress
    assert again.state_dict()["state"][0]["step"] == 1
