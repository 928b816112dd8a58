"""The command ``avvp synthetic``. Nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path

import click

from storage.errors import InvalidInput


@click.command()
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


COMMANDS: tuple[click.Command, ...] = (synthetic,)
