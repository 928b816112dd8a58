"""The command reproduce."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal.console import wide_console
from storage.errors import InvalidInput


@click.command()
@click.argument("items", nargs=-1, metavar="[ITEM]...")
@click.option("--list", "listed", is_flag=True, help="All tables and figures: what each needs, how much it trains.")
@click.option("--store", "store_url", help="A store with the features.")
@click.option("--annotations", help="The folder with the label files of the dataset.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="A folder for tables and runs; what is done there is kept."
)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Runs of each row, from the "
              "recipe's own seed on.")  # fmt: skip
@click.option("--set", "changes", multiple=True, help="key=value for every run.")
@click.option("--clip", "clips", multiple=True, help="For pictures of clips: an id or how it begins; repeatable. "
              "Default: the test clips with most events at once.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="As for train.")
def reproduce(
    items: tuple[str, ...], *, listed: bool, store_url: str | None, annotations: str | None, out: Path | None,
    seeds: int, changes: tuple[str, ...], clips: tuple[str, ...], device: str,
) -> None:  # fmt: skip
    """Tables and figures of the papers: train, score, and print ours beside the published numbers.

    ITEM is a name of --list, such as leap-table2; 'leap-*' for several; or a TOML file of your own.
    """
    from pipeline.reproduce.listing import print_list
    from pipeline.reproduce.reproduce import chosen_items, needs_data
    from pipeline.reproduce.reproduce import reproduce as run
    from pipeline.reproduce.request import Request

    if listed:
        print_list(wide_console())
        return
    chosen = chosen_items(items)
    if out is None or (needs_data(chosen) and (store_url is None or annotations is None)):
        raise InvalidInput(f"reproduce {' '.join(items)}: give --store, --annotations and --out")
    run(chosen, Request(store_url or "", annotations or "", out, seeds, changes, device, clips), console=wide_console())


COMMANDS = (reproduce,)
