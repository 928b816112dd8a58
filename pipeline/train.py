"""``python -m pipeline.train``: a recipe, a store and annotations in, a run folder out.

Needs no Prefect and no extractor: only the store.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from rich.console import Console

if __name__ == "__main__":  # before our own imports: a folder of the user's may hide one of our packages
    from avvp import exit_if_shadowed

    exit_if_shadowed("train")

from pipeline.malloc import keep_freed_memory
from pipeline.recipes.shipped_recipes import shipped_recipes
from pipeline.terminal.console import count, wide_console
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from pipeline.recipes.recipe import Recipe

RECIPE, PROVENANCE, TIMES, TABLE = "recipe.toml", "provenance.json", "times.jsonl", "table.md"


@click.command()
@click.option("--recipe", required=True, help=f"A TOML file, or one of: {', '.join(shipped_recipes())}")
@click.option("--store", "store_url", required=True, help="A store with the recipe's features.")
@click.option("--annotations", required=True, help="The folder with the label files of the dataset.")
@click.option("--dataset", help="A dataset description: a name or a TOML file. Default: the one of the recipe's task.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The run's folder; goes on where it is.")
@click.option("--set", "changes", multiple=True, help="key=value, e.g. train.epochs=5 or model.decoder.blocks=4.")
@click.option("--missing", type=click.Choice(["skip", "error"]), default="skip", show_default=True,
              help="What becomes of clips that lack a feature.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True)
def train(**options: Any) -> None:
    """Train a parser on the features of a store.

    Run the same command again after a kill: it goes on after the last whole epoch, and ends as if nothing had been.
    """
    run_training(**options)


def run_training(
    *, recipe: str, store_url: str, annotations: str, dataset: str | None = None, out: Path,
    changes: tuple[str, ...] = (), missing: str = "skip", device: str = "auto",
    console: Console | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train, evaluate the best epoch, write the table.

    Returns:
        The scores of the best epoch: ``val``, and ``test`` if the store has such clips.

    Raises:
        InvalidInput: If recipe, store and annotations do not fit each other, or the loss is not finite.
    """
    from pipeline.datasets.dataset import Missing, check_features, load_split
    from pipeline.recipes.recipe import load_recipe
    from pipeline.training.loop import Trainer, make_accelerator
    from pipeline.training.run_setup import fresh_model, load_labels, sized_config
    from pipeline.training.tasks import task_of
    from storage.store import FeatureStore

    chosen = load_recipe(recipe, changes)
    task = task_of(chosen)
    store, labelled = FeatureStore.open(store_url), task.load_labels(annotations, dataset=dataset or task.dataset)
    check_features(store, chosen.features)
    labels = load_labels(chosen, store, labelled.dataset)
    config = sized_config(chosen, store, labelled.dataset, labels)
    how = cast("Missing", missing)
    known = task.training_labels(labelled, chosen)
    train_set = load_split(store, known, chosen.features, "train", missing=how, with_pseudo=True)
    val_set = load_split(store, labelled, chosen.features, "val", missing=how) if _has(labelled, "val") else None
    accelerator = make_accelerator(chosen, device)
    keep_freed_memory()
    model = fresh_model(config, chosen.train.seed)  # before the folder is made: settings that no model has leave none
    console = console or wide_console()
    if accelerator.is_main_process:
        _prepare_folder(out, chosen, store)
        for name, clips in (("train", train_set), ("val", val_set)):
            if clips is not None:
                left = "; ".join(f"{number} left out: {reason}" for reason, number in clips.skipped.items())
                console.print(f"{name}: {count(len(clips), 'clip')}{'; ' + left if left else ''}")
    accelerator.wait_for_everyone()
    trainer = Trainer(chosen, model, labels, train=train_set, val=val_set, out=out, accelerator=accelerator)
    log = _Log(out, console, first=trainer.progress.epoch, headline=task.headline)
    if trainer.progress.epoch:
        console.print(f"{out}: goes on after epoch {trainer.progress.epoch}")

    trainer.run(log.epoch)
    if not accelerator.is_main_process:
        return {}
    log.close()
    del trainer, model, train_set, val_set  # the evaluation reads its own clips: not both in memory at once
    from pipeline.reports.evaluation import final_scores

    return final_scores(out, store, labelled, missing=how, console=console)


def _has(annotations: Any, split: str) -> bool:
    return split in annotations.splits


def _prepare_folder(out: Path, recipe: Recipe, store: Any) -> None:
    """Write what the run is, or check that the folder is of the same run."""
    from pipeline.recipes.recipe import differences, load_recipe
    from pipeline.reports.evaluation import provenance_of
    from pipeline.training.run_setup import provenance

    target = out / RECIPE
    if target.is_file():
        before = load_recipe(target)
        if found := differences(before, recipe):
            raise InvalidInput(f"{out}: is a run of another recipe: {'; '.join(found[:3])}. Give another --out")
        stored, now = provenance_of(out), provenance(recipe, store)
        prints = [{name: array["fingerprint"] for name, array in one["arrays"].items()} for one in (stored, now)]
        if prints[0] != prints[1] or stored["clip_table"] != now["clip_table"]:
            raise InvalidInput(f"{out}: was trained on other features than {store.url} has. Give another --out")
        return
    half = out / f".{RECIPE}.partial"
    if out.is_dir() and any(entry not in (half, out / PROVENANCE) for entry in out.iterdir()):
        raise InvalidInput(f"{out}: is a folder with other things in it. Give a new --out")
    out.mkdir(parents=True, exist_ok=True)
    (out / PROVENANCE).write_text(json.dumps(provenance(recipe, store), indent=2, default=str))
    half.write_text(recipe.to_toml())
    half.replace(target)


class _Log:
    """Epochs on the terminal, in TensorBoard, and their seconds in a file of their own."""

    def __init__(self, out: Path, console: Any, *, first: int, headline: Callable[[dict[str, float]], str]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._out = out
        self._console = console
        self._headline = headline
        self._began = time.monotonic()
        self._writer = SummaryWriter(str(out / "tensorboard"), purge_step=first + 1)

    def epoch(self, report: Any) -> None:
        """Say what an epoch gave."""
        entry = report.entry
        seconds, self._began = time.monotonic() - self._began, time.monotonic()
        val = entry.get("val", {})
        shown = f"  val {self._headline(val)}" if val else ""
        best = "  best" if report.best and val else ""
        self._console.print(f"epoch {report.epoch}: loss {entry['loss']:.4f}{shown}{best}  ({seconds:.1f} s)")
        flat = {"loss": entry["loss"], "learning_rate": entry["learning_rate"]}
        flat |= {f"loss/{name}": value for name, value in entry["terms"].items()}
        flat |= {f"val/{name}": value for name, value in val.items()}
        for name, value in flat.items():
            self._writer.add_scalar(name, value, report.epoch)
        with (self._out / TIMES).open("a") as file:
            file.write(json.dumps({"epoch": report.epoch, "seconds": seconds}) + "\n")

    def close(self) -> None:
        """Flush."""
        self._writer.close()


def main() -> None:
    """Run as a program, with the exit codes of the command line."""
    from pipeline.terminal.exit_codes import run_command

    run_command(train, prog_name="python -m pipeline.train")


if __name__ == "__main__":
    main()
