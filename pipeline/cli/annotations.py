"""The commands ``avvp annotations …``. Nothing heavy is imported before they run."""

from __future__ import annotations

import click

DATASET_OPTION = click.option(
    "--classes",
    "--dataset",
    "dataset",
    default="llp",
    show_default=True,
    help="Dataset description: llp, or a TOML file of your own.",
)


@click.group(name="annotations")
def annotations_group() -> None:
    """Label files of a dataset."""


@annotations_group.command()
@click.argument("folder", metavar="DIR")
@DATASET_OPTION
@click.option("--strict", is_flag=True, help="Refuse label files with defects (exit code 2).")
@click.option("--all", "show_all", is_flag=True, help="Every defect, not three examples of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(folder: str, *, dataset: str, strict: bool, show_all: bool, as_json: bool) -> None:
    """Statistics of the label files in DIR, and their defects with file and line numbers."""
    from pipeline.cli.annotations_actions import check_annotations

    check_annotations(folder, dataset=dataset, strict=strict, show_all=show_all, as_json=as_json)


@annotations_group.command()
@click.argument("parsed", metavar="DIR")
@click.argument("out", metavar="OUT")
@DATASET_OPTION
@click.option("--split", default="test", show_default=True, help="The split that the clips are of.")
def gather(parsed: str, out: str, *, dataset: str, split: str) -> None:
    """Make label files in OUT from the .audio.tsv and .visual.tsv in DIR, which avvp parse wrote and you corrected.

    Clips that OUT has already are replaced, others stay.
    """
    from pipeline.cli.annotations_actions import gather_annotations

    gather_annotations(parsed, out, dataset=dataset, split=split)


COMMANDS: tuple[click.Command, ...] = (annotations_group,)
