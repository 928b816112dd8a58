import re

import pytest

from pipeline.recipes.recipe import differences, load_recipe, shipped_recipes
from storage.errors import InvalidInput

EXPECTED = {
    "han", "mmpyr", "valor", "valor-plus", "valor-plusplus", "leap-han", "leap-mmpyr", "leap-han-no-avss",
    "leap-mmpyr-no-avss", "mmil-han", "mmil-mmpyr", "mmcse", "mmcse-clap-clip",
    "avel-ave", "avel-psp", "avel-cmbs", "leap-avel-ave", "leap-avel-psp", "leap-avel-cmbs",
}  # fmt: skip


def test_one_recipe_for_each_row_of_the_papers():
    assert set(shipped_recipes()) == EXPECTED
    assert all(load_recipe(name).description for name in EXPECTED)


def test_changes_and_the_way_back(tmp_path):
    recipe = load_recipe(
        "leap-mmpyr", ["train.epochs=5", "model.decoder.blocks=4", "loss.union=hard", "train.betas=[0.5, 0.9]"]
    )
    assert (recipe.train.epochs, recipe.loss.union, recipe.train.betas) == (5, "hard", (0.5, 0.9))
    assert recipe.model["decoder"]["blocks"] == 4
    (tmp_path / "mine.toml").write_text(recipe.to_toml())
    again = load_recipe(tmp_path / "mine.toml")
    assert differences(recipe, again) == []
    assert "train.epochs 5 / 30" in differences(recipe, load_recipe("leap-mmpyr"))


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("leap-mmpyrr", (), "Did you mean leap-mmpyr"),
        ("han", ("train.epoch=3",), "unknown key 'epoch'. Did you mean epochs"),
        ("han", ("trian.epochs=3",), "unknown key 'trian'. Did you mean train"),
        ("han", ("train.epochs=many",), "expected int, got 'many'"),
        ("han", ("train.epochs=-1",), "not negative"),
        ("han", ("loss.union=soft",), "expected one of model, noisy_or, max, hard"),
        ("han", ("epochs",), "expected key=value"),
        ("han", ("train.betas=3",), "expected a list"),
        ("han", ("train.betas=[0.9]",), "betas: expected two numbers below 1"),
        ("han", ("train.betas=[0.9, 1.0]",), "betas: expected two numbers below 1"),
        ("han", ("train.batch_size=0",), "batch_size: expected 1 or more, got 0"),
        ("han", ("train.step_epochs=0",), "step_epochs: expected 1 or more, got 0"),
        ("han", ("train.seed=4294967296",), "seed: expected a number below 2**32"),
        ("han", ("train=3",), "expected a table"),
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
