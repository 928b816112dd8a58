"""The command ``avvp parse``. Nothing heavy is imported before it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.extract_options import some_extract_options

if TYPE_CHECKING:
    from collections.abc import Mapping

EXTRACTION = ("weights", "device", "engine", "workers", "deadline_seconds", "memory")
"""Fields of ExtractOptions that the user may set; the model knows the others."""


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="FILE|FOLDER|PATTERN...")
@click.option("--model", help="A run's folder, an imported checkpoint, clip+clap, or yamnet+efficientnet_lite0. "
              "Default: clip+clap where its weights are cached, else the other.")  # fmt: skip
@click.option("--dataset", help="Whose classes the teachers tell: llp, ave or a TOML file. Default: llp. A run has its "
              "own.")  # fmt: skip
@click.option("--output-dir", "--out", "out", type=click.Path(path_type=Path),
              help="Folder for the output. Default: beside each file.")  # fmt: skip
@click.option("--format", "formats", default="json,html", show_default=True,
              help="json, html, vtt, srt, tsv, audacity, eaf, labelstudio, with commas between, or all. json is always "
              "written.")  # fmt: skip
@click.option("--probabilities", is_flag=True, help="Put the probabilities of every second into the JSON.")
@click.option("--truth", help="A folder with label files of the dataset: the page shows them beside the events.")
@click.option("--hop", type=click.IntRange(1), help="Seconds between two windows. Default: half a window.")
@click.option("--threshold", type=float, help="Smallest probability that counts. Default: the model's.")
@click.option("--thresholds", help="A file with a threshold a class: JSON, or TOML by modality.")
@click.option("--min-duration", type=float, default=0.0, help="Drop shorter events, in seconds.")
@click.option("--join-gap", type=float, default=0.0, help="Join events of a class with at most this between, in s.")
@click.option("--classes", multiple=True, help="Only these classes. Repeat, or put commas between.")
@click.option("--top", type=click.IntRange(1), help="Only so many classes a modality, those with the highest peaks.")
@click.option("--keep", type=click.Path(path_type=Path),
              help="Keep the features: a store (NAME.zarr) for one file, or a folder with one a file. Another model on "
              "the same features decodes nothing then.")  # fmt: skip
@click.option("--report", type=click.Path(path_type=Path), help="Write what became of each file, as JSON.")
@some_extract_options(*EXTRACTION)
def parse(inputs: tuple[str, ...], *, extraction: Mapping[str, Any], **asked: Any) -> None:
    """Say what happens in videos, when, and whether it is heard or seen.

    For each file: holiday.json, and holiday.html, a page that plays it. What is done is not done again; after a kill,
    run the same command. A file that cannot be read stops nothing (exit code 3).
    """
    from pipeline.cli.parse_actions import Asked, run_parse

    sys.exit(run_parse(inputs, Asked(**asked), extraction))


COMMANDS: tuple[click.Command, ...] = (parse,)
