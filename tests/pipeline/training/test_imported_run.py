"""A published checkpoint is a run at once: evaluate, compare, load and train from it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.datasets.dataset import label_vectors, load_split
from pipeline.evaluate import run_evaluation
from pipeline.models.config import PARSERS
from pipeline.models.official.loading import load_official
from pipeline.recipes.recipe import load_recipe
from pipeline.reports.comparison import compare_runs
from pipeline.reports.evaluation import run_predictions
from pipeline.synthetic.features import write_shards
from pipeline.train import run_training
from pipeline.training.imported_run import import_official
from pipeline.training.loaded_run import load_run
from pipeline.training.run_folder import provenance_of, recipe_of, record_of
from storage.clips import ClipTable
from storage.errors import AvvpError, InvalidInput
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore

CLASSIC = ("vggish", "resnet152", "r2plus1d_18")
PARTS = ("audio_segment", "visual_segment", "union_video", "audio_video", "visual_video")


def by_hand(model, labels, store, annotations, recipe, split="test"):
    """Predictions of a model that was loaded without us, on the same features."""
    clips = load_split(store, annotations, load_recipe(recipe).features, split)
    batch = clips.batch(np.arange(len(clips)))
    with torch.inference_mode():
        out = model(**batch.features, labels=labels)
    return {part: getattr(out, part).numpy() for part in PARTS}


@pytest.mark.parametrize("system", ["han", "valor", "mmcse", "leap-han"])
def test_predictions_are_bit_for_bit_those_of_load_official(system, state_file, store, annotations, tmp_path):
    file = state_file(system)
    import_official(system, file, tmp_path / "run")
    found = run_predictions(tmp_path / "run", store, annotations, "test")
    labels = label_vectors(store, "glove", annotations.dataset.classes)
    expected = by_hand(load_official(system, torch.load(file)), labels, store, annotations, system)
    assert found.pop("id").tolist() == list(annotations.split("test").ids)
    assert set(found) == set(PARTS)
    for part, values in expected.items():
        np.testing.assert_array_equal(found[part], values)


@pytest.fixture(scope="module")
def map_store(store, tmp_path_factory):
    """CLAP's map and CLIP, as VALOR publishes them, for the test clips of the made-up store."""
    clips = [clip for clip in store.clips.clips if clip.split == "test"]
    folder = tmp_path_factory.mktemp("maps")
    made = FeatureStore.create(str(folder / "maps.zarr"), ClipTable(clips, dataset="synthetic"), shard_size=len(clips))
    arrays = (("clap_map", 64, 768, "audio"), ("clip_vit_l14", 10, 768, "visual"), ("r2plus1d_18", 10, 512, "visual"))
    for name, steps, dim, modality in arrays:
        made.ensure_feature(
            FeatureSpec(name, steps, dim, modality, None), Provenance(name, "imported", "unknown", {}, "published")
        )
        draw = np.random.default_rng(dim + steps).random((len(clips), steps, dim), dtype=np.float32)
        write_shards(made, name, lambda span, draw=draw: draw[span.start : span.stop])
    return made


@pytest.mark.parametrize("system", ["valor-plusplus", "mmcse-clap-clip"])
def test_systems_on_claps_map_predict_the_same_bits(system, state_file, map_store, annotations, tmp_path):
    import_official(system, state_file(system), tmp_path / "run", store_url=map_store.url)
    found = run_predictions(tmp_path / "run", map_store, annotations, "test")
    model = load_official(system, torch.load(state_file(system)))
    for part, values in by_hand(model, None, map_store, annotations, system).items():
        np.testing.assert_array_equal(found[part], values)
    audio = load_run(tmp_path / "run").features["audio"]
    assert (audio.array, audio.backbone, audio.steps, audio.weights) == ("clap_map", "clap", 64, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "name"),
    [("leap-mmpyr", "leap"), ("leap-mmpyr", "leap_N4"), ("han", "han"), ("mmpyr", "mmpyr"),
     ("valor-plus", "valor_plus"), ("mmcse", "mmcse_vggish_res152_train"), ("mmcse", "mmcse_vggish_res152_test")],
)  # fmt: skip
def test_published_shapes_end_in_the_same_bits(system, name, published, rule, store, annotations, run):
    state = {key: torch.from_numpy(value) for key, value in rule.rule_state(published(name)["state_shapes"], 2).items()}
    torch.save({"model": state}, run.parent / "official.pt")
    import_official(system, run.parent / "official.pt", run, store_url=store.url)
    labels = label_vectors(store, "glove", annotations.dataset.classes)
    expected = by_hand(load_official(system, state), labels, store, annotations, system)
    found = run_predictions(run, store, annotations, "test")
    for part, values in expected.items():
        np.testing.assert_array_equal(found[part], values)
    loaded = load_run(run)
    clips = load_split(store, annotations, loaded.recipe.features, "test")
    with torch.inference_mode():
        out = loaded.model(**clips.batch(np.arange(len(clips))).features, labels=loaded.labels)
    np.testing.assert_array_equal(out.audio_segment.numpy(), expected["audio_segment"])


@pytest.fixture
def run(tmp_path):
    """Where to import to; large weights are not left behind."""
    yield tmp_path / "run"
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("system", PARSERS)
def test_every_system_has_its_recipe_and_published_backbones(system, state_file, run):
    import_official(system, state_file(system), run)
    recipe = load_recipe(system)
    assert replace(recipe_of(run), model={}) == replace(recipe, model={})
    record = record_of(run)
    assert record.origin == "imported"
    assert record.dataset.classes == load_annotations_classes()
    audio = record.features["audio"]
    mapped = system in ("valor-plusplus", "mmcse-clap-clip")
    assert (audio.backbone, audio.dim) == (("clap", 768) if mapped else ("vggish", 128))
    assert {feature.sampling for feature in record.features.values()} == {"published"}
    assert provenance_of(run)["store"] == ""
    if not system.startswith("leap"):
        found = load_run(run)
        assert found.labels is None
        assert not found.model.training


def load_annotations_classes():
    from pipeline.datasets.dataset_description import load_description

    return load_description("llp").classes


def test_a_store_says_what_made_the_features_and_holds_the_labels(state_file, store, annotations, tmp_path, made):
    import_official("leap-han", state_file("leap-han"), tmp_path / "run", store_url=store.url)
    run = load_run(tmp_path / "run")
    assert [feature.array for feature in run.features.values()] == list(CLASSIC)
    assert run.features["audio"].weights == "random:1"
    assert run.features["visual_2d"].steps == 10
    assert torch.equal(run.labels, label_vectors(store, "glove", annotations.dataset.classes))
    assert provenance_of(tmp_path / "run")["arrays"]["vggish"]["fingerprint"] == store.fingerprint("vggish")
    scores = run_evaluation(run=tmp_path / "run", predictions=None, annotations=str(made / "annotations"))
    assert 0 <= scores["average"] <= 100


def label_file(path, classes, dim=300):
    vectors = np.random.default_rng(3).standard_normal((len(classes), dim)).astype(np.float32)
    np.savez(path, embeddings=vectors[::-1], classes=np.asarray(classes)[::-1])
    return path, vectors


def test_labels_of_a_file_stay_with_the_run(state_file, store, annotations, tmp_path, avvp, made):
    file, vectors = label_file(tmp_path / "labels.npz", annotations.dataset.classes)
    code, out, err = avvp("checkpoint", "import", "--system", "leap-han", "--labels", file, state_file("leap-han"),
                          tmp_path / "run")  # fmt: skip
    assert (code, err) == (0, "")
    assert f"label embeddings: 300 values a class, from {file}" in out
    assert f"next: avvp evaluate --run {tmp_path / 'run'} --store STORE" in out
    run = load_run(tmp_path / "run")
    np.testing.assert_array_equal(run.labels.numpy(), vectors)
    found = run_predictions(tmp_path / "run", store, annotations, "val")
    expected = by_hand(run.model, torch.from_numpy(vectors), store, annotations, "leap-han", "val")
    np.testing.assert_array_equal(found["audio_segment"], expected["audio_segment"])


def test_without_labels_they_are_the_evaluated_stores(state_file, tmp_path, avvp, made):
    code, out, _ = avvp("checkpoint", "import", "--system", "leap-han", state_file("leap-han"), tmp_path / "run")
    assert code == 0
    assert "label embeddings: not in the folder; evaluate, compare and train take labels/glove of their store" in out
    with pytest.raises(InvalidInput, match=r"holds no label embeddings.*--labels FILE\.npz or --store STORE"):
        load_run(tmp_path / "run")
    code, _, err = avvp("evaluate", "--run", tmp_path / "run", "--annotations", made / "annotations")
    assert code == 2
    assert "was imported without a store. Give --store STORE, one with vggish, resnet152, r2plus1d_18" in err
    code, out, _ = avvp("evaluate", "--run", tmp_path / "run", "--annotations", made / "annotations", "--store",
                        made / "features.zarr")  # fmt: skip
    assert code == 0
    assert "run, test, 10 videos" in out


def publish(store, folder):
    """Features in the published layout: 80 rows of ResNet-152, 8 a second."""
    for array, name, each in (("vggish", "vggish", 1), ("resnet152", "res152", 8), ("r2plus1d_18", "r2plus1d_18", 1)):
        (folder / name).mkdir(parents=True)
        for clip, values in zip(store.ids, store.read(array, None), strict=True):
            np.save(folder / name / f"{clip[:11]}.npy", np.repeat(values, each, axis=0))


def test_two_commands_from_published_files_to_the_papers_row(state_file, tmp_path, avvp, made):
    """Features folder, checkpoint and label files, as they are published."""
    publish(FeatureStore.open(made / "features.zarr"), tmp_path / "features")
    store = tmp_path / "llp.zarr"
    code, _, err = avvp("import", store, tmp_path / "features", "--layout", "avvp-eccv20", "--clips",
                        made / "annotations")  # fmt: skip
    assert code == 0, err
    code, out, err = avvp("checkpoint", "import", "--system", "han", state_file("han"), tmp_path / "run", "--store",
                          store, "--annotations", made / "annotations")  # fmt: skip
    assert code == 0, err
    assert "han, test, 10 videos" in out
    assert {"table.md", "scores.json", "predictions-test.npz"} <= {path.name for path in (tmp_path / "run").iterdir()}
    told = json.loads((tmp_path / "run/scores.json").read_text())["test"]
    scores = run_evaluation(run=tmp_path / "run", predictions=None, annotations=str(made / "annotations"))
    assert scores == pytest.approx(told)
    assert load_run(tmp_path / "run").features["audio"].weights == ""


def test_clips_that_do_not_count_in_the_row_are_told(state_file, store, made, tmp_path, avvp):
    command = ("store", "subset", store.url, tmp_path / "part.zarr", "--ids", tmp_path / "ids.txt")
    (tmp_path / "ids.txt").write_text("\n".join(store.ids[-7:]))
    assert avvp(*command)[0] == 0
    code, out, err = avvp("checkpoint", "import", "--system", "han", state_file("han"), tmp_path / "run", "--store",
                          tmp_path / "part.zarr", "--annotations", made / "annotations")  # fmt: skip
    assert code == 0, err
    assert "val: not evaluated" in out
    assert "3 of 10 clips of test have no predictions and do not count" in out
    assert "han, test, 7 videos" in out


def test_imported_runs_are_compared_with_trained_ones(state_file, made, store, annotations, tmp_path, avvp):
    small = ("train.epochs=1", "model.width=16", "model.encoder.feed_forward=16")
    run_training(recipe="han", store_url=store.url, annotations=str(made / "annotations"), out=tmp_path / "own",
                 changes=small, device="cpu")  # fmt: skip
    import_official("han", state_file("han"), tmp_path / "official")
    runs = [tmp_path / "own", tmp_path / "official"]
    with pytest.raises(InvalidInput, match="was imported without a store"):
        compare_runs(runs, annotations, "test")
    scores, differences, truth = compare_runs(runs, annotations, "test", store_url=store.url)
    evaluated = run_evaluation(run=runs[1], predictions=None, annotations=str(made / "annotations"),
                               store_url=store.url)  # fmt: skip
    assert scores["official"].as_dict() == pytest.approx(evaluated)
    assert [one.name for one in differences] == ["official"]
    assert len(truth) == 10
    code, out, _ = avvp("compare", *runs, "--annotations", made / "annotations", "--store", store.url)
    assert code == 0
    assert "| minus own |" in out


def test_arrays_of_other_names_and_recipes_of_ones_own(state_file, made, store, tmp_path):
    done = import_official("han", state_file("han"), tmp_path / "a", changes=("features.audio=my_vggish",
                           "evaluate.threshold=0.4", "model.encoder.dropout=0.3"))  # fmt: skip
    assert done.record.features["audio"].array == done.record.features["audio"].backbone == "my_vggish"
    assert recipe_of(tmp_path / "a").evaluate.threshold == 0.4
    assert record_of(tmp_path / "a").model["encoder"]["dropout"] == 0.3
    own = tmp_path / "own.toml"
    own.write_text('[model]\nsystem = "han"\nwidth = 64\n[evaluate]\nmask = "own"\n')
    import_official("han", state_file("han"), tmp_path / "b", recipe=str(own))
    assert recipe_of(tmp_path / "b").evaluate.mask == "own"
    assert record_of(tmp_path / "b").model["width"] == 512


def test_sizes_are_those_of_the_checkpoint(state_file, tmp_path):
    bert = import_official("leap-han", state_file("leap-han", **{"fc_l.weight": (512, 768)}), tmp_path / "bert")
    assert bert.record.labels.dim == 768
    assert bert.recipe.model == {"system": "leap-han", "decoder": {"label_dim": 768}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"changes": ("model.width=64",)}, "--set: the checkpoint does not fit such a model: size mismatch"),
        ({"changes": ("model.segments=20",)}, "llp has 10, got 20"),
        ({"changes": ("model.decoder.bloks=3",)}, "unknown key 'bloks'. Did you mean blocks"),
        ({"changes": ("features.visual_3d=",)}, "features.visual_3d is empty, but this model reads it"),
        ({"changes": ("features.labels=learnable",)}, "the checkpoint reads embeddings"),
        ({"recipe": "mmcse"}, "--recipe mmcse: is for another model than leap-han"),
        ({"recipe": "avel-ave"}, "--recipe avel-ave: is for another model than leap-han"),
        ({"recipe": "leap-hna"}, "no such recipe. Did you mean leap-han"),
        ({"store_url": "{made}", "changes": ("features.audio=clap",)}, "the recipe needs audio 'clap'"),
        ({"store_url": "{made}", "changes": ("features.audio=r2plus1d_18",)}, "r2plus1d_18 has 512 values a step, the "
                                                                             "checkpoint reads 128"),
        ({"store_url": "{made}", "changes": ("features.labels=bert",)}, "no labels 'bert'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line_and_leaves_no_folder(state_file, made, tmp_path, given, words):
    given = {name: str(made / "features.zarr") if value == "{made}" else value for name, value in given.items()}
    with pytest.raises(AvvpError) as caught:
        import_official("leap-han", state_file("leap-han"), tmp_path / "run", **given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_at_the_command_line(state_file, annotations, tmp_path, avvp):
    file, _ = label_file(tmp_path / "labels.npz", annotations.dataset.classes, dim=768)
    command = ["checkpoint", "import", "--system"]
    for arguments, words in (
        ([*command, "han", state_file("han"), tmp_path], "already exists. Choose another folder"),
        ([*command, "han", state_file("valor"), tmp_path / "x"], "as han: expected 74 tensors, got 34; 44 missing"),
        ([*command, "han", state_file("valor"), tmp_path / "x"], "It is one of valor"),
        ([*command, "han", "--labels", file, state_file("han"), tmp_path / "x"], "han reads no label embeddings"),
        ([*command, "leap-han", "--labels", file, state_file("leap-han"), tmp_path / "x"],
         "have 768 values a class, the checkpoint reads 300"),
        ([*command, "han", "--annotations", tmp_path, state_file("han"), tmp_path / "x"], "of --store; give both"),
        ([*command, "hna", state_file("han"), tmp_path / "x"], "Did you mean han"),
        ([*command, "han", tmp_path, tmp_path / "x"], "is a folder, expected a file"),
    ):  # fmt: skip
        code, _, err = avvp(*arguments)
        assert code == 2
        assert words in err
        assert err.count("\n") == 1
        assert not (tmp_path / "x").exists()


def test_a_store_or_dataset_that_does_not_fit_is_one_line(state_file, made, store, annotations, tmp_path):
    import_official("han", state_file("han"), tmp_path / "run")
    recipe = (tmp_path / "run/recipe.toml").read_text()
    (tmp_path / "run/recipe.toml").write_text(recipe.replace('"vggish"', '"r2plus1d_18"'))
    with pytest.raises(InvalidInput, match=r"r2plus1d_18 has 512 values a step, the model of .*run reads 128"):
        run_predictions(tmp_path / "run", store, annotations, "test")
    (tmp_path / "run/recipe.toml").write_text(recipe)
    other = replace(annotations, dataset=replace(annotations.dataset, classes=("x", *annotations.dataset.classes[1:])))
    with pytest.raises(InvalidInput, match=r"is for other classes: it lacks 'Speech'.*--dataset"):
        run_predictions(tmp_path / "run", store, other, "test")


def test_a_killed_import_leaves_no_run_and_is_repeated(state_file, tmp_path):
    half = tmp_path / ".run.partial"
    half.mkdir()
    (half / "recipe.toml").write_text("x")
    import_official("valor", state_file("valor"), tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    shutil.move(tmp_path / "run", tmp_path / "moved")  # a folder is all there is to it
    assert load_run(tmp_path / "moved").origin == "imported"
