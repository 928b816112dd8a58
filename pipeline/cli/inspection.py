"""The commands ``avvp status`` and ``avvp inspect``. Nothing heavy is imported before they run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("store_url", metavar="STORE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(store_url: str, *, as_json: bool) -> None:
    """What is done and what failed, grouped by reason."""
    from pipeline.cli.inspection_actions import print_status

    print_status(store_url, as_json=as_json)


@click.command()
@click.argument("store_url", metavar="STORE")
@click.argument("array", required=False)
@click.option("--clip", "clip_id", help="Show one clip across all arrays.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write a page of that clip: pictures, no server.")
def inspect(store_url: str, array: str | None, clip_id: str | None, page: Path | None) -> None:
    """What a store holds: its arrays, one array, or one clip."""
    from pipeline.cli.inspection_actions import print_inspection

    print_inspection(store_url, array=array, clip_id=clip_id, page=page)


COMMANDS: tuple[click.Command, ...] = (status, inspect)
