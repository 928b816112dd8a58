import re

import pytest

from pipeline.recipes.recipe import differences, load_recipe
from pipeline.recipes.shipped_recipes import shipped_recipes
from storage.errors import InvalidInput

EXPECTED = {
    "han", "mmpyr", "valor", "valor-plus", "valor-plusplus", "leap-han", "leap-mmpyr", "leap-han-no-avss",
    "leap-mmpyr-no-avss", "mmil-han", "mmil-mmpyr", "mmcse", "mmcse-clap-clip", "mmcse-step", "mmcse-clap-clip-step",
    "mmcse-mmpyr",
    "avel-ave", "avel-psp", "avel-cmbs", "leap-avel-ave", "leap-avel-psp", "leap-avel-cmbs",
    "avel-ave-supervised", "avel-dmrn", "avel-psp-supervised", "avel-cmbs-supervised",
    "leap-avel-ave-supervised", "leap-avel-psp-supervised", "leap-avel-cmbs-supervised",
}  # fmt: skip


def test_one_recipe_for_each_row_of_the_papers():
    assert set(shipped_recipes()) == EXPECTED
    assert all(load_recipe(name).description for name in EXPECTED)


@pytest.mark.parametrize("name", ["leap-han", "leap-han-no-avss", "leap-mmpyr", "leap-mmpyr-no-avss"])
def test_leaps_union_is_the_published_one(name):
    assert load_recipe(name).loss.union == "hard"


@pytest.mark.parametrize("name", ["mmcse", "mmcse-clap-clip"])
def test_mmcse_comes_with_both_schedules(name):
    """They differ in nothing else."""
    found = {line.split(" ")[0] for line in differences(load_recipe(name), load_recipe(f"{name}-step"))}
    assert found == {f"train.{key}" for key in ("learning_rate", "schedule", "lowest_learning_rate")}


def test_changes_and_the_way_back(tmp_path):
    recipe = load_recipe(
        "leap-mmpyr", ["train.epochs=5", "model.decoder.blocks=4", "loss.union=max", "train.betas=[0.5, 0.9]"]
    )
    assert (recipe.train.epochs, recipe.loss.union, recipe.train.betas) == (5, "max", (0.5, 0.9))
    assert recipe.model["decoder"]["blocks"] == 4
    (tmp_path / "mine.toml").write_text(recipe.to_toml())
    again = load_recipe(tmp_path / "mine.toml")
    assert differences(recipe, again) == []
    assert "train.epochs 5 / 30" in differences(recipe, load_recipe("leap-mmpyr"))


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("leap-mmpyrr", (), "Did you mean leap-mmpyr"),
        ("han", ("train.epoch=3",), "han: train: unknown key 'epoch'. Did you mean epochs"),
        ("han", ("trian.epochs=3",), "unknown key 'trian'. Did you mean train"),
        ("han", ("train.epochs=many",), "train: epochs: expected a whole number, 0 or more, got 'many'"),
        ("han", ("train.epochs=-1",), "train: epochs: expected a whole number, 0 or more, got -1"),
        ("han", ("loss.union=soft",), "expected one of model, noisy_or, max, hard"),
        ("han", ("epochs",), "expected key=value"),
        ("han", ("train.betas=3",), "betas: expected a list of two numbers, from 0 to below 1, got 3"),
        ("han", ("train.betas=[0.9]",), "betas: expected a list of two numbers, from 0 to below 1, got"),
        ("han", ("train.betas=[0.9, 1.0]",), "betas: expected a list of two numbers, from 0 to below 1, got"),
        ("han", ("train.batch_size=0",), "batch_size: expected a whole number, 1 or more, got 0"),
        ("han", ("train.step_epochs=0",), "step_epochs: expected a whole number, 1 or more, got 0"),
        ("han", ("train.seed=4294967296",), "seed: expected a whole number from 0 to below 2**32"),
        ("han", ("train=3",), "han: train: expected a table, got 3"),
        ("han", ("loss.union=hrad",), "got 'hrad'. Did you mean hard?"),
        ("han", ("train.epochs=true",), "train: epochs: expected a whole number, 0 or more, got True"),
        ("han", ("train.epochs=5.0",), "train: epochs: expected a whole number, 0 or more, got 5.0"),
        ("han", ("train.learning_rate=true",), "train: learning_rate: expected a number, 0 or more, got True"),
        ("han", ("train.learning_rate=nan",), "train: learning_rate: expected a number, 0 or more, got nan"),
        ("han", ("train.learning_rate=inf",), "train: learning_rate: expected a number, 0 or more, got inf"),
        ("han", ("train.learning_rate=x",), "train: learning_rate: expected a number, 0 or more, got 'x'"),
        ("han", ("train.milestones=[0]",), "train: milestones: expected a list of whole numbers, 1 or more, got 0"),
        ("han", ("loss.audio_smoothing=1.5",), "loss: audio_smoothing: expected a number from 0 to 1, got 1.5"),
        ("han", ("evaluate.threshold=-1",), "evaluate: threshold: expected a number from 0 to 1, got -1"),
        ("han", ("features.audio=3",), "features: audio: expected a text, got 3"),
        ("han", ("model=3",), "model: expected a table, got 3"),
        ("han", ("name=3",), "name: expected a text, got 3"),
        ("avel-ave", ("loss.avss=1.0",), "[loss] is for parsing"),
        ("han", ("localization.video=1.0",), "[localization] is not read by a parsing recipe"),
    ],
)
def test_bad_recipes_are_one_line(name, changes, words):
    with pytest.raises(InvalidInput, match=re.escape(words)):
        load_recipe(name, changes)


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "x.toml").write_text("[train\n")
    with pytest.raises(InvalidInput, match="not TOML"):
        load_recipe(tmp_path / "x.toml")


def test_whole_numbers_stand_for_fractions():
    recipe = load_recipe("han", ["train.learning_rate=1", "train.betas=[0, 0.5]"])
    assert repr(recipe.train.learning_rate) == "1.0"
    assert repr(recipe.train.betas) == "(0.0, 0.5)"


def test_a_file_of_an_earlier_version(tmp_path):
    (tmp_path / "recipe.toml").write_text(
        'name = "mine"\ndescription = ""\ntask = "parsing"\n\n[model]\nsystem = "han"\n\n[train]\n'
        "epochs = 3\nbetas = [0.9, 0.999]\nmilestones = []\nlearning_rate = 0.0003\n"
    )
    recipe = load_recipe(tmp_path / "recipe.toml")
    assert (recipe.name, recipe.train.milestones, recipe.train.learning_rate) == ("mine", (), 0.0003)


def test_text_of_any_kind_comes_back(tmp_path):
    recipe = load_recipe("han", ['description="quotes \\" and\\nlines"', 'model."odd key".x=1'])
    (tmp_path / "mine.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "mine.toml").to_json() == recipe.to_json()
