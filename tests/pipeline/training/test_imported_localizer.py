"""A published checkpoint of AVE, PSP or CMBS is a run at once: scored, loaded and predicted with."""

import numpy as np
import pytest
import torch

from pipeline.datasets.dataset import load_split
from pipeline.datasets.dataset_description import load_description
from pipeline.evaluate import run_evaluation
from pipeline.models.config import OFFICIAL, LocalizerConfig
from pipeline.models.official.loading import load_official
from pipeline.recipes.recipe import load_recipe
from pipeline.reports.evaluation import run_predictions
from pipeline.synthetic.events import write_event_features
from pipeline.training.imported_run import import_official
from pipeline.training.loaded_run import load_run
from pipeline.training.run_folder import recipe_of, record_of
from pipeline.training.tasks import task_of
from storage.errors import InvalidInput
from storage.store import FeatureStore

SYSTEMS = [name for name, config in OFFICIAL.items() if isinstance(config, LocalizerConfig)]


@pytest.fixture(scope="module")
def ave(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ave")
    write_event_features(folder, count=18, seed=2, channels=512)
    return folder


@pytest.mark.parametrize("system", SYSTEMS)
def test_predictions_are_those_of_load_official(system, state_file, ave, tmp_path):
    file = state_file(system)
    import_official(system, file, tmp_path / "run")
    store, recipe = FeatureStore.open(ave / "features.zarr"), load_recipe(system)
    assert recipe_of(tmp_path / "run").train == recipe.train
    record = record_of(tmp_path / "run")
    assert record.dataset.classes == load_description("ave").classes
    assert [(one.backbone, one.dim) for one in record.features.values()] == [("vggish", 128), ("vgg19_pool5", 25088)]
    labels = task_of(recipe).load_labels(str(ave / "annotations"), dataset="ave")
    found = run_predictions(tmp_path / "run", store, labels, "test")
    clips = load_split(store, labels, recipe.features, "test")
    with torch.inference_mode():
        out = load_official(system, torch.load(file))(**clips.batch(np.arange(len(clips))).features)
    np.testing.assert_array_equal(found["segment"], out.segment.numpy())
    assert load_run(tmp_path / "run").origin == "imported"


def test_one_command_scores_it(state_file, ave, tmp_path, avvp):
    arguments = ("checkpoint", "import", "--system", "avel-cmbs", state_file("avel-cmbs"), tmp_path / "run",
                 "--store", ave / "features.zarr", "--annotations", ave / "annotations")  # fmt: skip
    code, out, err = avvp(*arguments)
    assert (code, err) == (0, "")
    assert "avel-cmbs, test, 3 videos" in out
    scores = run_evaluation(run=tmp_path / "run", predictions=None, annotations=str(ave / "annotations"))
    assert set(scores) == {"accuracy", "foreground", "background"}


def test_what_does_not_fit_is_one_line(state_file, ave, tmp_path, avvp):
    with pytest.raises(InvalidInput, match="--recipe han: is for another model than avel-ave"):
        import_official("avel-ave", state_file("avel-ave"), tmp_path / "run", recipe="han")
    start = ("checkpoint", "import", "--system")
    for arguments, words in (
        (("leap-avel-ave", state_file("avel-ave"), tmp_path / "run"), "Did you mean avel-ave"),
        (("avel-psp", state_file("avel-ave"), tmp_path / "run"), "It is one of avel-ave"),
        (("avel-ave", state_file("avel-ave"), tmp_path / "run", "--store", ave / "features.zarr", "--annotations",
          tmp_path), "no events of ave here. Expected trainSet.txt"),
    ):  # fmt: skip
        code, _, err = avvp(*start, *arguments)
        assert code == 2
        assert words in err
        assert err.count("\n") == 1
        assert not (tmp_path / "run").exists()
