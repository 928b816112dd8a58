"""The command ``avvp synthetic``. Nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
@click.option("--noise", type=click.FloatRange(0), help="With --features: standard deviation of each value, beside "
              "classes of standard deviation 1. Default: 0.5, hard 3.")  # fmt: skip
@click.option("--overlap", type=click.FloatRange(0, 1), help="With --features: share of segments with several events "
              "among those with any; LLP's is 0.25. Default: as it falls.")  # fmt: skip
@click.option("--frequencies", type=click.Choice(["even", "llp"]), help="With --features: each class as often as the "
              "others, or as often and with the same others as in LLP. Default: even.")  # fmt: skip
@click.option("--error-seconds", type=click.FloatRange(1, 10), help="With --features: how long pseudo labels are "
              "wrong at a time, on average. Default: 1, each segment for itself.")  # fmt: skip
@click.option("--label-geometry", help="With --features: classes follow their label embeddings: 'kinds' (made up, near "
              "each other within a kind), a .npz of embeddings, or a store's labels/glove. Default: off.")  # fmt: skip
def synthetic(
    folder: Path, *, count: int | None, seed: int, features: bool, annotations: str | None, dataset: str,
    difficulty: str | None, label_geometry: str | None, **knobs: Any,
) -> None:  # fmt: skip
    """Make LLP-like clips with known labels: FOLDER/clips and FOLDER/annotations.

    With --features, make the features of such clips instead, to try parsers on: seconds, and no network is run. The
    store keeps how they were made: avvp inspect FOLDER/features.zarr vggish.
    """
    from pipeline.cli.synthetic_actions import make_synthetic, make_synthetic_events, make_synthetic_features

    given = {name: value for name, value in knobs.items() if value is not None}
    if dataset == "ave":
        if not features or annotations or difficulty or label_geometry or given:
            raise InvalidInput("synthetic --dataset ave: makes features, of made-up events. Add --features alone")
        make_synthetic_events(folder, count=count, seed=seed)
    elif features:
        make_synthetic_features(
            folder, count=count, seed=seed, annotations=annotations, difficulty=difficulty,
            label_geometry=label_geometry, knobs=given,
        )  # fmt: skip
    elif given or label_geometry:
        name = next(iter(given), "label_geometry").replace("_", "-")
        raise InvalidInput(f"synthetic --{name}: is of made-up features. Add --features")
    else:
        make_synthetic(folder, count=count, seed=seed)


COMMANDS: tuple[click.Command, ...] = (synthetic,)
