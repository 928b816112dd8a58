"""A run finds its store when both were moved, and never takes another one for it."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.cli.main import main
from pipeline.evaluate import run_evaluation
from pipeline.synthetic.features import write_features
from pipeline.train import run_training
from pipeline.training.run_folder import provenance_of
from pipeline.training.run_store import open_run_store
from storage.errors import InvalidInput, StoreError

SMALL = ("train.epochs=1", "model.width=16", "model.encoder.feed_forward=16")


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A folder with data and a run, trained from within it with relative paths."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder / "data")
    monkeypatch.chdir(folder)
    run_training(
        recipe="han", store_url="data/features.zarr", annotations="data/annotations", out=Path("runs/han"),
        changes=SMALL, device="cpu",
    )  # fmt: skip
    monkeypatch.chdir("/")
    return folder


def test_the_store_is_recorded_from_the_root_and_found_from_any_folder(project):
    assert provenance_of(project / "runs/han")["store"] == str(project / "data/features.zarr")
    assert open_run_store(project / "runs/han").url == str(project / "data/features.zarr")
    before = run_evaluation(run=project / "runs/han", predictions=None, annotations=str(project / "data/annotations"))
    assert 0 <= before["average"] <= 100


def test_moved_together_they_find_each_other(project, capsys):
    moved = project.rename(project.with_name("elsewhere"))
    assert open_run_store(moved / "runs/han").url == str(moved / "data/features.zarr")
    assert f"is not there; taking {moved / 'data/features.zarr'}" in capsys.readouterr().err
    run_evaluation(run=moved / "runs/han", predictions=None, annotations=str(moved / "data/annotations"))


def test_a_store_beside_the_run_is_found(project):
    (project / "data/features.zarr").rename(project / "runs/features.zarr")
    assert open_run_store(project / "runs/han").url == str(project / "runs/features.zarr")


def test_a_run_of_an_earlier_version_looks_beside_itself(project):
    run = project / "runs/han"
    old = provenance_of(run) | {"store": "data/features.zarr"}
    del old["store_from_run"]
    (run / "provenance.json").write_text(json.dumps(old))
    with pytest.raises(InvalidInput, match=r"its store data/features\.zarr is not there\. Say where it is: --store"):
        open_run_store(run)
    (project / "data/features.zarr").rename(project / "runs/features.zarr")
    assert open_run_store(run).url == str(project / "runs/features.zarr")


def test_a_store_with_other_clips_is_not_taken(project, tmp_path, capsys):
    shutil.rmtree(project / "data/features.zarr")
    write_features(tmp_path / "other", count=20, seed=5)
    (tmp_path / "other/features.zarr").rename(project / "runs/features.zarr")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--run", str(project / "runs/han"), "--annotations", str(project / "data/annotations")])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert f"{project / 'runs/features.zarr'} has other clips. Say where it is: --store STORE" in err
    assert err.count("\n") == 1


def test_a_store_with_other_clips_that_is_given_is_taken_and_told(project, tmp_path, capsys):
    store = write_features(tmp_path / "other", count=20, seed=5)
    assert open_run_store(project / "runs/han", str(store.url)).url == str(store.url)
    assert capsys.readouterr().err.split() == (
        f"{project / 'runs/han'}: {store.url} has other clips than the store that this run was trained on".split()
    )
    open_run_store(project / "runs/han", str(project / "data/features.zarr"))
    assert capsys.readouterr().err == ""


def test_a_url_stays_as_it_is_and_what_is_given_is_taken(project, made):
    assert open_run_store(project / "runs/han", str(made / "features.zarr")).url == str(made / "features.zarr")
    with pytest.raises(StoreError, match="no feature store here"):
        open_run_store(project / "runs/han", str(made / "absent.zarr"))
    run = project / "runs/han"
    (run / "provenance.json").write_text(json.dumps(provenance_of(run) | {"store": "memory://gone.zarr"}))
    with pytest.raises(InvalidInput, match=r"its store memory://gone\.zarr is not there\. Say where it is: --store"):
        open_run_store(run)


def test_a_file_in_the_place_of_a_runs_folder_is_one_line(project, capsys):
    (project / "taken").write_text("x")
    data = ["--store", str(project / "data/features.zarr"), "--annotations", str(project / "data/annotations")]
    for out in ("taken", "taken/run"):
        with pytest.raises(SystemExit) as ended:
            main(["train", "--recipe", "han", *data, "--out", str(project / out)])
        assert ended.value.code == 2
        assert "a file is where a folder is wanted" in capsys.readouterr().err
