"""Files that anybody may have written: whatever they hold, a command ends with one line and exit code 2."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch

from pipeline.cli.main import main
from pipeline.datasets.dataset_description import load_description
from pipeline.reproduce.item import load_item
from pipeline.reproduce.runs import plan_row
from pipeline.train import run_training

LLP = load_description("llp")
RECIPE = ("train.epochs=1", "train.batch_size=32", "model.width=16", "model.encoder.feed_forward=16")
RANDOM = np.random.default_rng(0).bytes(4096)
CONTENTS = ("empty", "truncated", "text", "binary", "folder")
ARRAYS = ("names", "objects", "strings", "shape", "nan")


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory):
    """A run of one epoch."""
    out = tmp_path_factory.mktemp("foreign") / "run"
    run_training(
        recipe="han", store_url=str(made / "features.zarr"), annotations=str(made / "annotations"), out=out,
        changes=RECIPE, device="cpu", keep_optimizer=True,
    )  # fmt: skip
    return out


@pytest.fixture
def ends(capsys):
    """Runs the command line; gives the exit code and standard error."""

    def run(*arguments):
        with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return ended.value.code, capsys.readouterr().err

    return run


def damage(path, fault):
    """Put a fault into a good file."""
    good = path.read_bytes()
    path.unlink()
    if fault == "folder":
        path.mkdir()
    else:
        path.write_bytes({
            "empty": b"", "truncated": good[: len(good) // 2], "text": b"this = is [ no such file\n" * 9,
            "binary": RANDOM,
        }[fault])  # fmt: skip


def changed(arrays, fault, *, key):
    """Arrays with one of the faults of :data:`ARRAYS` in ``key``."""
    array = arrays[key]
    fresh = {
        "objects": lambda: np.array([None] * len(array), dtype=object),
        "strings": lambda: array.astype(str),
        "shape": lambda: array[:, :-1],
        "nan": lambda: np.full(array.shape, np.nan),
    }
    if fault == "names":
        return {f"{name}_": value for name, value in arrays.items()}
    return {**arrays, key: fresh[fault]()}


def predictions(made):
    from pipeline.datasets.llp import load_annotations

    truth = load_annotations(made / "annotations").split("test")
    return {"id": np.array(truth.ids), "audio_segment": truth.audio * 1.0, "visual_segment": truth.visual * 1.0}


def embeddings():
    return {"embeddings": np.eye(len(LLP.classes), 300, dtype=np.float32), "classes": np.array(LLP.classes)}


def is_one_line(found, *words):
    code, err = found
    assert code == 2, err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err


@pytest.mark.parametrize("fault", [*CONTENTS, *ARRAYS])
def test_predictions(made, ends, tmp_path, fault):
    path, arrays = tmp_path / "p.npz", predictions(made)
    np.savez(path, **(changed(arrays, fault, key="audio_segment") if fault in ARRAYS else arrays))
    if fault in CONTENTS:
        damage(path, fault)
    given = ["--predictions", path, "--annotations", made / "annotations"]
    is_one_line(ends("evaluate", *given), "p.npz")
    if fault in CONTENTS:
        is_one_line(ends("compare", path, path, "--annotations", made / "annotations"))


@pytest.mark.parametrize("ids", [np.array("x"), np.array([["a", "b"]]), np.array([1, 2])])
def test_names_of_videos_in_predictions(made, ends, tmp_path, ids):
    np.savez(tmp_path / "p.npz", **{**predictions(made), "id": ids})
    is_one_line(ends("evaluate", "--predictions", tmp_path / "p.npz", "--annotations", made / "annotations"), "p.npz")


@pytest.mark.parametrize("fault", [*CONTENTS, *ARRAYS])
def test_label_embeddings(made, ends, tmp_path, fault):
    path, arrays = tmp_path / "e.npz", embeddings()
    if fault == "shape":
        arrays["embeddings"] = arrays["embeddings"][:-1]
    elif fault in ARRAYS:
        arrays = changed(arrays, fault, key="embeddings")
    np.savez(path, **arrays)
    if fault in CONTENTS:
        damage(path, fault)
    given = ["--store", made / "features.zarr", "--embedder", "glove", "--import", path, "--rebuild"]
    is_one_line(ends("labels", *given), "e.npz")


@pytest.mark.parametrize("fault", [*CONTENTS, *ARRAYS[1:]])
def test_published_pseudo_labels(made, ends, tmp_path, fault):
    from pipeline.labels.label_files import FOLDERS
    from storage.store import FeatureStore

    stem = FeatureStore.open(made / "features.zarr").ids[0][:11]
    labels = {"labels": np.ones((10, 25), np.int64)}
    for folder in FOLDERS.values():
        path = tmp_path / folder / f"{stem}.npy"
        path.parent.mkdir(parents=True)
        np.save(path, (changed(labels, fault, key="labels") if fault in ARRAYS else labels)["labels"])
        if fault in CONTENTS:
            damage(path, fault)
    given = ["--store", made / "features.zarr", "--import", tmp_path, "--name", "other", "--subset"]
    is_one_line(ends("pseudo-labels", *given), f"{stem}.npy")


TABLES = {
    "recipe": ("evaluate", "run", "recipe.toml"),
    "provenance": ("evaluate", "run", "provenance.json"),
    "weights": ("evaluate", "run", "best/model.safetensors"),
    "weights to go on": ("train", "run", "last/model.safetensors"),
    "optimizer": ("train", "run", "last/optimizer.pt"),
    "progress": ("train", "run", "last/progress.json"),
    "scores": ("reproduce", "scores", "scores.json"),
    "table": ("reproduce", "file", "table.toml"),
    "thresholds": ("evaluate", "file", "t.json"),
    "dataset": ("evaluate", "file", "d.toml"),
    "prompts": ("labels", "file", "p.toml"),
    "teacher thresholds": ("pseudo-labels", "file", "t.toml"),
    "checkpoint": ("checkpoint", "file", "HAN.pt"),
    "safe checkpoint": ("checkpoint", "file", "HAN.safetensors"),
}
TABLE = 'title = "x"\npaper = "x"\nkind = "parsing"\n[[rows]]\nname = "x"\nrecipe = "han"\n'
WRONG = {
    "progress.json": ["[]", "{}", '{"epoch": "x"}', '{"epoch": -1, "best_epoch": 0, "best_score": 0, "history": []}',
                      '{"epoch": 1, "best_epoch": 0, "best_score": 0, "history": [3]}', "[" * 9999],
    "provenance.json": ["[]", '{"store": 3, "clip_table": "x", "arrays": {}}',
                        '{"store": "x", "clip_table": "x", "arrays": {"a": 3}}', "[" * 9999],
    "scores.json": ["[]", '{"test": 3}', '{"test": {"seg_a": "x"}}', "[" * 9999],
    "t.json": ["3", "{}", "[NaN]", json.dumps([None] * 25), json.dumps(["0.5"] * 25), json.dumps([True] * 25),
               json.dumps([[0.5]] * 25), json.dumps([float("nan")] * 25), "[" * 9999],
    "recipe.toml": ["train = 3", "[model]\nsystem = 3", "x = " + "[" * 9999],
    "d.toml": ["classes = 3", 'classes = ["a"]\nsegments = 1\nclip_seconds = nan', "x = " + "[" * 9999],
    "p.toml": ["prompts = 3", "[prompts]\nSpeech = 3", "x = " + "[" * 9999],
    "table.toml": ["title = 3", 'title = "x"\npaper = "x"\nkind = "x"', TABLE.replace('"han"', '"hna"'),
                   TABLE.replace('"han"', '"han"\nset = ["train.epoch=1"]'), TABLE + 'published = {a = "x"}',
                   "x = " + "[" * 9999],
    "t.toml": ["audio = 3\nvisual = 3", f"audio = {['x'] * 25}\nvisual = []", "x = " + "[" * 9999],
}  # fmt: skip


def commands(what, where, made):
    """The command that reads a file."""
    store, annotations = made / "features.zarr", made / "annotations"
    training = ["--recipe", "han", "--store", store, "--annotations", annotations, "--device", "cpu"]
    training += [part for change in RECIPE for part in ("--set", change)]
    return {
        "recipe": ["evaluate", "--run", where, "--annotations", annotations],
        "provenance": ["evaluate", "--run", where, "--annotations", annotations],
        "weights": ["evaluate", "--run", where, "--annotations", annotations],
        "weights to go on": ["train", *training, "--out", where],
        "optimizer": ["train", *training, "--out", where],
        "progress": ["train", *training, "--out", where],
        "scores": ["reproduce", where / "t.toml", "--store", store, "--annotations", annotations, "--out", where],
        "table": ["reproduce", where, "--store", store, "--annotations", annotations, "--out", where.parent / "out"],
        "thresholds": ["evaluate", "--predictions", where.parent / "p.npz", "--annotations", annotations,
                       "--thresholds", where],
        "dataset": ["evaluate", "--predictions", where.parent / "p.npz", "--annotations", annotations, "--dataset",
                    where],
        "prompts": ["labels", "--store", store, "--embedder", "bert", "--weights", "random:0", "--prompts", where],
        "teacher thresholds": ["pseudo-labels", "--store", store, "--thresholds", where, "--name", "other"],
        "checkpoint": ["checkpoint", "import", "--system", "han", where, where.parent / "out"],
        "safe checkpoint": ["checkpoint", "import", "--system", "han", where, where.parent / "out"],
    }[what]  # fmt: skip


@pytest.fixture
def laid(made, finished, tmp_path):
    """Puts a good file where its command looks for it; gives that file and the command."""

    def lay(what):
        _, kind, name = TABLES[what]
        if kind == "run":
            shutil.copytree(finished, tmp_path / "run")
            for part in ("best", "last"):  # what a file holds is looked at, not whether it was changed
                (tmp_path / "run" / part / "checksums.json").unlink()
            return tmp_path / "run" / name, commands(what, tmp_path / "run", made)
        if kind == "scores":
            (tmp_path / "t.toml").write_text(TABLE)
            (run,) = plan_row(load_item(str(tmp_path / "t.toml"))[1].rows[0], out=tmp_path, seeds=1, changes=())
            path = run.folder / "scores.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps({"test": {}}))
            return path, commands(what, tmp_path, made)
        path = tmp_path / name
        np.savez(tmp_path / "p.npz", **predictions(made))
        if path.suffix == ".pt":
            torch.save({"a": torch.zeros(3)}, path)
        elif path.suffix == ".safetensors":
            from safetensors.torch import save_file

            save_file({"a": torch.zeros(3)}, path)
        else:
            path.write_text("[0.5, 0.5" if path.suffix == ".json" else "x = [1,")
        return path, commands(what, path, made)

    return lay


@pytest.mark.parametrize(
    ("what", "fault"),
    [(what, fault) for what in TABLES for fault in CONTENTS if (what, fault) != ("scores", "folder")],  # just not ended
)
def test_damaged_files(laid, ends, what, fault):
    path, command = laid(what)
    damage(path, fault)
    is_one_line(ends(*command))


@pytest.mark.parametrize(
    ("what", "at"),
    [(what, at) for what, (*_, name) in TABLES.items() for at in range(len(WRONG.get(name.rpartition("/")[2], [])))],
)
def test_files_of_another_structure(laid, ends, what, at):
    path, command = laid(what)
    path.write_text(WRONG[path.name][at])
    is_one_line(ends(*command))


@pytest.mark.parametrize("content", [[1, 2], {1: torch.zeros(2)}, {"a": "text"}, {"state_dict": {"b": None}}, {}])
def test_checkpoints_of_another_structure(laid, ends, content):
    path, command = laid("checkpoint")
    torch.save(content, path)
    is_one_line(ends(*command))


@pytest.mark.parametrize("content", [[1, 2], {}, {"state": {}, "param_groups": [{"params": [7]}]}])
def test_optimizers_of_another_structure(laid, ends, content):
    path, command = laid("optimizer")
    torch.save(content, path)
    is_one_line(ends(*command), "optimizer.pt", "Give another --out")


@pytest.mark.parametrize("fault", ["names", "shape", "nan"])
def test_weights_of_another_model(laid, ends, fault):
    from safetensors.torch import load_file, save_file

    path, command = laid("weights")
    state = load_file(path)
    change = {
        "names": lambda name, value: (f"{name}_", value),
        "shape": lambda name, value: (name, value.flatten()[:-1].clone()),
        "nan": lambda name, value: (name, torch.full_like(value, torch.nan)),
    }[fault]
    save_file(dict(change(name, value) for name, value in state.items()), path)
    is_one_line(ends(*command))


def test_weights_of_an_earlier_version(laid, ends):
    from safetensors.torch import load_file, save_file

    path, command = laid("weights")
    state = load_file(path)
    assert any(name.startswith("input_projection.") for name in state)
    save_file({name.replace("input_projection.", "front_end."): value for name, value in state.items()}, path)
    code, err = ends(*command)
    assert code == 0, err
