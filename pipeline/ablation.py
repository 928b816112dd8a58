"""Runs the ablation studies of the papers over several seeds and prints their tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foreign_arrays import read_json
from pipeline.metrics.parsing import HEADINGS
from pipeline.terminal.console import wide_console
from pipeline.terminal.score_tables import show_tables
from storage.errors import InvalidInput

SHOWN = ("seg_a", "seg_v", "seg_av", "seg_type", "seg_event", "ev_type", "ev_event", "average")


@dataclass(frozen=True)
class Variant:
    """One row of an ablation table.

    Attributes:
        name: for the table.
        recipe: to start from.
        changes: ``key=value``.
    """

    name: str
    recipe: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """One ablation table.

    Attributes:
        description: the question it answers.
        variants: the rows.
        label_groups: label embeddings that it reads in addition to the recipe's own.
    """

    description: str
    variants: tuple[Variant, ...]
    label_groups: tuple[str, ...] = ()


def _leap(name: str, *changes: str, recipe: str = "leap-mmpyr") -> Variant:
    return Variant(name, recipe, changes)


SWEEPS: Mapping[str, Sweep] = {
    "blocks": Sweep(
        "How many LEAP blocks (ECCV 2024)",
        tuple(_leap(f"{count} blocks", f"model.decoder.blocks={count}") for count in (1, 2, 4)),
    ),
    "labels": Sweep(
        "Which label embeddings (ECCV 2024)",
        tuple(_leap(kind, f"features.labels={kind}") for kind in ("glove", "bert", "clip", "learnable")),
        label_groups=("bert", "clip"),
    ),
    "lambda": Sweep(
        "Weight of the semantic similarity loss (ECCV 2024)",
        tuple(_leap(f"lambda {weight}", f"loss.avss={weight}") for weight in (0.0, 0.5, 1.0, 2.0)),
    ),
    "output": Sweep(
        "Which block's output is read (ECCV 2024)",
        tuple(_leap(kind, f"model.decoder.output={kind}") for kind in ("first", "last", "average")),
    ),
    "losses": Sweep(
        "Which losses, and in which form (ECCV 2024; published code against paper)",
        (
            _leap("no segment labels", "loss.audio_segment=0.0", "loss.visual_segment=0.0", "loss.avss=0.0"),
            _leap("no avss", "loss.avss=0.0"),
            _leap("avss, published"),
            _leap("avss, paper", "loss.avss_form=paper"),
            _leap("union with a gradient", "loss.union=noisy_or"),
        ),
    ),
    "decoders": Sweep(
        "MMIL against LEAP on both encoders, both with segment pseudo labels (ECCV 2024, Table 2)",
        tuple(Variant(f"{decoder}-{encoder}", f"{decoder}-{encoder}") for encoder in ("han", "mmpyr")
              for decoder in ("mmil", "leap")),
    ),
}  # fmt: skip


def run_ablation(
    name: str | None, *, store_url: str | None, annotations: str | None, out: Path | None, seeds: int,
    changes: tuple[str, ...], device: str,
) -> None:  # fmt: skip
    """``avvp ablate``.

    Raises:
        InvalidInput: If there is no such sweep, or the store, the annotations or the folder is not given.
    """
    console = wide_console()
    if name is None:
        for key, sweep in SWEEPS.items():
            also = f"; also reads labels {', '.join(sweep.label_groups)}" if sweep.label_groups else ""
            console.print(f"{key}: {sweep.description}; {len(sweep.variants)} variants{also}")
        return
    if name not in SWEEPS:
        raise InvalidInput(f"ablate: no sweep {name!r}; there are {', '.join(SWEEPS)}")
    if store_url is None or annotations is None or out is None:
        raise InvalidInput(f"ablate {name}: give --store, --annotations and --out")
    rows = run_sweep(SWEEPS[name], store_url, annotations, out, seeds=seeds, changes=changes, device=device)
    table = sweep_table(rows)
    (out / f"{name}.md").write_text(table)
    console.print(f"{SWEEPS[name].description}; test, mean ± standard deviation over {seeds} seeds\n")
    show_tables(console, table)


def run_sweep(
    sweep: Sweep, store_url: str, annotations: str, out: Path, *, seeds: int, changes: tuple[str, ...], device: str
) -> dict[str, list[dict[str, float]]]:
    """Train every variant with every seed; finished runs are read from their folders.

    Returns:
        Test scores by variant, one entry a seed.
    """
    from pipeline.train import run_training

    rows: dict[str, list[dict[str, float]]] = {}
    for variant in sweep.variants:
        for seed in range(1, seeds + 1):
            run = out / f"{variant.name.replace(' ', '-').replace(',', '')}-seed{seed}"
            scores = _known_scores(run / "scores.json")
            if "test" not in scores:
                every = (*variant.changes, *changes, f"train.seed={seed}")
                scores = run_training(
                    recipe=variant.recipe, store_url=store_url, annotations=annotations, out=run, changes=every,
                    device=device,
                )  # fmt: skip
            rows.setdefault(variant.name, []).append(scores["test"])
    return rows


def _known_scores(path: Path) -> dict[str, Any]:
    """Scores of a finished run by split; empty if the run has not finished."""
    if not path.is_file():
        return {}
    remedy = "Delete it to train this run again"
    scores = read_json(path, remedy=remedy)
    test = scores.get("test", {}) if isinstance(scores, dict) else None
    if not isinstance(test, dict) or (test and not all(isinstance(test.get(name), int | float) for name in SHOWN)):
        raise InvalidInput(f"{path}: expected the scores {', '.join(SHOWN)} of test. {remedy}")
    return dict(scores)


def sweep_table(rows: Mapping[str, list[dict[str, float]]]) -> str:
    """Means and standard deviations over seeds."""
    columns = [HEADINGS[name] for name in SHOWN]
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(SHOWN) + 1) + "|"]
    for variant, scores in rows.items():
        found = np.array([[one[name] for name in SHOWN] for one in scores])
        spread = found.std(axis=0, ddof=1) if len(found) > 1 else np.zeros(len(SHOWN))
        cells = [f"{mean:.2f} ±{deviation:.2f}" for mean, deviation in zip(found.mean(axis=0), spread, strict=True)]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
