"""The label commands of ``avvp``: annotations, label embeddings, pseudo labels. Nothing heavy is imported here."""

from __future__ import annotations

from typing import Any

import click

DATASET_OPTION = click.option(
    "--classes",
    "--dataset",
    "dataset",
    default="llp",
    show_default=True,
    help="Dataset description: llp, or a TOML file of your own.",
)
STORE_OPTION = click.option("--store", "store_url", required=True, help="An existing store.")
DEVICE_OPTION = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:N.")


@click.group(name="annotations")
def annotations_group() -> None:
    """Label files of a dataset."""


@annotations_group.command()
@click.argument("folder", metavar="DIR")
@DATASET_OPTION
@click.option("--strict", is_flag=True, help="Refuse label files with defects (exit code 2).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(folder: str, *, dataset: str, strict: bool, as_json: bool) -> None:
    """Statistics of the label files in DIR, and every defect with its file and line numbers."""
    from pipeline.annotation_report import check_annotations

    check_annotations(folder, dataset=dataset, strict=strict, as_json=as_json)


@click.command()
@STORE_OPTION
@click.option("--embedder", required=True, help="glove, bert, clip, clap, or clip:<model>/<pretrained>.")
@click.option("--weights", default="pretrained", show_default=True, help="pretrained, random:SEED or a path.")
@DATASET_OPTION
@click.option(
    "--prompts", help="names, leap, valor or a TOML file. Default: leap for glove and bert, valor for others."
)
@click.option("--import", "import_file", help="Take published embeddings from this .npz instead of embedding.")
@click.option("--oov", help="glove: error (default) or skip-word, for words that it lacks.")
@click.option("--dim", help="glove: numbers a word. Default 300.")
@click.option("--pooling", help="bert: mean (default) of word pieces, or cls.")
@click.option("--tokenizer", help="bert, clap: folder of the tokenizer, where the hub's is not at hand.")
@DEVICE_OPTION
@click.option("--rebuild", is_flag=True, help="Replace embeddings that were made otherwise.")
def labels(**options: Any) -> None:
    """Embed the class names of a dataset into the store's labels/."""
    from pipeline.label_reports import run_labels

    run_labels(**options)


COMMANDS: tuple[click.Command, ...] = (annotations_group, labels)
