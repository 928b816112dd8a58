"""The trainer: how busy it keeps the processor, its waiting and memory (trainer_run.py); the scoring. One JSON line."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.malloc import keep_freed_memory
from pipeline.metrics.parsing import parsing_scores
from pipeline.models.config_tables import model_config
from pipeline.models.factory import build_model
from pipeline.recipes.recipe import load_recipe
from pipeline.synthetic.features import write_features
from pipeline.training.losses import Targets, compute_loss
from pipeline.training.optim import make_optimizer

BATCH = 32
LLP_CLIPS = 11_849


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rates() -> tuple[float, float]:
    """FLOP/s of a matrix product and of a step of leap-mmpyr (forward, backward, optimizer), measured in turn."""
    recipe = load_recipe("leap-mmpyr")
    torch.manual_seed(0)
    model = build_model(model_config(recipe.model)).train()
    optimizer = make_optimizer(model.parameters(), recipe.train)
    inputs = {"audio": torch.rand(BATCH, 10, 128), "visual_2d": torch.rand(BATCH, 10, 2048),
              "visual_3d": torch.rand(BATCH, 10, 512), "labels": torch.randn(25, 300)}  # fmt: skip
    labels = [(torch.rand(BATCH, 10, 25) > 0.9).float() for _ in range(2)]
    targets = Targets(torch.maximum(*(part.amax(1) for part in labels)), *labels)

    def step() -> None:
        loss, _ = compute_loss(model(**inputs), targets, recipe.loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    with FlopCounterMode(display=False) as counter:
        step()
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    times = [(timed(lambda: a @ b), timed(step)) for _ in range(20)]
    product, whole = (statistics.median(side) for side in zip(*times, strict=True))
    return 2 * 2048**3 / product, counter.get_total_flops() / whole


def plain_scores(pred_audio, pred_visual, true_audio, true_visual) -> float:
    """As published: video after video, class after class, frames of pandas filtered by name for the truth."""
    import pandas

    rows = [(video, label, second) for video, second, label in zip(*np.nonzero(true_audio), strict=True)]
    audio = pandas.DataFrame(rows, columns=["filename", "label", "second"])
    rows = [(video, label, second) for video, second, label in zip(*np.nonzero(true_visual), strict=True)]
    visual = pandas.DataFrame(rows, columns=["filename", "label", "second"])
    total = 0.0
    for video in range(len(pred_audio)):
        truth = []
        for frame in (audio, visual):
            matrix = np.zeros(pred_audio.shape[1:])
            for _, row in frame[frame["filename"] == video].iterrows():
                matrix[row["second"], row["label"]] = 1
            truth.append(matrix)
        for prediction, real in ((pred_audio[video], truth[0]), (pred_visual[video], truth[1]),
                                 (pred_audio[video] * pred_visual[video], truth[0] * truth[1])):  # fmt: skip
            total += _segment_f1(prediction, real) + _event_f1(prediction, real)
    return total


def _segment_f1(prediction, real) -> float:
    scores = []
    for label in range(real.shape[1]):
        true = float(np.sum(prediction[:, label] * real[:, label]))
        false = float(np.sum(prediction[:, label] * (1 - real[:, label])))
        missed = float(np.sum((1 - prediction[:, label]) * real[:, label]))
        if true + false + missed:
            scores.append(2 * true / (2 * true + false + missed))
    return sum(scores) / len(scores) if scores else 1.0


def _event_f1(prediction, real) -> float:
    scores = []
    for label in range(real.shape[1]):
        found, wanted = _runs(prediction[:, label]), _runs(real[:, label])
        hits = sum(any(_overlap(one, other) >= 0.5 for other in wanted) for one in found)
        missed = sum(not any(_overlap(one, other) >= 0.5 for other in found) for one in wanted)
        if found or wanted:
            scores.append(2 * hits / (2 * hits + len(found) - hits + missed))
    return sum(scores) / len(scores) if scores else 1.0


def _runs(present) -> list[tuple[int, int]]:
    runs, first = [], None
    for second, value in enumerate([*present, 0]):
        if value and first is None:
            first = second
        elif not value and first is not None:
            runs.append((first, second))
            first = None
    return runs


def _overlap(one, other) -> float:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return shared / (max(one[1], other[1]) - min(one[0], other[0])) if shared > 0 else 0.0


def scoring_seconds() -> tuple[float, float]:
    random = np.random.default_rng(0)
    arrays = [np.repeat(random.random((1200, 2, 25)) < 0.08, 5, axis=1) for _ in range(4)]
    return timed(lambda: parsing_scores(*arrays)), timed(lambda: plain_scores(*arrays))


def main() -> None:
    keep_freed_memory()  # as the trainer does
    matrix, step = rates()
    out = {"matrix": matrix, "step": step}
    ours, plain = scoring_seconds()
    out |= {"scoring": ours, "plain_scoring": plain}
    with tempfile.TemporaryDirectory() as folder:
        write_features(folder, count=LLP_CLIPS)
        command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("trainer_run.py")), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        out |= json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(out))


if __name__ == "__main__":
    main()
