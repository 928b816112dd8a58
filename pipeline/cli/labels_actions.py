"""Implementation of ``avvp labels`` and ``avvp pseudo-labels``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.datasets.dataset_description import DatasetDescription, load_description
from pipeline.terminal.console import say, say_json
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from pipeline.datasets.llp import Annotations
    from storage.layout.label_schema import NoiseRatios, PseudoLabels

EMBEDDER_OPTIONS = ("oov", "dim", "pooling", "tokenizer")


def run_labels(*, store_url: str, embedder: str, dataset: str, import_file: str | None, **options: Any) -> None:
    """``avvp labels``.

    Raises:
        AvvpError: If anything that was given cannot be used.
    """
    from pipeline.labels.embeddings import import_labels, make_labels

    known = load_description(dataset)
    chosen = {name: options.pop(name) for name in EMBEDDER_OPTIONS}
    if import_file is None:
        made, written = make_labels(store_url, embedder=embedder, dataset=known, options=chosen, **options)
    else:
        given = [name for name, value in chosen.items() if value is not None]
        given += ["prompts"] if options["prompts"] else []
        given += ["weights"] if options["weights"] != "pretrained" else []
        if given:
            raise InvalidInput(f"--import takes vectors as they are: leave --{given[0]} out")
        rebuild = options["rebuild"]
        made, written = import_labels(store_url, import_file, embedder=embedder, dataset=known, rebuild=rebuild)
    count, dim = made.vectors.shape
    group = f"{store_url}: labels/{made.spec.name}"
    if written:
        weights = made.provenance.weights[:15]
        say(f"{group}: {count} classes of {known.name}, {dim} numbers each, {made.spec.description}, {weights}")
    else:
        say(f"{group}: nothing to do, the same is there")


def run_pseudo_labels(
    *, store_url: str, dataset: str, import_folder: str | None, name: str, subset: bool, rebuild: bool, **options: Any
) -> None:
    """``avvp pseudo-labels``.

    Raises:
        AvvpError: If anything that was given cannot be used.
    """
    from pipeline.labels.pseudo_labels import Sources, make_pseudo_labels
    from pipeline.labels.published_pseudo_labels import import_pseudo_labels

    known = load_description(dataset)
    sources = Sources(*(options.pop(part) for part in ("audio", "visual", "audio_labels", "visual_labels")))
    common: dict[str, Any] = {"dataset": known, "subset": subset, "rebuild": rebuild}
    if import_folder is None:
        made, written = make_pseudo_labels(store_url, name=name, sources=sources, **common, **options)
    else:
        made, written = import_pseudo_labels(store_url, import_folder, name=name or options["teacher"], **common)
    group = f"{store_url}: pseudo_labels/{made.teacher}"
    if not written:
        say(f"{group}: nothing to do, the same is there")
        return
    clips, segments, classes = made.audio.shape
    heard, seen = (int(part.sum()) for part in made.decided())
    soft = " (soft: 0.5 and more)" if made.soft else ""
    say(
        f"{group}: {int(made.known.sum())} of {clips} clips, {segments} segments, {classes} classes; "
        f"{heard} labels heard, {seen} seen{soft}"
    )


def _with_truth(
    store_url: str, teacher: str, dataset: str, annotations: str, split: str
) -> tuple[PseudoLabels, list[int], Annotations]:
    """Pseudo labels, the rows that have ground truth in a split, and that ground truth."""
    from pipeline.datasets.llp import load_annotations
    from pipeline.labels.pseudo_label_scores import rows_with_truth
    from storage.labels import LabelStore
    from storage.store import FeatureStore

    known = load_description(dataset)
    labels = LabelStore.open(store_url).read_pseudo_labels(teacher, classes=known.classes)
    truth = load_annotations(annotations, dataset=known).split(split)
    if labels.audio.shape[1] != known.segments:
        raise InvalidInput(
            f"{store_url}: pseudo_labels/{teacher} has {labels.audio.shape[1]} segments, {known.name} {known.segments}"
        )
    return labels, *rows_with_truth(labels, FeatureStore.open(store_url).ids, truth)


def print_scores(*, store_url: str, teacher: str, dataset: str, annotations: str, split: str, as_json: bool) -> None:
    """``avvp pseudo-labels score``."""
    from pipeline.labels.pseudo_label_scores import score

    labels, rows, truth = _with_truth(store_url, teacher, dataset, annotations, split)
    audio, visual = labels.decided()
    found = {
        "audio": score(audio[rows], truth.audio, labels.classes).rows(),
        "visual": score(visual[rows], truth.visual, labels.classes).rows(),
    }
    if as_json:
        say_json({"split": split, "clips": len(rows), **found})
        return
    say(f"{store_url}: pseudo_labels/{teacher} on {len(rows)} clips of {split}, segments")
    width = max(map(len, labels.classes))
    for modality, lines in found.items():
        say(f"\n{modality:<{width}}  precision  recall     F1  segments  predicted")
        for line in lines:
            parts = "".join(_percent(line[name], size) for name, size in (("precision", 9), ("recall", 8), ("f1", 7)))
            say(f"{line['class']:<{width}}  {parts}  {line['segments']:>8}  {line['predicted']:>9}")


def _percent(value: float | None, width: int) -> str:
    return f"{'-' if value is None else f'{100 * value:.1f}':>{width}}"


def run_search(*, store_url: str, teacher: str, dataset: str, annotations: str, split: str, out: str) -> None:
    """``avvp pseudo-labels search``."""
    from pipeline.datasets.threshold_files import Thresholds, thresholds_text
    from pipeline.labels.pseudo_label_scores import search_thresholds

    labels, rows, truth = _with_truth(store_url, teacher, dataset, annotations, split)
    used = labels.provenance.facts.get("thresholds", {})
    if not used:
        raise InvalidInput(f"{store_url}: pseudo_labels/{teacher} was imported and has no logits to search")
    fallback = Thresholds(*(np.array(used[name], dtype=np.float64) for name in ("audio", "visual")))
    found = search_thresholds(labels, rows, truth, fallback=fallback)
    comment = (
        f"Best F1 of each class on {len(rows)} clips of {split}, by avvp pseudo-labels search.\nStore: {store_url}"
    )
    try:
        Path(out).write_text(thresholds_text(found, truth.dataset, comment=comment), encoding="utf-8")
    except OSError as problem:
        raise InvalidInput(f"--out {out}: cannot be written: {problem.strerror}") from None
    say(f"{out}: thresholds from {len(rows)} clips of {split}. Use them: avvp pseudo-labels --thresholds {out}")


def run_noise_ratios(
    store_url: str, *, name: str, dataset: str, import_file: str | None, run: str | None, annotations: str | None,
    rebuild: bool,
) -> None:  # fmt: skip
    """``avvp pseudo-labels noise``."""
    from pipeline.labels.noise_ratios import import_noise_ratios
    from storage.labels import LabelStore
    from storage.noise_ratios import write_noise_ratios

    known, labels = load_description(dataset), LabelStore.open(store_url)
    if import_file is not None:
        made = import_noise_ratios(Path(import_file).expanduser(), name=name, dataset=known)
    else:
        made = _estimated(store_url, str(run), str(annotations), name, known)
    written = write_noise_ratios(labels, made, rebuild=rebuild)
    group = f"{store_url}: noise_ratios/{made.name}"
    if not written:
        say(f"{group}: nothing to do, the same is there")
        return
    say(
        f"{group}: {len(made.classes)} classes; of their labels {100 * made.audio.mean():.1f} % are not heard and "
        f"{100 * made.visual.mean():.1f} % not seen, on average"
    )


def _estimated(store_url: str, run: str, annotations: str, name: str, dataset: DatasetDescription) -> NoiseRatios:
    """Noise ratios from a run's predictions of the training split."""
    from pipeline.datasets.llp import load_annotations
    from pipeline.labels.noise_ratios import estimate_noise_ratios
    from pipeline.reports.evaluation import run_predictions
    from storage.store import FeatureStore

    truth = load_annotations(annotations, dataset=dataset)
    found = run_predictions(Path(run), FeatureStore.open(store_url), truth, "train")
    weak = truth.align([str(one) for one in found["id"]], asker=run).weak
    return estimate_noise_ratios(found, weak, name=name, dataset=dataset, source=run)
