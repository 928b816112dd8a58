"""Class thresholds of a run: searched on val, kept in its folder, and applied to another split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.datasets.llp import Annotations
from pipeline.metrics.class_thresholds import search_class_thresholds
from pipeline.metrics.counts import Floats
from pipeline.metrics.decisions import Mask
from pipeline.metrics.parsing import ParsingScores
from pipeline.reports.evaluation import decide_predictions, markdown, run_predictions
from pipeline.reports.score_tables import absent_line, write_json
from pipeline.terminal.score_tables import show_tables
from pipeline.training.run_folder import recipe_of
from pipeline.training.run_store import open_run_store
from storage.errors import InvalidInput

THRESHOLDS = "thresholds.json"
SEARCHED_ON = "val"


def evaluate_with_class_thresholds(
    run: Path, annotations: Annotations, split: str, *, store_url: str | None, mask: Mask | None,
    threshold: float | None, json_file: Path | None, console: Console,
) -> dict[str, float]:  # fmt: skip
    """Search thresholds on val, write them to the run's folder, and print scores with and without them.

    Args:
        run: its folder.
        annotations: of the dataset.
        split: to apply them to.
        store_url: see :func:`pipeline.training.run_store.open_run_store`.
        mask: rather than the run's.
        threshold: of all classes, to compare with and to begin at; ``None`` for the run's.
        json_file: for the scores.
        console: to print on.

    Returns:
        The scores of ``split`` with class thresholds, in percent.

    Raises:
        InvalidInput: If ``split`` is val, or val or ``split`` has no truth or no clips.
    """
    if split == SEARCHED_ON:
        raise InvalidInput(f"--search-thresholds: searches on {SEARCHED_ON}. Score another split: --split test")
    if SEARCHED_ON not in annotations.splits or not annotations.split(SEARCHED_ON).judged:
        raise InvalidInput(f"--search-thresholds: {annotations.source} has no {SEARCHED_ON} with ground truth")
    recipe, store = recipe_of(run), open_run_store(run, store_url)
    chosen, level = mask or recipe.evaluate.mask, recipe.evaluate.threshold if threshold is None else threshold
    found = {name: run_predictions(run, store, annotations, name) for name in (SEARCHED_ON, split)}
    truth = annotations.split(SEARCHED_ON).align([str(name) for name in found[SEARCHED_ON]["id"]], asker=str(run))
    parts = {name: values for name, values in found[SEARCHED_ON].items() if name != "id"}
    levels = search_class_thresholds(parts, truth.audio, truth.visual, mask=chosen, start=level)
    names = annotations.dataset.classes
    by_class = dict(zip(names, levels.tolist(), strict=True))
    (run / THRESHOLDS).write_text(json.dumps(by_class, indent=2, ensure_ascii=False))
    rows = _rows(found, annotations, {f"at {level:g}": level, "class thresholds": levels}, chosen, run)
    console.print(absent_line(len(annotations.split(split)), len(found[split]["id"]), split), end="")
    show_tables(console, markdown(rows))
    console.print(_said(by_class, level, run))
    plain, searched = (rows[f"{run.name}, {split}, {how}"].as_dict() for how in (f"at {level:g}", "class thresholds"))
    if json_file is not None:
        write_json(json_file, {"scores": plain, "scores_with_class_thresholds": searched, "class_thresholds": by_class})
    return searched


def _rows(
    found: dict[str, dict[str, Any]], annotations: Annotations, levels: dict[str, float | Floats], mask: Mask, run: Path
) -> dict[str, ParsingScores]:
    return {
        f"{run.name}, {split}, {how}": decide_predictions(
            values, annotations, split, mask=mask, threshold=level, source=str(run)
        ).scores().mean()
        for split, values in found.items() for how, level in levels.items()
    }  # fmt: skip


def _said(by_class: dict[str, float], level: float, run: Path) -> str:
    moved = {name: value for name, value in by_class.items() if value != level}
    told = ", ".join(f"{name} {value:g}" for name, value in moved.items()) or "none"
    return (
        f"other than {level:g}: {told}\n{SEARCHED_ON} is what they were searched on, so its second row says little. "
        f"They are in {run / THRESHOLDS}, for --thresholds"
    )
