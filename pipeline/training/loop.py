"""The training loop. A run that is killed and resumed gives the same result as an uninterrupted one.

The order of clips and dropout depend only on seed and epoch, so the checkpoint at the end of an epoch is enough to
resume exactly. With n processes, each takes every n-th clip of a batch; the gradients are those of the whole batch.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from pipeline.datasets.dataset import ClipSet, batches
from pipeline.recipes.recipe import Recipe
from pipeline.training.checkpoint import (
    Progress,
    drop_optimizer,
    find_checkpoint,
    load_progress,
    load_weights,
    save_checkpoint,
)
from pipeline.training.devices import as_float32, autocast
from pipeline.training.optim import learning_rate, make_optimizer, set_learning_rate
from pipeline.training.predict import forward, predict
from pipeline.training.run_folder import BEST, LAST
from pipeline.training.tasks import task_of
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from accelerate import Accelerator

METRICS = "metrics.jsonl"
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True)
class EpochReport:
    """Report of one epoch.

    Attributes:
        epoch: from 1.
        entry: as in ``metrics.jsonl``.
        best: whether it is better than every epoch before it.
        kept: whether its checkpoint is the best one's: it is better, or as good and the recipe keeps the last.
    """

    epoch: int
    entry: dict[str, Any]
    best: bool
    kept: bool


@dataclass(frozen=True)
class StepReport:
    """Report of one step.

    Attributes:
        epoch: from 1.
        step: from 1.
        steps: of an epoch.
        loss: of the batch.
    """

    epoch: int
    step: int
    steps: int
    loss: float


class Trainer:
    """One run in its folder.

    Args:
        recipe: what to do.
        model: fresh, see :func:`pipeline.training.run_setup.fresh_model`.
        labels: text embeddings or ``None``.
        train: clips to train on.
        val: clips to choose the best epoch by; ``None`` to take the last.
        out: the run's folder.
        accelerator: where to run.
        keep_optimizer: keep its state when the run has ended, so that the run can be given more epochs.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: nn.Module,
        labels: Tensor | None,
        *,
        train: ClipSet[Any],
        val: ClipSet[Any] | None,
        out: Path,
        accelerator: Accelerator,
        keep_optimizer: bool = False,
    ) -> None:
        self.recipe = recipe
        self.task = task_of(recipe)
        self.train_set = train
        self.val_set = val
        self.out = out
        self.accelerator = accelerator
        self._keep_optimizer = keep_optimizer
        self.plain_model = model.to(accelerator.device)
        self.labels = None if labels is None else labels.to(accelerator.device)
        self.optimizer = make_optimizer(model.parameters(), recipe.train)
        precision, device = recipe.train.precision, accelerator.device
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self.progress = Progress(0, 0, -1.0, [])
        last = find_checkpoint(out / LAST)
        if last is not None:
            load_weights(last, self.plain_model)
            self.progress = load_progress(last, self.optimizer, epochs=recipe.train.epochs)
        self.model = accelerator.prepare(self.plain_model)

    def run(
        self,
        on_epoch: Callable[[EpochReport], None] = lambda report: None,
        on_step: Callable[[StepReport], None] = lambda report: None,
    ) -> Progress:
        """Train from where the folder says to the recipe's last epoch.

        Args:
            on_epoch: told of each epoch when its checkpoints are written; by the main process alone.
            on_step: told of each step.

        Raises:
            InvalidInput: If the loss is not finite, or predictions on val are NaN; the message says where and which.
        """
        self._write_metrics()
        for epoch in range(self.progress.epoch + 1, self.recipe.train.epochs + 1):
            entry = self._epoch(epoch, on_step)
            if self.accelerator.is_main_process:
                on_epoch(self._keep(epoch, entry))
            self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process and not self._keep_optimizer:
            drop_optimizer(self.out / LAST, self.plain_model, self.progress)
        return self.progress

    def _epoch(self, epoch: int, on_step: Callable[[StepReport], None]) -> dict[str, Any]:
        train = self.recipe.train
        torch.manual_seed(train.seed * _SEED_STRIDE + epoch * self.accelerator.num_processes
                          + self.accelerator.process_index)  # fmt: skip
        rate = learning_rate(train, epoch)
        set_learning_rate(self.optimizer, rate)
        self.model.train()
        sums: dict[str, float] = defaultdict(float)
        steps = math.ceil(len(self.train_set) / train.batch_size)
        drawn = batches(len(self.train_set), train.batch_size, seed=train.seed, epoch=epoch)
        for step, places in enumerate(drawn, start=1):
            values = self._step(places, where=f"epoch {epoch}, step {step}")
            for name, value in values.items():
                sums[name] += value * len(places) / len(self.train_set)
            on_step(StepReport(epoch, step, steps, values["loss"]))
        entry: dict[str, Any] = {"epoch": epoch, "learning_rate": rate, "loss": sums.pop("loss"), "terms": dict(sums)}
        if self.val_set is not None and self.accelerator.is_main_process:
            entry["val"] = self._scores(self.val_set, epoch)
        return entry

    def _step(self, places: NDArray[np.intp], *, where: str) -> dict[str, float]:
        """One update. Returns the batch's mean loss and terms, over all processes."""
        rank, count = self.accelerator.process_index, self.accelerator.num_processes
        share = places[rank::count]
        weight = len(share) * count / len(places)
        batch = self.train_set.batch(share if len(share) else places[:1])
        device = self.accelerator.device
        with autocast(self.recipe.train.precision, device):
            output = as_float32(forward(self.model, batch, self.labels, device))
        loss, terms = self.task.loss(output, batch, self.recipe, device)
        values = self._over_processes(torch.stack([loss.detach(), *terms.values()]) * weight)
        if not np.isfinite(values).all():
            bad = [name for name, value in zip(terms, values[1:], strict=True) if not np.isfinite(value)]
            raise InvalidInput(f"{where}: the loss is {values[0]} ({', '.join(bad) or 'the sum'}). {self._remedy()}")
        self.scaler.scale(loss * weight).backward()
        if self.recipe.train.clip_norm:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.model.parameters(), self.recipe.train.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return dict(zip(("loss", *terms), values.tolist(), strict=True))

    def _remedy(self) -> str:
        return (
            f"The last good checkpoint is in {self.out / LAST}; lower train.learning_rate or set train.clip_norm, "
            "and look at the features"
        )

    def _over_processes(self, values: Tensor) -> NDArray[np.float64]:
        if self.accelerator.num_processes > 1:
            values = self.accelerator.reduce(values, reduction="mean")
        return values.double().cpu().numpy()

    def _scores(self, clips: ClipSet[Any], epoch: int) -> dict[str, float]:
        found = predict(self.plain_model, clips, self.labels, parts=self.task.parts, device=self.accelerator.device)
        if bad := [name for name, values in found.items() if np.isnan(values).any()]:
            raise InvalidInput(f"epoch {epoch}, val: the model predicts NaN ({', '.join(bad)}). {self._remedy()}")
        return self.task.scores(found, clips.annotations, self.recipe)

    def _keep(self, epoch: int, entry: dict[str, Any]) -> EpochReport:
        """Save the checkpoints of an epoch: the best first, then the last, which completes the epoch."""
        score = entry["val"][self.recipe.train.select] if "val" in entry else float(epoch)
        before = self.progress.best_score
        best = score > before
        kept = best or (score == before and self.recipe.train.ties == "last")
        if kept:
            self.progress.best_epoch, self.progress.best_score = epoch, score
            save_checkpoint(self.out / BEST, self.plain_model)
        self.progress.epoch = epoch
        self.progress.history.append(entry)
        save_checkpoint(self.out / LAST, self.plain_model, optimizer=self.optimizer, progress=self.progress)
        self._write_metrics()
        return EpochReport(epoch, entry, best, kept)

    def _write_metrics(self) -> None:
        """Rewrite the metrics of all complete epochs; drops lines of a killed epoch."""
        if self.accelerator.is_main_process:
            lines = "".join(json.dumps(entry) + "\n" for entry in self.progress.history)
            half = self.out / f".{METRICS}.partial"
            half.write_text(lines)
            half.replace(self.out / METRICS)
