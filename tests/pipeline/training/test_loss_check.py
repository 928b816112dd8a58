import pytest
import torch

from pipeline.models.config_tables import model_config
from pipeline.models.factory import build_model
from pipeline.recipes.recipe import load_recipe
from pipeline.recipes.shipped_recipes import shipped_recipes
from pipeline.training.loss_check import check_losses
from storage.errors import InvalidInput


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_pass_and_nothing_is_left_behind(name):
    recipe = load_recipe(name)
    config = model_config(recipe.model)
    torch.manual_seed(3)
    model = build_model(config)
    state, random = {key: value.clone() for key, value in model.state_dict().items()}, torch.get_rng_state()
    check_losses(recipe, model, config)
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("mmcse", ("model.decoupling=classes",), "loss.orthogonality: this model has no background vector"),
        ("mmcse", ("model.intra=lgsf", "model.cross=lgsf"), "loss.co_occurrence: this model has no attention between"),
        ("mmcse", ("model.reconstruct=false",), "loss.reconstruction: this model has no reconstruction decoders"),
        ("mmcse", ("loss.avss=1.0",), "loss.avss: this model gives no encoder features"),
        ("leap-han", ("features.pseudo_labels=",), "needs segment pseudo labels"),
    ],
)
def test_what_a_loss_lacks_is_said(name, changes, words):
    recipe = load_recipe(name, changes)
    config = model_config(recipe.model)
    with pytest.raises(InvalidInput, match=words):
        check_losses(recipe, build_model(config), config)
