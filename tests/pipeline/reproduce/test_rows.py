"""Every row that is trained has a model that its losses can be computed of."""

import pytest

from pipeline.models.config_tables import model_config
from pipeline.models.factory import build_model
from pipeline.reproduce.item import item_names, load_item
from pipeline.training.loss_check import check_losses

ITEMS = {name: load_item(name)[1] for name in item_names()}


@pytest.mark.parametrize("name", [name for name, item in ITEMS.items() if item.kind != "cost"])
def test_the_losses_of_each_row_fit_its_model(name):
    for row in ITEMS[name].trained:
        recipe = row.load()
        config = model_config(recipe.model)
        check_losses(recipe, build_model(config), config)
