"""Chooses the task that a recipe names."""

from __future__ import annotations

from pipeline.recipes.recipe import Recipe
from pipeline.training.localization import Localization
from pipeline.training.parsing import Parsing
from pipeline.training.task import Task
from storage.errors import InvalidInput


def task_of(recipe: Recipe) -> Task:
    """The task that a recipe names.

    Raises:
        InvalidInput: If the recipe chooses its best epoch by a score that the task has not.
    """
    task: Task = Localization() if recipe.task == "localization" else Parsing()
    if recipe.train.select not in task.headings:
        choices = ", ".join(task.headings)
        raise InvalidInput(f"{recipe.name}: train.select: expected one of {choices}, got {recipe.train.select!r}")
    return task
