"""A zero-shot model of similarities: VALOR's teachers CLIP and CLAP against a dataset's class names.

Source: Lai et al., Modality-independent teachers meet weakly-supervised audio-visual event parser (VALOR), NeurIPS
2023: their prompts, logits and thresholds. VALOR looks at the classes of a video's weak label only; here there is no
label, so all classes are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extractors import registry
from extractors.text import registry as text_registry
from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.datasets.prompt_files import load_prompts
from pipeline.datasets.threshold_files import load_thresholds
from pipeline.labels.embeddings import embed_labels
from pipeline.labels.pseudo_labels import similarity_logits
from pipeline.parsing.parsed_video import Modality, ModelFacts
from pipeline.parsing.teacher_model import TeacherModel, is_by_the_second
from pipeline.parsing.window_model import Floats, ModelInput, WindowScores, weights_for
from storage.errors import InvalidInput
from storage.layout.label_schema import LabelEmbeddings

NAME = "clip+clap"
BACKBONES: Mapping[Modality, str] = {"audio": "clap", "visual": "clip_vit_l14"}
EMBEDDERS: Mapping[Modality, str] = {"audio": "clap", "visual": "clip"}
DATASETS = ("llp",)
"""Those that VALOR published thresholds for."""
HALF = 0.5


@dataclass(eq=False, kw_only=True)
class ClipClapModel(TeacherModel):
    """See :class:`pipeline.parsing.window_model.WindowModel`. Made by :func:`clip_clap_model`.

    The probability of a class is the sigmoid of its logit less VALOR's threshold, so that 0.5 is VALOR's rule. A logit
    that equals its threshold counts here; VALOR asks for a greater one.

    Attributes:
        labels: by modality, embeddings of the class names.
        shifts: by modality, ``[classes]``, VALOR's thresholds of logits.
    """

    labels: Mapping[Modality, LabelEmbeddings]
    shifts: Mapping[Modality, NDArray[np.float64]]

    def predict(self, features: Mapping[str, Floats]) -> WindowScores:
        """See :meth:`WindowModel.predict`."""
        segment: dict[Modality, Floats] = {}
        for item in self.inputs:
            made = self.labels[item.modality]
            scale = made.provenance.logit_scale or 0.0
            logits = similarity_logits(features[item.array], made.vectors, logit_scale=scale)
            segment[item.modality] = _sigmoid(logits - self.shifts[item.modality])
        return WindowScores(segment, {})


def clip_clap_model(
    dataset: DatasetDescription, *, weights: Mapping[str, str] | None = None, device: str = "auto", note: str = ""
) -> ClipClapModel:
    """The model for a dataset's classes; embeds their prompts, which loads both text towers.

    Args:
        dataset: classes and segments.
        weights: by backbone (``clap``, ``clip_vit_l14``), as ``--weights`` gives them; ``""`` stands for all that are
            not named. A text tower takes those of its backbone.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        note: added to the description.

    Raises:
        InvalidInput: If VALOR published no thresholds for this dataset, or its segments are not seconds.
        WeightsError: If weights cannot be had.
    """
    if why := refusal(dataset):
        raise InvalidInput(f"{dataset.name}: {NAME} {why}. Take yamnet+efficientnet_lite0, or train a model")
    limits = load_thresholds("valor", dataset)
    shifts: dict[Modality, NDArray[np.float64]] = {"audio": limits.audio, "visual": limits.visual}
    labels: dict[Modality, LabelEmbeddings] = {}
    inputs: list[ModelInput] = []
    for modality, backbone in BACKBONES.items():
        chosen = weights_for(backbone, weights or {})
        made = labels[modality] = _embedded(EMBEDDERS[modality], dataset, chosen, device=device)
        array = registry.create(backbone).array_name
        inputs.append(ModelInput(array, backbone, modality, chosen, made.provenance.weights))
    said = f"CLIP and CLAP against prompts and thresholds of VALOR; nothing was trained on {dataset.name}"
    return ClipClapModel(
        facts=ModelFacts(
            name=NAME,
            kind="zero-shot",
            description=f"{said}. {note}" if note else said,
            weights={item.backbone: item.identity for item in inputs},
            unknown={"audio": (), "visual": ()},
        ),
        classes=dataset.classes,
        window_seconds=round(dataset.clip_seconds),
        segments=dataset.segments,
        inputs=tuple(inputs),
        labels=labels,
        shifts=shifts,
        thresholds={modality: np.full(len(dataset.classes), HALF) for modality in BACKBONES},
    )


def refusal(dataset: DatasetDescription) -> str:
    """Why the model cannot be had for a dataset, as the end of a sentence; empty where it can."""
    if dataset.name not in DATASETS:
        return f"has published thresholds for {', '.join(DATASETS)} only"
    if not is_by_the_second(dataset):
        return f"compares whole seconds, its segments are {dataset.segment_seconds:g} s"
    return ""


def _embedded(embedder: str, dataset: DatasetDescription, weights: str, *, device: str) -> LabelEmbeddings:
    chosen = text_registry.create(embedder)
    prompts = load_prompts("valor", dataset, embedder=embedder)
    chosen.load(weights, device=device)
    return embed_labels(chosen, dataset, prompts, described="valor")


def _sigmoid(logits: NDArray[np.float64]) -> Floats:
    """Without overflow; 0 gives 0.5 exactly."""
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1.0 + small), dtype=np.float32)
