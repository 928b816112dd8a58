"""``avvp reproduce --list``: every item, what it needs, and how much there is to train."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from pipeline.reproduce.item import Item, item_names, load_item
from pipeline.reproduce.needs import needs_of
from pipeline.reproduce.training_pace import training_minutes
from pipeline.terminal.console import count


def print_list(console: Console) -> None:
    """All items, a paragraph each."""
    for name in item_names():
        _, item = load_item(name)
        console.print(f"{name}: {item.title}")
        for line in item_lines(item):
            console.print(f"    {line}")


def item_lines(item: Item) -> Iterator[str]:
    """Facts of an item, a line each."""
    yield f"{item.paper}; {count(len(item.rows), 'row')}, {len(item.trained)} of them made here"
    recipes = [row.load() for row in item.trained]
    if item.kind == "cost":
        yield "needs nothing; a few seconds"
        return
    if not recipes:
        return
    yield f"needs {needs_of(recipes)}; label files of {_dataset(item)}"
    minutes = sum(training_minutes(recipe) for recipe in recipes)
    epochs = _epochs([recipe.train.epochs for recipe in recipes])
    yield f"{count(len(recipes), 'run')} of {epochs} epochs, {_time(minutes)}"


def _dataset(item: Item) -> str:
    return "AVE" if item.kind == "localization" else "LLP"


def _epochs(numbers: list[int]) -> str:
    lowest, highest = min(numbers), max(numbers)
    return str(lowest) if lowest == highest else f"{lowest} to {highest}"


def _time(minutes: float) -> str:
    if minutes < 90:
        return f"about {minutes:.0f} minutes on two CPU cores"
    return f"about {minutes / 60:.0f} hours on two CPU cores"
