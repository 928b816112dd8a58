"""``avvp reproduce``: trains and scores the rows of tables, and prints them beside the published numbers."""

from __future__ import annotations

import fnmatch
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from pipeline.reproduce.facts import data_facts, sources
from pipeline.reproduce.item import Item, Row, item_names, load_item
from pipeline.reproduce.measures import (
    headings,
    measure_classes,
    measure_cost,
    measure_localization,
    measure_overlap,
    measure_parsing,
)
from pipeline.reproduce.needs import check_store, needs_of
from pipeline.reproduce.pictures import draw
from pipeline.reproduce.request import Request
from pipeline.reproduce.results import ItemResult, RowResult
from pipeline.reproduce.runs import PlannedRun, plan_row, train_runs
from pipeline.terminal.score_tables import show_tables
from storage.errors import InvalidInput
from storage.store import FeatureStore

_MEASURES = {
    "parsing": measure_parsing, "overlap": measure_overlap, "classes": measure_classes,
    "localization": measure_localization,
}  # fmt: skip


def reproduce(items: Mapping[str, Item], request: Request, *, console: Console) -> list[ItemResult]:
    """Make items, and write ``NAME.md`` and ``NAME.json`` for each.

    Everything is checked before anything is trained. A run that several rows or items share is trained once; a killed
    command goes on where it was.

    Args:
        items: by name, see :func:`chosen_items`.
        request: where from, where to, how often.
        console: for progress and tables.

    Raises:
        InvalidInput: If the store lacks what the rows read.
    """
    plans = {name: _plan(item, request) for name, item in items.items()}
    runs = {run.folder: run for plan in plans.values() for row in plan.values() for run in row}
    if runs:
        needs = needs_of(run.recipe for run in runs.values())
        check_store(FeatureStore.open(request.store_url), needs, asker=", ".join(items))
    began = time.monotonic()
    train_runs(
        runs, store_url=request.store_url, annotations=request.annotations, device=request.device, console=console
    )
    seconds = time.monotonic() - began
    results = [_result(name, item, plans[name], request, seconds, console) for name, item in items.items()]
    request.out.mkdir(parents=True, exist_ok=True)
    for result in results:
        (request.out / f"{result.name}.md").write_text(result.markdown(), encoding="utf-8")
        (request.out / f"{result.name}.json").write_text(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
        _show(result, console)
    console.print(f"{', '.join(items)}: in {request.out}")
    return results


def _show(result: ItemResult, console: Console) -> None:
    console.print(f"\n{result.item.paper}: {result.item.title}\n")
    if result.columns:
        show_tables(console, result.table())
    for fact in result.facts:
        console.print(fact)


def _is_trained(item: Item) -> bool:
    return item.kind != "cost" and bool(item.trained)


def _plan(item: Item, request: Request) -> dict[str, tuple[PlannedRun, ...]]:
    if not _is_trained(item):
        return {}
    return {
        row.name: plan_row(row, out=request.out, seeds=request.seeds, changes=request.changes) for row in item.trained
    }


def _result(
    name: str, item: Item, plan: Mapping[str, Sequence[PlannedRun]], request: Request, seconds: float, console: Console
) -> ItemResult:
    labels: Any = _labels(item, request) if plan else None
    pictures = draw(name, item, plan, request, labels, console) if item.picture else ()
    facts = [*sources(item), *(data_facts(request, plan, seconds) if plan else ()), *pictures]
    rows = [RowResult(row.name, _measured(row, item, plan, labels), row.published) for row in item.rows]
    names = item.columns or tuple(dict.fromkeys(column for row in rows for one in row.ours for column in one))
    known = headings()
    return ItemResult(name, item, rows, {column: known.get(column, column) for column in names}, facts)


def _measured(row: Row, item: Item, plan: Mapping[str, Sequence[PlannedRun]], labels: Any) -> list[dict[str, float]]:
    if not row.recipe or item.kind == "picture":
        return []
    if item.kind == "cost":
        return [measure_cost(row.load())]
    return [_MEASURES[item.kind](run.folder, labels) for run in plan[row.name]]


def _labels(item: Item, request: Request) -> Any:
    from pipeline.training.tasks import task_of

    task = task_of(item.trained[0].load())
    return task.load_labels(request.annotations, dataset=task.dataset)


def chosen_items(patterns: Sequence[str]) -> dict[str, Item]:
    """Items by name.

    Args:
        patterns: names of items, TOML files, and patterns such as ``leap-*``.

    Raises:
        InvalidInput: If nothing is given, something that is neither, or two files of one name.
    """
    if not patterns:
        raise InvalidInput("reproduce: name a table or a figure, or see avvp reproduce --list")
    found = [name for pattern in patterns for name in fnmatch.filter(item_names(), pattern) or [pattern]]
    items: dict[str, Item] = {}
    for given in dict.fromkeys(found):
        name, item = load_item(given)
        if name in items:
            raise InvalidInput(f"reproduce: two tables are called {name}, of which one would be lost. Rename a file")
        items[name] = item
    return items


def needs_data(items: Mapping[str, Item]) -> bool:
    """Whether anything is trained for these items."""
    return any(map(_is_trained, items.values()))
