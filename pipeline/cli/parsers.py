"""Commands on parsers: train, evaluate, compare, model info, checkpoint import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.evaluate import OVERLAP_HELP, OVERLAPS, evaluate
from pipeline.train import train


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--annotations", required=True, help="The folder with the label files of the dataset.")
@click.option("--dataset", help="A dataset description: a name or a TOML file. Default: llp, or ave for localization.")
@click.option("--split", default="test", show_default=True)
@click.option(
    "--subset", help="Only these videos: overlapping:READING or non-overlapping:READING, see evaluate --overlap every."
)
@click.option("--classes", is_flag=True, help="F1 by class, event and segment level: each run, the differences to the "
              "first, the class average.")  # fmt: skip
@click.option("--overlap", type=click.Choice(OVERLAPS), is_flag=False, flag_value=OVERLAPS[0], help=OVERLAP_HELP)
@click.option("--bars", type=click.Path(path_type=Path), help="FILE.svg: event-level F1 by class as a bar chart.")
@click.option("--picture", help="CLIP=FILE.svg: the timeline of one clip, truth and all runs.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all numbers to a file.")
@click.option("--store", "store_url", help="To predict imported checkpoints from. Default: their predictions, or else "
              "the store they were imported for.")  # fmt: skip
def compare(
    runs: tuple[Path, ...], *, annotations: str, dataset: str | None, split: str, subset: str | None,
    store_url: str | None, **shown: Any,
) -> None:  # fmt: skip
    """Runs in one table, and their differences to the first with paired bootstrap intervals."""
    from pipeline.reports.comparison import ComparisonOutput, print_comparison
    from pipeline.reports.localization_comparison import is_localization, print_localization_comparison

    localization = is_localization(runs[0])
    print_ = print_localization_comparison if localization else print_comparison
    known = dataset or ("ave" if localization else "llp")
    print_(
        runs, annotations=annotations, dataset=known, split=split, subset=subset, store_url=store_url,
        output=ComparisonOutput(**shown),
    )  # fmt: skip


@click.group()
def model() -> None:
    """Models: their size and speed."""


@model.command()
@click.argument("recipe")
@click.option("--set", "changes", multiple=True, help="key=value.")
@click.option("--time", "timed", is_flag=True, help="Measure milliseconds a video, too.")
@click.option("--clips", type=click.IntRange(1), default=1, show_default=True, help="In a batch, for --time.")
@click.option("--device", default="auto", show_default=True, help="For --time: auto, cpu or cuda:N.")
def info(recipe: str, *, changes: tuple[str, ...], timed: bool, clips: int, device: str) -> None:
    """Parameters and FLOPs a clip, by part, of our module and of the published code with its dead weights."""
    from pipeline.cli.model_actions import print_model_info

    print_model_info(recipe, changes, timed=timed, clips=clips, device=device)


@click.group()
def checkpoint() -> None:
    """Checkpoints: published ones into ours."""


@checkpoint.command(name="import")
@click.option("--system", required=True, help="han, mmpyr, valor, valor-plus, valor-plusplus, leap-mmpyr, leap-han, "
              "mmcse, mmcse-clap-clip, avel-ave, avel-psp, avel-cmbs, avel-ave-supervised, avel-dmrn, "
              "avel-psp-supervised or avel-cmbs-supervised.")  # fmt: skip
@click.option("--norm", type=click.Choice(["post", "pre"]), default="post", show_default=True, help="VALOR only.")
@click.option("--recipe", default="", help="Whose arrays, mask and threshold to use. Default: the system's own recipe.")
@click.option("--set", "changes", multiple=True, help="key=value, e.g. features.audio=my_vggish.")
@click.option("--store", "store_url", help="A store with the features: says what made them, holds LEAP's label "
              "embeddings, and is what evaluate takes by default. Without it: the published backbones.")  # fmt: skip
@click.option("--labels", help="LEAP's label embeddings, an .npz as avvp labels --import takes it. Default: labels/ of "
              "--store; without both, those of the store that is evaluated.")  # fmt: skip
@click.option("--annotations", help="Score it at once on --store: the folder with LLP's label files, or AVE's.")
@click.argument("official", metavar="OFFICIAL.pt")
@click.argument("out", type=click.Path(path_type=Path))
def import_checkpoint(*, system: str, official: str, out: Path, **options: Any) -> None:
    """Make a run of a published checkpoint, for evaluate, compare, parse and train --init.

    OFFICIAL.pt is a state dict of torch.save, alone or within a training script's checkpoint, .safetensors or .npz.
    Python objects in it are refused, never loaded.
    """
    from pipeline.cli.parsers_actions import run_checkpoint_import

    run_checkpoint_import(system, official, out, **options)


COMMANDS = (train, evaluate, compare, model, checkpoint)
