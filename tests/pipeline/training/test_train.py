"""Runs: the same seed gives the same numbers; killed, resumed and spread over processes too."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.cli.main import main
from pipeline.evaluate import run_evaluation
from pipeline.train import run_training
from storage.errors import InvalidInput
from storage.store import FeatureStore

SMALL = ("train.epochs=3", "train.batch_size=16", "model.width=32", "model.encoder.feed_forward=32")
LEAP = (*SMALL, "model.decoder.feed_forward=32", "model.decoder.heads=4")
PLAIN = ("model.encoder.dropout=0.0", "model.decoder.dropout=0.0", "model.decoder.attention_dropout=0.0")


def arguments(made, out, recipe="leap-han", changes=LEAP):
    given = ["--recipe", recipe, "--store", made / "features.zarr", "--annotations", made / "annotations", "--out", out,
             "--device", "cpu"]  # fmt: skip
    return [str(part) for part in given] + [part for change in changes for part in ("--set", change)]


def run(made, out, recipe="leap-han", changes=LEAP, **more):
    return run_training(
        recipe=recipe, store_url=str(made / "features.zarr"), annotations=str(made / "annotations"), out=out,
        changes=changes, device="cpu", **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory):
    """A run of one epoch."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    run(made, out, changes=(*LEAP, "train.epochs=1"), keep_optimizer=True)
    return out


def metrics(out):
    return (out / "metrics.jsonl").read_bytes()


def test_a_run_leaves_everything_that_it_was_made_of(made, tmp_path):
    scores = run(made, tmp_path / "run")
    assert set(scores) == {"val", "test"}
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"recipe.toml", "provenance.json", "metrics.jsonl", "times.jsonl", "tensorboard", "best", "last",
                     "table.md", "scores.json", "predictions-val.npz", "predictions-test.npz"}  # fmt: skip
    entries = [json.loads(line) for line in metrics(tmp_path / "run").splitlines()]
    assert [entry["epoch"] for entry in entries] == [1, 2, 3]
    assert entries[-1]["loss"] < entries[0]["loss"]
    origin = json.loads((tmp_path / "run/provenance.json").read_text())
    assert origin["arrays"]["resnet152"]["weights"] == "random:1"
    assert origin["arrays"]["resnet152"]["fingerprint"] == FeatureStore.open(made / "features.zarr").fingerprint(
        "resnet152"
    )


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(made, tmp_path):
    for name, changes in (("a", LEAP), ("b", LEAP), ("c", (*LEAP, "train.seed=2"))):
        run(made, tmp_path / name, changes=changes)
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert metrics(tmp_path / "a") != metrics(tmp_path / "c")


@pytest.fixture(scope="module")
def start(made):
    """Starts a training process of its own, forked from a server that has done the slow imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "accelerate",
            "pipeline.training.loop",
            "pipeline.reports.evaluation",
            "torch.utils.tensorboard",
            "pipeline.train",
        ]
    )
    folders = {"store_url": str(made / "features.zarr"), "annotations": str(made / "annotations")}

    def begin(out, changes):
        given = {"recipe": "leap-han", "out": out, "changes": changes, "device": "cpu", **folders}
        process = context.Process(target=run_training, kwargs=given)
        process.start()
        return process

    return begin


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_killed_and_resumed_the_metrics_are_the_same_bytes(start, tmp_path):
    changes = (*LEAP, "train.epochs=5")
    whole = start(tmp_path / "whole", changes)
    for epochs in (1, 2, 3):  # before the kill
        process = start(tmp_path / "cut", changes)
        give_up = time.monotonic() + 60
        while process.is_alive() and time.monotonic() < give_up:
            written = tmp_path / "cut/metrics.jsonl"
            if written.exists() and len(written.read_bytes().splitlines()) >= epochs:
                time.sleep(0.01 * epochs)
                break
            time.sleep(0.005)
        process.kill()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    process = start(tmp_path / "cut", changes)
    for ended in (process, whole):
        ended.join(60)
        assert ended.exitcode == 0
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")


RANKED = """import os, pathlib
pathlib.Path(os.environ["RANKS"], os.environ["RANK"]).touch()
from pipeline.train import main
main()
"""


@pytest.fixture
def launched(tmp_path):
    """A function: two processes that train together, started as accelerate starts those of several GPUs."""
    script, ranks = tmp_path / "ranked.py", tmp_path / "ranks"
    script.write_text(RANKED)
    ranks.mkdir()

    def launch(given):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script]
        done = subprocess.run(
            [*command, *given], capture_output=True, text=True, timeout=240,
            env={**os.environ, "OMP_NUM_THREADS": "1", "RANKS": str(ranks)},
        )  # fmt: skip
        assert {path.name for path in ranks.iterdir()} == {"0", "1"}
        return done

    return launch


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_two_processes_give_the_losses_of_one(made, tmp_path, launched):
    changes = (*LEAP, *PLAIN, "train.batch_size=15", "train.epochs=2")
    run(made, tmp_path / "one", changes=changes)
    done = launched(arguments(made, tmp_path / "two", changes=changes))
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = ([json.loads(line)["loss"] for line in metrics(tmp_path / name).splitlines()] for name in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-4)
    assert one != two  # sums in another order
    assert len([*(tmp_path / "two/tensorboard").iterdir()]) == 1
    assert done.stdout.count("epoch 1/2: ") == done.stdout.count("train: ") == 1
    written = [json.loads(line)["epoch"] for line in (tmp_path / "two/times.jsonl").read_text().splitlines()]
    assert written == [1, 2]
    assert (tmp_path / "two/scores.json").is_file()
    assert "destroy_process_group" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_two_processes_end_when_the_first_refuses(made, tmp_path, launched):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    done = launched(arguments(made, tmp_path / "run"))
    assert done.returncode != 0
    assert done.stderr.count("contains other files. Choose another --out") == 1


def test_failed_clips_are_left_out_and_counted(made, tmp_path, capsys):
    from pipeline.exchange.repair import mark_rows
    from pipeline.exchange.verify_report import Problem

    shutil.copytree(made / "features.zarr", tmp_path / "features.zarr")
    store = FeatureStore.open(tmp_path / "features.zarr")
    problem = Problem("features/vggish", "x", "x", clips=(store.ids[3],), shard=0, rows=(3,), remedy="redo")
    mark_rows(store.url, [problem])
    shutil.copytree(made / "annotations", tmp_path / "annotations")
    run(tmp_path, tmp_path / "run", changes=(*LEAP, "train.epochs=1"))
    assert "1 left out: vggish: pending" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match="1 clips: vggish: pending"):
        run(tmp_path, tmp_path / "other", missing="error")


@pytest.mark.parametrize("recipe", ["leap-han", "valor-plus", "mmcse"])
def test_bfloat16_learns_as_float32_does_and_scores_in_float32(made, tmp_path, recipe):
    changes = ("train.epochs=2", "train.batch_size=16", "model.width=32", "train.learning_rate=1e-3")
    if recipe == "mmcse":
        changes += ("model.class_dim=8", "model.feed_forward=16", "model.heads=2", "model.layers=1")
    losses = {}
    for precision in ("float32", "bfloat16"):
        out = tmp_path / precision
        run(made, out, recipe=recipe, changes=(*changes, f"train.precision={precision}"))
        losses[precision] = [json.loads(line)["loss"] for line in metrics(out).splitlines()]
    assert losses["bfloat16"] != losses["float32"]
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.03)
    found = np.load(tmp_path / "bfloat16/predictions-val.npz")
    assert found["audio_segment"].dtype == np.float32
    assert load_file(tmp_path / "bfloat16/best/model.safetensors").popitem()[1].dtype == torch.float32


def test_thresholds_are_searched_on_val_and_applied_to_test(made, finished, tmp_path, capsys):
    copy = shutil.copytree(finished, tmp_path / "run")
    annotations = ["--annotations", str(made / "annotations")]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--run", str(copy), *annotations, "--search-thresholds", "--json", str(tmp_path / "s.json")])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert all(f"| run, {words} |" in out for words in ("val, at 0.5", "val, class thresholds", "test, at 0.5"))
    body = json.loads((tmp_path / "s.json").read_text())
    assert json.loads((copy / "thresholds.json").read_text()) == body["class_thresholds"]
    given = run_evaluation(run=copy, predictions=None, annotations=annotations[1],
                           thresholds=str(copy / "thresholds.json"))  # fmt: skip
    assert given == body["scores_with_class_thresholds"]
    assert body["scores"] == run_evaluation(run=copy, predictions=None, annotations=annotations[1])
    for more, words in ((["--split", "val"], "searches on val. Score another split"),
                        (["--classes"], "not with --classes. It writes a file for --thresholds")):  # fmt: skip
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", "--run", str(copy), *annotations, "--search-thresholds", *more])
        assert ended.value.code == 2
        assert words in capsys.readouterr().err


def test_float16_needs_a_gpu(made, tmp_path):
    with pytest.raises(InvalidInput, match=r"train\.precision=float16: needs a CUDA device"):
        run(made, tmp_path / "run", changes=(*LEAP, "train.precision=float16"))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_and_says_where(made, tmp_path):
    with pytest.raises(InvalidInput, match=r"epoch \d+, step \d+: the loss is (nan|inf)"):
        run(made, tmp_path / "run", changes=(*LEAP, "train.learning_rate=1e30", "train.epochs=9"))
    one_step = (*LEAP, "train.learning_rate=1e30", "train.batch_size=999")
    with pytest.raises(InvalidInput, match=r"epoch 1, val: the model predicts NaN \(audio_segment.*learning_rate"):
        run(made, tmp_path / "other", changes=one_step)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("features.audio=clap",), "the recipe needs audio 'clap', the store has r2plus1d_18, resnet152, vggish"),
        (("features.labels=bert",), "no labels 'bert'"),
        (("features.pseudo_labels=other",), "no pseudo_labels 'other'"),
        (("model.decoder.bloks=2",), "Did you mean blocks"),
        (("model.decoder.heads=5",), "5 heads do not divide 32 dimensions"),
        (("train.precision=half",), "expected one of float32"),
        (("loss.orthogonality=0.1",), "loss.orthogonality: only MM-CSE has it. Set loss.orthogonality=0"),
        (("features.pseudo_labels=",), "needs segment pseudo labels. Set features.pseudo_labels"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_no_folder(made, tmp_path, capsys, changes, words):
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments(made, tmp_path / "run", changes=(*LEAP, *changes))])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_run_is_refused(made, tmp_path):
    run(made, tmp_path / "run", changes=(*LEAP, "train.epochs=2"))
    with pytest.raises(InvalidInput, match=r"another recipe: train\.epochs 2 / 1"):
        run(made, tmp_path / "run", changes=(*LEAP, "train.epochs=1"))
    with pytest.raises(InvalidInput, match=r"another recipe: train\.epochs 2 / 3; train\.seed 1 / 2"):
        run(made, tmp_path / "run", changes=(*LEAP, "train.epochs=3", "train.seed=2"))


def test_killed_before_the_recipe_was_written_it_begins(made, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/provenance.json").write_text("{")
    (tmp_path / "run/.recipe.toml.partial").write_text("name = ")
    assert run(made, tmp_path / "run", changes=(*LEAP, "train.epochs=1"))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("provenance.json", "{", "provenance.json: cannot be read"),
        ("provenance.json", "[]", "provenance.json: expected store, clip_table, and arrays"),
        ("provenance.json", None, "provenance.json: cannot be read"),
        ("last/optimizer.pt", "", "is not the file that was written"),
        ("last/optimizer.pt", "no pickle", "is not the file that was written"),
    ],
)
def test_a_damaged_run_is_one_line(made, finished, tmp_path, file, content, words):
    copy = shutil.copytree(finished, tmp_path / "run")
    (copy / file).unlink()
    if content is not None:
        (copy / file).write_text(content)
    with pytest.raises(InvalidInput, match=words):
        run(made, copy, changes=(*LEAP, "train.epochs=1"))
    if file == "provenance.json":
        with pytest.raises(InvalidInput, match=words):
            run_evaluation(run=copy, predictions=None, annotations=str(made / "annotations"))


def test_learnable_labels_need_no_file(made, tmp_path):
    run(made, tmp_path / "run", changes=(*LEAP, "features.labels=learnable", "train.epochs=1"))


@pytest.mark.parametrize("recipe", ["valor-plus", "mmcse", "mmil-han", "han"])
def test_other_systems_train_and_evaluate(made, tmp_path, recipe):
    changes = ("train.epochs=1", "model.width=32")
    if recipe == "mmcse":
        changes += ("model.class_dim=8", "model.feed_forward=16", "model.heads=2", "model.layers=1")
    scores = run(made, tmp_path / "run", recipe=recipe, changes=changes)
    assert set(scores["val"]) >= {"seg_type", "ev_event", "average"}


def test_the_trainer_loads_neither_prefect_nor_an_extractor():
    code = (
        "import sys, pipeline.train, pipeline.evaluate, pipeline.training.loop, pipeline.reports.evaluation;"
        "bad = [n for n in sys.modules if n.split('.')[0] in ('prefect', 'extractors', 'flows')"
        " or n.startswith(('pipeline.decode', 'pipeline.extraction', 'pipeline.labels', 'pipeline.exchange'))];"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_line_starts_without_torch_and_pydantic():
    code = "import sys, pipeline.cli.main, pipeline.train; print(sorted({'torch', 'pydantic'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
