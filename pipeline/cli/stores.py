"""Commands on whole stores: verify, import, export, merge, subset. Nothing heavy is imported before one runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

LAYOUT_OPTION = click.option(
    "--layout",
    required=True,
    help="avvp-eccv20, valor, clip-clap-r2plus1d, lsld, or your own: NAME=PATTERN:SHAPE[:MODALITY][:STEP] such as "
    "'vgg=vgg/{id}.npy:10x128:audio:1s'.",
)


@click.command()
@click.argument("store_url", metavar="STORE")
@click.option("--deep", is_flag=True, help="Read every byte, decode every chunk, look at the numbers.")
@click.option("--repair", is_flag=True, help="Put metadata back, and mark damaged rows for the next extract or import.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(store_url: str, *, deep: bool, repair: bool, as_json: bool) -> None:
    """Is every byte of a store what was written? Exit code 3 if anything is wrong."""
    from pipeline.cli.stores_actions import run_verify

    sys.exit(run_verify(store_url, deep=deep, repair=repair, as_json=as_json))


@click.command(name="import")
@click.argument("store_url", metavar="STORE")
@click.argument("folder", metavar="DIR")
@LAYOUT_OPTION
@click.option("--clips", help="The clip table of a new store. Without it, clips are taken from the names of the files. "
              "ave-eccv18: Annotations.txt, by default the one in DIR.")  # fmt: skip
@click.option("--annotations", type=click.Path(path_type=Path), help="ave-eccv18: a folder to write AVE's label files "
              "to, from the published arrays.")  # fmt: skip
@click.option("--media", help="Where the media files of that table are, if not beside it.")
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True)
@click.option("--codec", type=click.Choice(["auto", "blosc", "zstd", "none"]), default="auto", show_default=True,
              help="auto: blosc, but none for rows under 64 KiB.")  # fmt: skip
@click.option("--shard-size", type=click.IntRange(1), help="Clips a shard, for a new store. Default 1024.")
@click.option("--rebuild", is_flag=True, help="Replace arrays of these names that came from elsewhere.")
def import_(
    *, store_url: str, folder: str, layout: str, clips: str | None, media: str | None, dtype: str, codec: str,
    shard_size: int | None, rebuild: bool, annotations: Path | None,
) -> None:  # fmt: skip
    """Take a published folder of features into a store: .npy, or the HDF5 of AVE.

    --layout takes ave-eccv18 too, the HDF5 files of AVE.
    """
    from pipeline.cli.stores_actions import run_import

    code = run_import(
        store_url=store_url, folder=folder, layout=layout, clips=clips, media=media, dtype=dtype, codec=codec,
        shard_size=shard_size, rebuild=rebuild, annotations=annotations,
    )  # fmt: skip
    sys.exit(code)


@click.command()
@click.argument("store_url", metavar="STORE")
@click.argument("folder", metavar="DIR")
@LAYOUT_OPTION
@click.option(
    "--padding", type=click.Choice(["skip", "zero", "nan"]), default="skip", show_default=True,
    help="What becomes of clips that lack some steps: left out, or filled.",
)  # fmt: skip
@click.option("--clips-per-tar", type=click.IntRange(1), help="webdataset: clips a tar. Default: the store's shards.")
def export(store_url: str, folder: str, *, layout: str, padding: str, clips_per_tar: int | None) -> None:
    """Write a store's features as the .npy folders of a published layout, or as WebDataset tars.

    --layout takes webdataset too, or webdataset:NAME,NAME for some arrays.
    """
    from pipeline.cli.stores_actions import run_export

    run_export(store_url, folder, layout=layout, padding=padding, clips_per_tar=clips_per_tar)


@click.command(name="compare-features")
@click.argument("store_url", metavar="STORE")
@click.argument("folder", metavar="DIR")
@click.option("--layout", help="As in avvp import. Default: whatever DIR has of the store's arrays.")
@click.option("--tolerance", type=click.FloatRange(0), default=1e-3, show_default=True, help="What counts as equal.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare_features(store_url: str, folder: str, *, layout: str | None, tolerance: float, as_json: bool) -> None:
    """Why do a store's features differ from published .npy files? Exit code 0 whatever the answer."""
    from pipeline.cli.comparison_actions import run_compare_features

    run_compare_features(store_url, folder, layout=layout, tolerance=tolerance, as_json=as_json)


@click.group()
def store() -> None:
    """Stores out of stores, and stores that grow: append, merge, subset."""


@store.command()
@click.argument("store_url", metavar="STORE")
@click.option("--clips", required=True, help="A folder of media, the LLP CSVs, or a CSV/JSONL: what is new in it.")
@click.option("--media", help="Where the media files of a table are, if not beside it.")
def append(store_url: str, *, clips: str, media: str | None) -> None:
    """Take in clips that STORE lacks, behind those that it has. Then extract the same table as before."""
    from pipeline.cli.stores_actions import run_append

    run_append(store_url, clips=clips, media=media)


@store.command()
@click.argument("urls", metavar="STORE… OUT", nargs=-1, required=True)
@click.option("--shard-size", type=click.IntRange(1), help="Clips a shard of OUT. Default: the first store's.")
def merge(urls: tuple[str, ...], *, shard_size: int | None) -> None:
    """Put stores that several machines made together into OUT."""
    if len(urls) < 2:
        raise click.UsageError("expected at least one store and OUT", click.get_current_context())
    from pipeline.cli.stores_actions import run_merge

    run_merge(urls[:-1], urls[-1], shard_size=shard_size)


@store.command()
@click.argument("store_url", metavar="STORE")
@click.argument("target", metavar="OUT")
@click.option("--split", help="Clips of this split: train, val or test.")
@click.option("--ids", "ids_file", help="Clips of this file, an id a line.")
@click.option("--shard-size", type=click.IntRange(1), help="Clips a shard of OUT. Default: the store's.")
def subset(store_url: str, target: str, *, split: str | None, ids_file: str | None, shard_size: int | None) -> None:
    """Put some clips of a store, with all that it holds of them, into OUT."""
    from pipeline.cli.stores_actions import run_subset

    run_subset(store_url, target, split=split, ids_file=ids_file, shard_size=shard_size)


COMMANDS = (verify, import_, export, compare_features, store)
