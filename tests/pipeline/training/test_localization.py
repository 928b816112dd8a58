"""Event localization from end to end on made-up features, and its loss by hand."""

import json

import numpy as np
import pytest
import torch

from pipeline.cli.main import main
from pipeline.datasets.ave import load_events
from pipeline.evaluate import run_evaluation
from pipeline.models.config_tables import model_config
from pipeline.recipes.recipe import load_recipe
from pipeline.recipes.shipped_recipes import shipped_recipes
from pipeline.synthetic.events import EventDifficulty, write_event_features
from pipeline.train import run_training
from pipeline.training.loaded_run import load_run
from pipeline.training.optim import learning_rate
from storage.errors import InvalidInput
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore

RECIPES = [name for name in shipped_recipes() if load_recipe(name).task == "localization"]
SMALL = {
    "ave": ("model.encoder.hidden=16",),
    "dmrn": ("model.encoder.hidden=16",),
    "psp": ("model.encoder.hidden=16",),
    "cmbs": ("model.encoder.dim=16", "model.encoder.encoder_feed_forward=16", "model.encoder.decoder_feed_forward=16"),
}
LEAP = ("model.width=16", "model.decoder.feed_forward=16", "model.decoder.heads=2")


@pytest.fixture(scope="module")
def easy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ave")
    level = EventDifficulty(noise=0.5, clip_noise=0.2, empty=0.2)
    write_event_features(folder, count=300, seed=1, channels=4, difficulty=level)
    odd = FeatureSpec("odd", 64, 4, "audio")
    FeatureStore.open(folder / "features.zarr").ensure_feature(
        odd, Provenance("odd", "1", "none", {}, "uniform", "none")
    )
    return folder


def run(made, out, recipe, *changes, **more):
    method = next(name for name in SMALL if f"avel-{name}" in recipe)
    changes = (*SMALL[method], *(LEAP if recipe.startswith("leap") else ()), *changes)
    return run_training(
        recipe=recipe, store_url=str(made / "features.zarr"), annotations=str(made / "annotations"), out=out,
        changes=changes, device="cpu", **more,
    )  # fmt: skip


def evaluate(made, **options):
    return run_evaluation(**{"run": None, "predictions": None, "annotations": str(made / "annotations"), **options})


@pytest.mark.parametrize(("recipe", "epochs"), [("avel-psp", 3), ("leap-avel-psp", 6)])
def test_it_learns_from_the_label_of_the_video_alone(easy, tmp_path, recipe, epochs):
    changes = (f"train.epochs={epochs}", "train.batch_size=20", "train.learning_rate=3e-3", "model.encoder.hidden=32",
               "model.width=64", "localization.targets=category")  # fmt: skip
    scores = run(easy, tmp_path / "run", recipe, *changes)["test"]
    truth = load_events(easy / "annotations").split("test").segments
    commonest = 100 * np.bincount(truth.ravel()).max() / truth.size
    assert scores["accuracy"] > commonest + 15


@pytest.mark.parametrize("recipe", ["avel-psp-supervised", "avel-cmbs-supervised"])
def test_it_learns_when_an_event_happens(easy, tmp_path, recipe):
    small = ("model.encoder.dim=64",) if "cmbs" in recipe else ("model.encoder.hidden=32",)
    changes = ("train.epochs=5", "train.batch_size=20", "train.learning_rate=3e-3", *small)
    scores = run(easy, tmp_path / "run", recipe, *changes)["test"]
    truth = load_events(easy / "annotations").split("test").segments
    commonest = 100 * np.bincount(truth.ravel()).max() / truth.size
    assert scores["accuracy"] > commonest + 15


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_goes_on_and_is_scored(easy, tmp_path, recipe):
    run(easy, tmp_path / "run", recipe, "train.epochs=1", "train.batch_size=100")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"recipe.toml", "metrics.jsonl", "table.md", "scores.json", "predictions-test.npz", "best", "last"}
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert set(scores["test"]) == {"accuracy", "foreground", "background"}
    again = evaluate(easy, run=tmp_path / "run")
    assert again == pytest.approx(scores["test"])
    assert "background everywhere, test" in (tmp_path / "run/table.md").read_text()
    loaded, kept = load_run(tmp_path / "run"), np.load(tmp_path / "run/predictions-test.npz")
    assert (loaded.dataset.background, loaded.dataset.name) == ("Background", "ave")
    store = FeatureStore.open(easy / "features.zarr")
    values = {stream: store.read(one.array, list(kept["id"])) for stream, one in loaded.features.items()}
    with torch.inference_mode():
        found = loaded.model(**{name: torch.from_numpy(array) for name, array in values.items()}, labels=loaded.labels)
    np.testing.assert_allclose(found.segment.numpy(), kept["segment"], atol=1e-6)


def test_the_same_seed_gives_the_same_bytes(easy, tmp_path):
    for name in ("a", "b"):
        run(easy, tmp_path / name, "leap-avel-ave", "train.epochs=1", "train.batch_size=100")
    assert (tmp_path / "a/metrics.jsonl").read_bytes() == (tmp_path / "b/metrics.jsonl").read_bytes()


def test_runs_are_compared_in_pairs(easy, tmp_path, capsys):
    labels = load_events(easy / "annotations").split("test")
    right, wrong = labels.one_hot * 1.0, np.roll(labels.one_hot, 1, axis=2) * 1.0
    for name, segment in (("good", right), ("half", np.where(np.arange(10)[:, None] < 5, right, wrong))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text(load_recipe("avel-ave").to_toml())
        np.savez(tmp_path / name / "predictions-test.npz", id=np.asarray(labels.ids), segment=segment)
    runs = [str(tmp_path / name) for name in ("good", "half")]
    with pytest.raises(SystemExit) as ended:
        main(["compare", *runs, "--annotations", str(easy / "annotations")])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "half minus good: accuracy -50.00 [-50.0, -50.0]" in out
    assert "| half | 50.00 |" in out
    with pytest.raises(SystemExit) as ended:
        main(["compare", *runs, "--annotations", str(easy / "annotations"), "--picture", "x=y.svg"])
    assert ended.value.code == 2
    assert "--picture, --classes and --bars are for parsing" in capsys.readouterr().err


def test_anyones_predictions_are_scored(easy, tmp_path, capsys):
    labels = load_events(easy / "annotations").split("test")
    file = tmp_path / "p.npz"
    np.savez(file, id=np.asarray(labels.ids), segment=labels.one_hot.astype(np.float32))
    report = tmp_path / "s.json"
    scores = evaluate(easy, predictions=str(file), intervals=True, classes=True, json_file=report)
    assert set(scores.values()) == {100.0}
    assert "| Background |" in capsys.readouterr().out
    assert json.loads(report.read_text())["intervals"]["accuracy"]["low"] == 100
    np.savez(file, id=np.asarray(labels.ids), segment=labels.one_hot * 1.0, event=np.zeros(labels.segments.shape))
    assert evaluate(easy, predictions=str(file))["foreground"] == 0
    assert evaluate(easy, predictions=str(file), threshold=0.0)["foreground"] == 100


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.update(segment=p["segment"][:, :9]), "segment is [50, 9, 29], expected [50, 10, 29]"),
        (lambda p: p.update(id=np.array(["x"] * 50)), "50 ids are not in test, e.g. 'x'"),
        (lambda p: p.update(id=np.array([p["id"][0]] * 50)), "is there more than once"),
        (lambda p: p.update(segment=np.full((50, 10, 29), np.nan)), "values of segment are NaN"),
        (lambda p: p.update(segment=np.full((50, 10, 29), "x")), "segment holds <U1, expected numbers"),
    ],
)
def test_bad_predictions_are_one_line(easy, tmp_path, capsys, change, words):
    labels = load_events(easy / "annotations").split("test")
    parts = {"id": np.asarray(labels.ids), "segment": labels.one_hot * 1.0}
    change(parts)
    np.savez(tmp_path / "p.npz", **parts)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--predictions", str(tmp_path / "p.npz"), "--annotations", str(easy / "annotations")])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_options_of_parsing_are_refused(easy, tmp_path):
    labels = load_events(easy / "annotations").split("test")
    np.savez(tmp_path / "p.npz", id=np.asarray(labels.ids), segment=labels.one_hot * 1.0)
    with pytest.raises(InvalidInput, match="--mask, --overlap is for parsing"):
        evaluate(easy, predictions=str(tmp_path / "p.npz"), mask="union", overlap="union")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            ("features.visual_2d=resnet152",),
            "the recipe needs visual_2d 'resnet152', the store has odd, vgg19_pool5, vggish",
        ),
        (("features.visual_2d=",), "features.visual_2d is empty, but this model reads it"),
        (("features.visual_3d=vggish",), "features.visual_3d is not read by this model"),
        (("train.select=seg_type",), "train.select: expected one of accuracy, foreground, background, got 'seg_type'"),
        (("localization.video=1.0",), "only LEAP gives probabilities of the video"),
        (("localization.pooled=0.0",), "every weight is 0"),
        (("model.positions=48",), "which 48 positions do not divide"),
        (("model.pooling=top",), "pooling top needs the gates of cmbs; ave has none"),
        (("features.pseudo_labels=valor",), "features.pseudo_labels and evaluate.mask are for parsing"),
        (("features.audio=odd",), "features.audio: odd has 64 steps, which do not fill 10 segments"),
    ],
)
def test_what_does_not_fit_is_said(easy, tmp_path, changes, words):
    with pytest.raises(InvalidInput, match=words):
        run(easy, tmp_path / "run", "avel-ave", *changes, "train.epochs=1")


def test_a_model_of_the_other_task_is_refused(easy, tmp_path):
    with pytest.raises(InvalidInput, match="task is localization, but its model is a parser"):
        run_training(
            recipe="avel-ave", store_url=str(easy / "features.zarr"), annotations=str(easy / "annotations"),
            out=tmp_path / "run", changes=("model.system=han",), device="cpu",
        )  # fmt: skip


def test_recipes_say_what_is_published():
    psp, cmbs = (load_recipe(name).train for name in ("leap-avel-psp", "avel-cmbs"))
    rates = [learning_rate(psp, epoch) for epoch in (1, 80, 81, 160, 161, 300)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 8e-4, 8e-4, 6.4e-4, 6.4e-4])
    rates = [learning_rate(cmbs, epoch) for epoch in (1, 10, 11, 20, 21, 40, 41, 200)]
    np.testing.assert_allclose(rates, [6e-4, 6e-4, 3e-4, 3e-4, 1.5e-4, 1.5e-4, 7.5e-5, 7.5e-5])
    psp, cmbs = (load_recipe(f"avel-{name}-supervised").train for name in ("psp", "cmbs"))
    rates = [learning_rate(psp, epoch) for epoch in (60, 61, 120, 121, 300)]
    np.testing.assert_allclose(rates, [1e-3, 8e-4, 8e-4, 6.4e-4, 6.4e-4])
    rates = [learning_rate(cmbs, epoch) for epoch in (10, 11, 20, 21, 30, 31, 200)]
    np.testing.assert_allclose(rates, [7e-4, 3.5e-4, 3.5e-4, 1.75e-4, 1.75e-4, 8.75e-5, 8.75e-5])
    for name in RECIPES:
        recipe = load_recipe(name)
        assert recipe.model["system"] == name == recipe.name
        assert bool(recipe.localization.video) == bool(recipe.features.labels) == name.startswith("leap")
        assert model_config(recipe.model).classes == 29
        psp, supervised = "psp" in name, name.endswith(("dmrn", "supervised"))
        assert recipe.train.ties == ("first" if "cmbs" in name or (supervised and not psp) else "last")
        assert bool(recipe.localization.pooled) != supervised
