"""A trained run, or an imported checkpoint, as a model of windows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.memory import average_segments
from pipeline.metrics.decisions import Mask
from pipeline.parsing.parsed_video import RANDOM, Modality, ModelFacts
from pipeline.parsing.window_model import Floats, ModelInput, WindowScores
from storage.errors import InvalidInput
from storage.schema import Sampling

if TYPE_CHECKING:
    from pipeline.training.loaded_run import LoadedRun
    from pipeline.training.run_record import FeatureRecord

PARSER = "parser"
"""Name of the run's own weights among those of the backbones."""
_VIDEO = ("union_video", "audio_video", "visual_video")


class RunModel:
    """See :class:`pipeline.parsing.window_model.WindowModel`.

    Args:
        run: loaded.
        device: ``cpu`` or ``cuda:N``.

    Raises:
        InvalidInput: If the run localizes events instead of parsing, its clips are no whole seconds, or its features
            cannot be made from a video.
    """

    facts: ModelFacts
    mask: Mask
    sampling: Sampling
    thresholds: Mapping[Modality, NDArray[np.float64]]

    def __init__(self, run: LoadedRun, *, device: str = "cpu") -> None:
        if run.recipe.task != "parsing":
            raise InvalidInput(
                f"{run.folder}: is a run of {run.recipe.task}, which gives one class a segment. "
                "avvp parse takes runs of parsing; score this one with avvp evaluate"
            )
        if run.dataset.clip_seconds != int(run.dataset.clip_seconds):
            raise InvalidInput(f"{run.folder}: its clips have {run.dataset.clip_seconds:g} s, expected whole seconds")
        self._run = run
        self._device = device
        self._model = run.model.to(device)
        self._labels = None if run.labels is None else run.labels.to(device)
        self.classes = run.dataset.classes
        self.window_seconds = int(run.dataset.clip_seconds)
        self.segments = run.dataset.segments
        self.inputs = tuple(_input(run.folder, feature) for feature in _distinct(run.features))
        self.sampling = next((f.sampling for f in run.features.values() if f.modality == "visual"), "uniform")
        self.mask = run.recipe.evaluate.mask
        level = np.full(len(self.classes), float(run.recipe.evaluate.threshold))
        self.thresholds = {"audio": level, "visual": level.copy()}
        weights = {item.backbone: item.identity for item in self.inputs if item.identity}
        self.facts = ModelFacts(
            str(run.folder), "run", run.recipe.description or run.recipe.name, {PARSER: run.weights, **weights}
        )

    def predict(self, features: Mapping[str, Floats]) -> WindowScores:
        """See :class:`~pipeline.parsing.window_model.WindowModel`."""
        import torch

        streams = {
            stream: torch.from_numpy(self._averaged(features[feature.array])).to(self._device)
            for stream, feature in self._run.features.items()
        }
        with torch.inference_mode():
            out = self._model(**streams, labels=self._labels)
        arrays = {
            name: cast("Floats", getattr(out, name).float().cpu().numpy())
            for name in ("audio_segment", "visual_segment", *_VIDEO)
        }
        return WindowScores(
            {"audio": arrays["audio_segment"], "visual": arrays["visual_segment"]},
            {name: arrays[name] for name in _VIDEO},
        )

    def _averaged(self, block: Floats) -> Floats:
        """Features as the trainer and the evaluation see them: a mean a segment, but for maps without segments."""
        if block.shape[1] % self.segments:
            return np.ascontiguousarray(block)
        return average_segments(block, np.ones(block.shape[:2], dtype=bool), self.segments)[0]


def open_run(folder: Path, *, device: str = "cpu") -> RunModel:
    """Load a run's folder.

    Raises:
        InvalidInput: If it holds none, or one that cannot parse videos.
        WeightsError: If its weights are absent or damaged.
    """
    from pipeline.training.loaded_run import load_run

    return RunModel(load_run(folder), device=device)


def _distinct(features: Mapping[str, FeatureRecord]) -> list[FeatureRecord]:
    """Each array once: two streams may read the same."""
    return list({feature.array: feature for feature in features.values()}.values())


def _input(folder: Path, feature: FeatureRecord) -> ModelInput:
    if feature.source == "synthetic":
        raise InvalidInput(
            f"{folder}: was trained on made-up features of {feature.array}, which no video has. Train on features that "
            "avvp extract made"
        )
    weights = feature.weights if feature.weights.startswith(RANDOM) else "pretrained"
    return ModelInput(feature.array, feature.backbone, feature.modality, weights, feature.weights)
