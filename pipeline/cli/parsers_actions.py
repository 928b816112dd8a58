"""Implementation of ``avvp checkpoint import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.recipes.recipe import load_recipe
from pipeline.terminal.console import wide_console
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from pipeline.datasets.clip_labels import ClipLabels
    from pipeline.training.imported_run import GivenLabels
    from pipeline.training.run_record import LabelsRecord


def run_checkpoint_import(
    system: str, official: str, out: Path, *, annotations: str | None, labels: str | None, **options: Any
) -> None:
    """``avvp checkpoint import``.

    Raises:
        InvalidInput: If a file, the store or the recipe cannot be used.
    """
    from pipeline.training.imported_run import import_official

    if annotations is not None and options["store_url"] is None:
        raise InvalidInput("checkpoint import: --annotations scores it on the features of --store; give both")
    labelled = None if annotations is None else _annotations(annotations, system)
    given = None if labels is None else _labels_in(labels, system)
    done = import_official(system, official, out, labels=given, **options)
    console = wide_console()
    console.print(f"{out}: {system}, {done.parameters:,} parameters from {official}")
    if done.record.labels.needed:
        console.print(f"label embeddings: {_labels_line(done.record.labels)}")
    if labelled is None:
        where = options["store_url"] or "STORE"
        console.print(f"next: avvp evaluate --run {out} --store {where} --annotations DIR")
        return
    from pipeline.reports.evaluation import final_scores
    from storage.store import FeatureStore

    store = FeatureStore.open(options["store_url"])
    if not final_scores(out, store, labelled, missing="skip", console=console):
        console.print(f"not scored: no split of {annotations} has ground truth and clips of {store.url}")


def _annotations(folder: str, system: str) -> ClipLabels:
    from pipeline.training.imported_run import dataset_of
    from pipeline.training.tasks import task_of

    dataset = dataset_of(system)
    return task_of(load_recipe(system)).load_labels(folder, dataset=dataset)


def _labels_in(file: str, system: str) -> GivenLabels:
    from pipeline.datasets.dataset_description import load_description
    from pipeline.labels.embeddings import read_label_file
    from pipeline.training.checkpoint import file_digest
    from pipeline.training.imported_run import GivenLabels, dataset_of

    path = Path(file).expanduser()
    vectors, _ = read_label_file(path, load_description(dataset_of(system)))
    return GivenLabels(vectors, str(path.absolute()), f"sha256:{file_digest(path)}")


def _labels_line(labels: LabelsRecord) -> str:
    if labels.source:
        return f"{labels.dim} values a class, from {labels.source}"
    return (
        f"not in the folder; evaluate, compare and train take labels/{labels.group} of their store, parse needs them: "
        "import with --labels FILE.npz or --store STORE"
    )
