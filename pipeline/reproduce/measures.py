"""Measures a finished run: the numbers of a table's row, by column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.llp import Annotations
from pipeline.foreign_arrays import read_json
from pipeline.metrics.modality_only import ONLY_HEADINGS
from pipeline.metrics.parsing import HEADINGS
from pipeline.metrics.video_level import MEAN_HEADINGS, VIDEO_HEADINGS
from pipeline.recipes.recipe import Recipe
from pipeline.reports.class_comparison import STREAMS, class_scores
from pipeline.reports.overlap_table import HEADINGS as OVERLAP
from pipeline.reports.overlap_table import overlap_subsets
from pipeline.reports.shared_videos import decided_run
from pipeline.reproduce.runs import SCORES

SPLIT = "test"
COST = {
    "parameters": "parameters, M", "flops": "FLOPs, G", "decoder_parameters": "decoder's parameters, M",
    "decoder_flops": "decoder's FLOPs, G", "milliseconds": "ms a video, one at a time",
}  # fmt: skip
LOCALIZATION = {"accuracy": "accuracy"}
_SUBSETS = {"overlapping": "overlapping", "separate": "non-overlapping"}


def headings() -> Mapping[str, str]:
    """What each column is called, by its name in an item."""
    subsets = {
        f"{subset}_{_short(name)}": f"{words}: {title}"
        for subset, words in _SUBSETS.items()
        for name, title in OVERLAP.items()
    }
    return {**ONLY_HEADINGS, **VIDEO_HEADINGS, **MEAN_HEADINGS, **HEADINGS, **subsets, **COST, **LOCALIZATION}


def measure_parsing(run: Path, labels: Annotations) -> dict[str, float]:
    """The eleven scores, those of whole videos, means of both levels, and those of what is only heard or only seen."""
    decided = decided_run(run, labels, SPLIT, None)
    found: dict[str, float] = {}
    for part in decided.more_scores(levels=True, modality_only=True).values():
        found |= part.mean()
    return found | decided.scores().mean().as_dict()


def measure_overlap(run: Path, labels: Annotations) -> dict[str, float]:
    """Event scores of videos with and without overlapping events, and the mean of these five.

    Overlapping is read as several events in a segment of one modality. A subset without videos has no numbers.
    """
    subsets = overlap_subsets({SPLIT: decided_run(run, labels, SPLIT, None)})
    scores = {one.name: one.scores.get(SPLIT, {}) for one in subsets}
    return {
        f"{subset}_{_short(name)}": value for subset, words in _SUBSETS.items() for name, value in scores[words].items()
    }


def measure_classes(run: Path, labels: Annotations) -> dict[str, float]:
    """Event F1 of each class and their average, heard and seen; a class that no video has or predicts is left out."""
    found = class_scores({SPLIT: decided_run(run, labels, SPLIT, None)})
    return {
        f"{short} {name}": float(value)
        for stream, short in STREAMS.items()
        for name, value in zip(found.classes, found.scores["event"][stream][SPLIT], strict=True)
        if not np.isnan(value)
    }


def measure_localization(run: Path, labels: Any) -> dict[str, float]:
    """Accuracies of segments."""
    found = read_json(run / SCORES, remedy="Delete it to train this run again")
    return {name: float(value) for name, value in found[SPLIT].items()}


def measure_cost(recipe: Recipe) -> dict[str, float]:
    """Parameters, FLOPs of one clip as the published code has them, and milliseconds a clip here; nothing is trained.

    Ours are given where no code was published for a configuration.
    """
    from pipeline.models.config_tables import model_config
    from pipeline.models.info import model_info
    from pipeline.models.timing import time_model

    config = model_config(recipe.model)
    info = model_info(config)
    whole, decoder = info.published or info.whole, info.published_decoder
    found = {"parameters": whole.parameters / 1e6, "flops": whole.flops / 1e9}
    if decoder is not None:
        found |= {"decoder_parameters": decoder.parameters / 1e6, "decoder_flops": decoder.flops / 1e9}
    return found | {"milliseconds": time_model(config).median}


def _short(name: str) -> str:
    return name.removeprefix("ev_")
