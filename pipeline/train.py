"""``avvp train`` or ``python -m pipeline.train``: trains a recipe on a store and writes a run folder.

Imports neither Prefect nor an extractor.
"""

from __future__ import annotations

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
from pipeline.training.device_names import check_device_name
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.recipes.recipe import Recipe
    from pipeline.training.loop import Trainer


@click.command()
@click.option("--recipe", help=f"A TOML file, or one of: {', '.join(shipped_recipes())}. Default: that of --init.")
@click.option("--store", "store_url", required=True, help="A store with the recipe's features.")
@click.option("--annotations", required=True, help="The folder with the label files of the dataset.")
@click.option("--dataset", help="A dataset description: a name or a TOML file. Default: the one of the recipe's task.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The run folder; training resumes if it exists."
)
@click.option("--init", type=click.Path(path_type=Path), help="A run, trained or imported: begin with its best weights "
              "instead of fresh ones.")  # fmt: skip
@click.option("--set", "changes", multiple=True, help="key=value, e.g. train.epochs=5 or model.decoder.blocks=4.")
@click.option("--epochs", type=click.IntRange(min=1), help="Short for --set train.epochs=N. A finished run may "
              "be given more, if it kept its optimizer and its schedule does not depend on their number.")  # fmt: skip
@click.option("--keep-optimizer", is_flag=True, help="Keep the optimizer's state in last/ when the run has ended: two "
              "thirds of that folder, needed only for more --epochs.")  # fmt: skip
@click.option("--missing", type=click.Choice(["skip", "error"]), default="skip", show_default=True,
              help="What to do with clips that lack a feature.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps. Several GPUs: "
              "accelerate launch --multi_gpu -m pipeline.train …")  # fmt: skip
def train(**options: Any) -> None:
    """Train a parser on the features of a store.

    After a kill, run the same command again: it resumes after the last complete epoch, with the same result.
    """
    run_training(**options)


def run_training(
    *, recipe: str | None, store_url: str, annotations: str, dataset: str | None = None, out: Path,
    init: Path | None = None, changes: tuple[str, ...] = (), epochs: int | None = None, keep_optimizer: bool = False,
    missing: str = "skip", device: str = "auto", console: Console | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train, evaluate the best epoch, write the table.

    Returns:
        The scores of the best epoch: ``val``, and ``test`` if the store has such clips.

    Raises:
        InvalidInput: If what was given does not fit together, or the loss is not finite.
    """
    chosen = _recipe(recipe, init, changes if epochs is None else (*changes, f"train.epochs={epochs}"))
    check_device_name(device)
    from pipeline.datasets.dataset import Missing, check_features, load_split
    from pipeline.training.devices import check_device, check_precision, make_accelerator
    from pipeline.training.loop import Trainer
    from pipeline.training.loss_check import check_losses
    from pipeline.training.run_setup import fresh_model, load_labels, run_record, sized_config
    from pipeline.training.run_start import load_initial, start_folder
    from pipeline.training.tasks import task_of
    from storage.store import FeatureStore

    check_device(device)
    task = task_of(chosen)
    store, labelled = FeatureStore.open(store_url), task.load_labels(annotations, dataset=dataset or task.dataset)
    check_features(store, chosen.features)
    labels = load_labels(chosen, store, labelled.dataset)
    config = sized_config(chosen, store, labelled.dataset, labels)
    how = cast("Missing", missing)
    known = task.training_labels(labelled, chosen)
    train_set = load_split(store, known, chosen.features, "train", missing=how, with_pseudo=True)
    val_set = load_split(store, labelled, chosen.features, "val", missing=how) if _has(labelled, "val") else None
    accelerator = make_accelerator(device)
    check_precision(chosen.train.precision, accelerator.device)
    keep_freed_memory()
    model = fresh_model(config, chosen.train.seed)  # before the folder is made: settings that no model has leave none
    check_losses(chosen, model, config)
    initial = None if init is None else load_initial(init, model)
    console = console or wide_console()
    if accelerator.is_main_process:
        record = run_record(chosen, config, store, labelled.dataset)
        start_folder(out, chosen, store, record, labels, init=initial)
        _say_clips(console, train=train_set, val=val_set)
    accelerator.wait_for_everyone()
    trainer = Trainer(
        chosen, model, labels, train=train_set, val=val_set, out=out, accelerator=accelerator,
        keep_optimizer=keep_optimizer,
    )  # fmt: skip
    if accelerator.is_main_process:
        _run_and_tell(trainer, console, init)
    else:
        trainer.run()
    accelerator.end_training()
    if not accelerator.is_main_process:
        return {}
    del trainer, model, train_set, val_set  # the evaluation reads its own clips: not both in memory at once
    from pipeline.reports.evaluation import final_scores

    if scores := final_scores(out, store, labelled, missing=how, console=console):
        console.print(f"{out}: this table is table.md and scores.json there, beside the predictions")
    return scores


def _recipe(recipe: str | None, init: Path | None, changes: tuple[str, ...]) -> Recipe:
    from pipeline.recipes.recipe import load_recipe
    from pipeline.training.run_folder import RECIPE, recipe_of

    if init is not None:
        recipe_of(init)  # its error says that there is no run
        recipe = recipe or str(init / RECIPE)
    if recipe is None:
        raise InvalidInput("train: give --recipe RECIPE, or --init RUN to begin with its recipe and weights")
    return load_recipe(recipe, changes)


def _run_and_tell(trainer: Trainer, console: Console, init: Path | None) -> None:
    """Train, with the log of the main process."""
    from pipeline.training.run_log import RunLog

    first, epochs = trainer.progress.epoch, trainer.recipe.train.epochs
    if first < epochs:
        _say_start(console, trainer.out, first, init, trainer.labels)
    with RunLog(trainer.out, console, first=first, epochs=epochs, headline=trainer.task.headline) as log:
        log.ended(trainer.run(log.epoch, log.step))


def _say_clips(console: Console, **sets: Any) -> None:
    for name, clips in sets.items():
        if clips is not None:
            left = "; ".join(f"{number} left out: {reason}" for reason, number in clips.skipped.items())
            console.print(f"{name}: {count(len(clips), 'clip')}{'; ' + left if left else ''}")


def _say_start(console: Console, out: Path, epoch: int, init: Path | None, labels: Tensor | None) -> None:
    from pipeline.training.run_start import labels_note

    if epoch:
        console.print(f"{out}: resuming after epoch {epoch}")
    elif init is not None:
        console.print(f"{out}: begins with the weights of {init}{labels_note(init, labels)}")


def _has(annotations: Any, split: str) -> bool:
    return split in annotations.splits


def main() -> None:
    """Run as a program, with the exit codes of the command line."""
    from pipeline.terminal.exit_codes import run_command

    run_command(train, prog_name="python -m pipeline.train")


if __name__ == "__main__":
    main()
