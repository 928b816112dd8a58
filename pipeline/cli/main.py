"""The command ``avvp``. Exit codes: 0 done, 2 the user's mistake, 3 finished but some clips failed, 1 our bug.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.doctor import COMMANDS as DOCTOR_COMMANDS
from pipeline.cli.download import COMMANDS as DOWNLOAD_COMMANDS
from pipeline.cli.extract_options import extract_options
from pipeline.cli.labels import COMMANDS as LABEL_COMMANDS
from pipeline.cli.parsers import COMMANDS as PARSER_COMMANDS
from pipeline.cli.stores import COMMANDS
from pipeline.cli.up import COMMANDS as UP_COMMANDS
from pipeline.terminal.exit_codes import run_command
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.extraction.options import ExtractOptions


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="avvp-pipeline", prog_name="avvp")
def avvp() -> None:
    """Audio-visual video parsing: clips in once, features of every backbone in one Zarr store."""


@avvp.command()
@click.option(
    "--clips", required=True, help="A folder of media, the LLP CSVs (a file or their folder), or a CSV/JSONL."
)
@click.option("--media", help="Where the media files of a table are, if not beside it.")
@click.option("--store", "store_url", required=True, help="The store: a path, or s3://… and the like. Made if absent.")
@extract_options
def extract(clips: str, media: str | None, store_url: str, options: ExtractOptions) -> None:
    """Decode clips once, run every backbone on them, store the features.

    What is in the store already is left alone: run the same command again after a kill, a crash or Ctrl-C.
    """
    from pipeline.cli.main_actions import run_extract

    sys.exit(run_extract(clips=clips, media=media, store_url=store_url, options=options))


@avvp.command()
@click.argument("store_url", metavar="STORE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(store_url: str, *, as_json: bool) -> None:
    """What is done and what failed, grouped by reason."""
    from pipeline.cli.main_actions import print_status

    print_status(store_url, as_json=as_json)


@avvp.command()
@click.argument("store_url", metavar="STORE")
@click.argument("array", required=False)
@click.option("--clip", "clip_id", help="Show one clip across all arrays.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write a page of that clip: pictures, no server.")
def inspect(store_url: str, array: str | None, clip_id: str | None, page: Path | None) -> None:
    """What a store holds: its arrays, one array, or one clip."""
    from pipeline.cli.main_actions import print_inspection

    print_inspection(store_url, array=array, clip_id=clip_id, page=page)


@avvp.command()
def backbones() -> None:
    """The backbones there are, and what each gives for a 10 s clip."""
    from pipeline.cli.main_actions import print_backbones

    print_backbones()


@avvp.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(3), help="Clips. Default: 24; with --features 240, like AVE 900.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--features", is_flag=True, help="Features instead of clips: FOLDER/features.zarr, to try parsers on.")
@click.option("--annotations", help="With --features: real label files, whose events are drawn on.")
@click.option("--dataset", type=click.Choice(["llp", "ave"]), default="llp", show_default=True,
              help="With --features: like LLP, for parsing, or like AVE, for event localization.")  # fmt: skip
@click.option("--difficulty", type=click.Choice(["easy", "hard"]),
              help="With --features: easy is learned in some epochs; hard has more classes and noise, and needs "
              "thousands of clips. Default: easy, but hard with --annotations.")  # fmt: skip
def synthetic(
    folder: Path, *, count: int | None, seed: int, features: bool, annotations: str | None, dataset: str,
    difficulty: str | None,
) -> None:  # fmt: skip
    """Make LLP-like clips with known labels: FOLDER/clips and FOLDER/annotations.

    With --features, make the features of such clips instead, to try parsers on: seconds, and no network is run.
    """
    from pipeline.cli.synthetic_actions import make_synthetic, make_synthetic_events, make_synthetic_features

    if dataset == "ave":
        if not features or annotations or difficulty:
            raise InvalidInput("synthetic --dataset ave: makes features, of made-up events. Add --features alone")
        make_synthetic_events(folder, count=count, seed=seed)
    elif features:
        make_synthetic_features(folder, count=count, seed=seed, annotations=annotations, difficulty=difficulty)
    else:
        make_synthetic(folder, count=count, seed=seed)


for _command in (*COMMANDS, *PARSER_COMMANDS):
    avvp.add_command(_command)
for label_command in LABEL_COMMANDS:
    avvp.add_command(label_command)
for doctor_command in DOCTOR_COMMANDS:
    avvp.add_command(doctor_command)
for up_command in UP_COMMANDS:
    avvp.add_command(up_command)
for download_command in DOWNLOAD_COMMANDS:
    avvp.add_command(download_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    run_command(avvp, prog_name="avvp", arguments=arguments)


if __name__ == "__main__":
    main()
