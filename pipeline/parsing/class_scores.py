"""A zero-shot model of class scores: YAMNet hears, EfficientNet-Lite0 sees, tables name a dataset's classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from extractors import registry
from extractors.audio import yamnet, yamnet_onnx
from extractors.engines.runtime import pick_device
from extractors.visual import efficientnet_lite0
from extractors.weights.loading import resolve
from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.parsing.parsed_video import Modality, ModelFacts
from pipeline.parsing.teacher_model import TeacherModel, is_by_the_second
from pipeline.parsing.teacher_tables import TeacherTable, load_teacher_table
from pipeline.parsing.window_model import Floats, ModelInput, WindowScores, weights_for
from storage.errors import InvalidInput

NAME = "yamnet+efficientnet_lite0"
AUDIO, VISUAL = "yamnet", "efficientnet_lite0:scores"


@dataclass(eq=False, kw_only=True)
class ClassScoresModel(TeacherModel):
    """See :class:`pipeline.parsing.window_model.WindowModel`. Made by :func:`class_scores_model`.

    Attributes:
        tables: by modality, from the network's classes to the dataset's.
    """

    tables: Mapping[Modality, TeacherTable]

    def predict(self, features: Mapping[str, Floats]) -> WindowScores:
        """See :meth:`WindowModel.predict`. A class without a counterpart has probability 0."""
        segment: dict[Modality, Floats] = {}
        for item in self.inputs:
            scores = features[item.array]
            windows, _, dim = scores.shape
            of_segments = scores.reshape(windows, self.segments, -1, dim).mean(axis=2)
            segment[item.modality] = self.tables[item.modality].probabilities(of_segments)
        return WindowScores(segment, {})


def class_scores_model(
    dataset: DatasetDescription,
    *,
    weights: Mapping[str, str] | None = None,
    device: str = "auto",
    engine: str = "auto",
    note: str = "",
) -> ClassScoresModel:
    """The model for a dataset's classes.

    Args:
        dataset: classes and segments.
        weights: by backbone, as ``--weights`` gives them; ``""`` stands for all that are not named.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        engine: ``auto``, ``torch`` or ``openvino``.
        note: added to the description.

    Raises:
        InvalidInput: If there is no table for this dataset, its segments are not seconds, or an engine cannot run the
            weights.
        WeightsError: If weights, or YAMNet's class names, are not at hand.
    """
    if not is_by_the_second(dataset):
        raise InvalidInput(
            f"{dataset.name}: {NAME} scores whole seconds, its segments are {dataset.segment_seconds:g} s"
        )
    tables: dict[Modality, TeacherTable] = {
        "audio": load_teacher_table("audioset", dataset, yamnet.class_names()),
        "visual": load_teacher_table("imagenet", dataset, efficientnet_lite0.class_names()),
    }
    inputs = tuple(_input(name, weights or {}, device=device, engine=engine) for name in (AUDIO, VISUAL))
    bits = " in 8 bits" if inputs[0].identity == yamnet_onnx.IDENTITY else ""
    said = f"YAMNet{bits} and EfficientNet-Lite0, class scores by table; nothing was trained on {dataset.name}"
    return ClassScoresModel(
        facts=ModelFacts(
            name=NAME,
            kind="zero-shot",
            description=f"{said}. {note}" if note else said,
            weights={item.backbone.partition(":")[0]: item.identity for item in inputs},
            unknown={modality: tuple(table.without) for modality, table in tables.items()},
        ),
        classes=dataset.classes,
        window_seconds=round(dataset.clip_seconds),
        segments=dataset.segments,
        inputs=inputs,
        tables=tables,
        thresholds={modality: table.thresholds for modality, table in tables.items()},
    )


def _input(backbone: str, weights: Mapping[str, str], *, device: str, engine: str) -> ModelInput:
    """A backbone's array, once its weights are found and its engine is known to run them."""
    made = registry.create(backbone)
    chosen = weights_for(backbone, weights)
    found = resolve(chosen, made.weights_source)
    made.choose_engine(engine, found, device=pick_device(device), precision="float32")
    return ModelInput(made.array_name, backbone, made.modality, chosen, found.identity)
