"""The command ``avvp extract``. Nothing heavy is imported before it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pipeline.cli.extract_options import extract_options

if TYPE_CHECKING:
    from pipeline.extraction.options import ExtractOptions


@click.command()
@click.option(
    "--clips",
    required=True,
    help="A folder of media, tars ('shards/*.tar'), the LLP CSVs (a file or their folder), "
    "or a CSV/JSONL. Folders and tars may be in a bucket.",
)
@click.option("--media", help="Where the media files of a table are, if not beside it: a folder, s3://… or a tar.")
@click.option("--store", "store_url", required=True, help="The store: a path, or s3://… and the like. Made if absent.")
@click.option("--split", help="Only the clips of this split, such as val.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many clips: for a first look.")
@extract_options
def extract(
    clips: str,
    media: str | None,
    store_url: str,
    *,
    split: str | None,
    limit: int | None,
    options: ExtractOptions,
) -> None:
    """Decode clips once, run every backbone on them, store the features.

    What is in the store already is left alone: run the same command again after a kill, a crash or Ctrl-C.
    """
    from pipeline.extraction.first_look import refuse_at_once

    refuse_at_once(options)
    from pipeline.cli.extract_actions import read_clips, run_extract

    sys.exit(
        run_extract(table=read_clips(clips, media, split=split, limit=limit), store_url=store_url, options=options)
    )


COMMANDS: tuple[click.Command, ...] = (extract,)
