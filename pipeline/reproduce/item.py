"""An item: a table or a figure of a paper, as data: its rows, how each is trained, and the published numbers."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from pipeline.recipes.recipe import Recipe, load_recipe
from pipeline.toml_tables import FORBID_EXTRA, did_you_mean, parse_toml, read_table
from storage.errors import InvalidInput
from storage.foreign_files import reading

Kind = Literal["parsing", "overlap", "classes", "localization", "cost", "picture"]
Picture = Literal["", "bars", "timelines", "attention", "co_occurrence", "class_vectors"]
Texts = Annotated[tuple[str, ...], Field(description="a list of texts")]
Numbers = Annotated[Mapping[str, float], Field(description="a table of numbers")]


@dataclass(frozen=True, config=FORBID_EXTRA)
class Row:
    """A row of a table.

    Attributes:
        name: as the paper has it.
        recipe: to train; empty for a system of other authors, of which only the published numbers are shown.
        set: ``key=value``, what differs from the recipe.
        published: the paper's numbers, by column; one that we could not read is absent.
        source: where we read them, if it was not the paper.
    """

    name: str
    recipe: str = ""
    set: Texts = ()
    published: Numbers = field(default_factory=dict)
    source: str = ""

    def load(self, changes: tuple[str, ...] = ()) -> Recipe:
        """The recipe of this row.

        Args:
            changes: ``key=value`` for all rows, in addition.

        Raises:
            InvalidInput: If a key or a value does not exist.
        """
        return load_recipe(self.recipe, (*self.set, *changes))


@dataclass(frozen=True, config=FORBID_EXTRA)
class Item:
    """A table or a figure.

    Attributes:
        title: what it asks, in a line.
        paper: authors, venue, and its number there.
        kind: what is measured of each row: ``parsing`` scores; scores of the ``overlap`` subsets; F1 by ``classes``;
            accuracy of ``localization``; ``cost``, without training; nothing for a ``picture``.
        columns: names of measurements, in order; those of ``classes`` are the dataset's.
        rows: in the paper's order.
        picture: of the rows' runs: ``bars`` of F1 by class; ``timelines`` of truth and predictions; ``attention`` of
            LEAP's labels; ``co_occurrence`` of classes in MM-CSE, or its ``class_vectors`` in two dimensions.
        note: settings, and what the paper leaves open.
    """

    title: str
    paper: str
    kind: Kind
    columns: Texts = ()
    rows: tuple[Row, ...] = ()
    picture: Picture = ""
    note: str = ""

    @model_validator(mode="after")
    def _rows_have_names_of_their_own(self) -> Self:
        names = [row.name for row in self.rows]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two rows are called {twice!r}. Rename one")
        return self

    @property
    def trained(self) -> tuple[Row, ...]:
        """The rows that have a recipe."""
        return tuple(row for row in self.rows if row.recipe)


def item_names() -> tuple[str, ...]:
    """Names of the items that come with the package, sorted; table 10 comes after table 9."""
    files = (entry.name for entry in _folder().iterdir())
    names = (name.removesuffix(".toml") for name in files if name.endswith(".toml"))
    return tuple(sorted(names, key=lambda name: [int(part) if part.isdigit() else part
                                                 for part in re.split(r"(\d+)", name)]))  # fmt: skip


def load_item(name_or_file: str) -> tuple[str, Item]:
    """Read an item.

    Args:
        name_or_file: one of :func:`item_names`, or a TOML file of one's own.

    Returns:
        Its name, and the item.

    Raises:
        InvalidInput: If there is none (the nearest is named), or a key or a value of it does not exist.
    """
    name, path = name_or_file, Path(name_or_file)
    if name in item_names():
        text = (_folder() / f"{name}.toml").read_text(encoding="utf-8")
    elif path.is_file():
        name = path.stem
        with reading(path, "cannot be read", error=InvalidInput):
            text = path.read_text(encoding="utf-8")
    else:
        near = did_you_mean(name, item_names())
        raise InvalidInput(
            f"reproduce: there is no table {name!r}.{near} See avvp reproduce --list, or give a TOML file"
        )
    return name, read_table(Item, parse_toml(text, source=name_or_file), where=name_or_file)


def _folder() -> Traversable:
    return importlib.resources.files("pipeline.reproduce") / "items"
