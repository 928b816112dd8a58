"""Measures a finished run: the numbers of a table's row, by column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.llp import Annotations
from pipeline.foreign_arrays import read_json
from pipeline.metrics.parsing import HEADINGS
from pipeline.metrics.subsets import overlapping
from pipeline.recipes.recipe import Recipe
from pipeline.reports.evaluation import Decided
from pipeline.reports.shared_videos import decided_run
from pipeline.reproduce.runs import SCORES

SPLIT = "test"
SUBSETS = {"overlapping": "with overlap", "separate": "without"}
"""Subsets of LEAP's Table 3, and what their columns are called."""

FIVE = {"a": "A", "v": "V", "av": "AV", "type": "Type@AV", "event": "Event@AV"}
COST = {
    "parameters": "parameters, M", "flops": "FLOPs, G", "decoder_parameters": "decoder's parameters, M",
    "decoder_flops": "decoder's FLOPs, G", "milliseconds": "ms a video, one at a time",
}  # fmt: skip
LOCALIZATION = {"accuracy": "accuracy"}


def headings() -> Mapping[str, str]:
    """What each column is called, by its name in an item."""
    both = {f"both_{name}": f"mean {title}" for name, title in FIVE.items()}
    subsets = {
        f"{subset}_{name}": f"{words}: {title}"
        for subset, words in SUBSETS.items()
        for name, title in {**FIVE, "average": "Avg"}.items()
    }
    return {**HEADINGS, **both, **subsets, **COST, **LOCALIZATION}


def measure_parsing(run: Path, labels: Annotations) -> dict[str, float]:
    """The eleven scores, and ``both_…``, the mean of the segment and the event score."""
    scores = _decided(run, labels).scores().mean().as_dict()
    return scores | {f"both_{name}": (scores[f"seg_{name}"] + scores[f"ev_{name}"]) / 2 for name in FIVE}


def measure_overlap(run: Path, labels: Annotations) -> dict[str, float]:
    """Event scores of videos with and without overlapping events, and the mean of these five.

    Source: LEAP (Zhou et al., ECCV 2024), table 3. Overlapping is read as several events in a segment of one modality.
    """
    decided = _decided(run, labels)
    videos = decided.scores()
    rows = overlapping(decided.truth.audio, decided.truth.visual, reading="either_modality")
    found = dict[str, float]()
    for subset, chosen in (("overlapping", rows), ("separate", ~rows)):
        scores = videos.select(chosen).mean().as_dict()
        five = {name: scores[f"ev_{name}"] for name in FIVE}
        five["average"] = float(np.mean(list(five.values())))
        found |= {f"{subset}_{name}": value for name, value in five.items()}
    return found


def measure_classes(run: Path, labels: Annotations) -> dict[str, float]:
    """Event F1 of each class, ``a/CLASS`` and ``v/CLASS``, and their averages ``a/average`` and ``v/average``.

    Source: LEAP (Zhou et al., ECCV 2024), figure 3. A class that no video has or predicts is left out.
    """
    decided = _decided(run, labels)
    table = decided.classes("event")
    found = dict[str, float]()
    for modality, values in (("a", table.audio), ("v", table.visual)):
        named = zip(labels.dataset.classes, values, strict=True)
        found |= {f"{modality}/{name}": float(value) for name, value in named if not np.isnan(value)}
        found[f"{modality}/average"] = float(np.nanmean(values))
    return found


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


def _decided(run: Path, labels: Annotations) -> Decided:
    return decided_run(run, labels, SPLIT, None)
