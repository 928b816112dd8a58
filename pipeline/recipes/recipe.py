"""Recipes: everything that a training run depends on, in one TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from pipeline.recipes.localization_recipe import LocalizationRecipe
from pipeline.recipes.shipped_recipes import shipped_recipes, shipped_text
from pipeline.toml_tables import (
    FORBID_EXTRA,
    Amount,
    Count,
    CountOrZero,
    Fraction,
    did_you_mean,
    parse_toml,
    read_table,
)
from storage.errors import InvalidInput
from storage.foreign_files import reading

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32, description="a whole number from 0 to below 2**32")]
Beta = Annotated[float, Field(strict=True, ge=0, lt=1)]
Betas = Annotated[tuple[Beta, Beta], Field(description="a list of two numbers, from 0 to below 1")]
Epochs = Annotated[tuple[Count, ...], Field(description="a list of whole numbers, 1 or more")]


@dataclass(frozen=True, config=FORBID_EXTRA)
class FeaturesRecipe:
    """Which arrays of a store the model reads.

    Attributes:
        audio: audio features.
        visual_2d: frame features.
        visual_3d: features of stacks of frames; empty if the model reads none.
        labels: name of the label embeddings in ``labels/``; ``learnable`` to learn them; empty if the model reads none.
        pseudo_labels: name in ``pseudo_labels/``; empty to train on weak labels only.
    """

    audio: str = "vggish"
    visual_2d: str = "resnet152"
    visual_3d: str = "r2plus1d_18"
    labels: str = ""
    pseudo_labels: str = ""

    def streams(self) -> dict[str, str]:
        """The named arrays by stream."""
        every = {"audio": self.audio, "visual_2d": self.visual_2d, "visual_3d": self.visual_3d}
        return {stream: name for stream, name in every.items() if name}


@dataclass(frozen=True, config=FORBID_EXTRA)
class LossRecipe:
    """Losses of parsing: the weight of each term, 0 for none, and its form. See :mod:`pipeline.training.losses`.

    Attributes:
        audio_video: weight of the cross-entropy of the audio video probabilities.
        visual_video: weight of the cross-entropy of the visual video probabilities.
        union_video: weight of the cross-entropy of their union; its target is always the weak label.
        video_targets: targets of the first two: ``weak`` labels, or ``pseudo`` labels, pooled over time.
        audio_smoothing: label smoothing of the audio target: ``(1 - s) y + s / 2``. MM-Pyramid's published head swaps
            the names of its streams, so its visual smoothing acts on audio.
        visual_smoothing: label smoothing of the visual target, as in HAN.
        union: how the union is computed. ``model``: the model's own output (MMIL pooling). The others combine the two
            video probabilities: ``noisy_or`` and ``max`` have a gradient; ``hard``, LEAP's published code, has none.
        union_form: how often the union's term counts. ``published`` code: once. ``paper``: twice, because LEAP's
            equation 9 has it inside the sum over the two modalities.
        audio_segment: weight of the cross-entropy of audio segments against pseudo labels.
        visual_segment: weight of the cross-entropy of visual segments against pseudo labels.
        segments_from: ``probabilities`` (clamped, as in LEAP) or ``logits`` (as in VALOR and MM-CSE).
        segment_weights: ``none``, or ``confidence``: soft labels weigh ``|2 y - 1|`` in the two losses before.
        avss: weight of LEAP's audio-visual semantic similarity.
        avss_form: ``published`` code, or the ``paper``'s EIoU.
        reconstruction: weight of MM-CSE's reconstruction loss.
        orthogonality: weight of MM-CSE's orthogonality loss, classes against background.
        co_occurrence: weight of MM-CSE's co-occurrence loss, on the attention between classes.
    """

    audio_video: Amount = 1.0
    visual_video: Amount = 1.0
    union_video: Amount = 1.0
    video_targets: Literal["weak", "pseudo"] = "weak"
    audio_smoothing: Fraction = 0.0
    visual_smoothing: Fraction = 0.0
    union: Literal["model", "noisy_or", "max", "hard"] = "model"
    union_form: Literal["published", "paper"] = "published"
    audio_segment: Amount = 0.0
    visual_segment: Amount = 0.0
    segments_from: Literal["probabilities", "logits"] = "probabilities"
    segment_weights: Literal["none", "confidence"] = "none"
    avss: Amount = 0.0
    avss_form: Literal["published", "paper"] = "published"
    reconstruction: Amount = 0.0
    orthogonality: Amount = 0.0
    co_occurrence: Amount = 0.0


@dataclass(frozen=True, config=FORBID_EXTRA)
class TrainRecipe:
    """Optimisation.

    Attributes:
        epochs: passes over the training split.
        batch_size: clips per step, over all processes together.
        seed: seed of weights, clip order and dropout.
        optimizer: ``adam`` or ``adamw``.
        learning_rate: the highest learning rate.
        betas: Adam's running averages.
        weight_decay: L2 for Adam, decoupled for AdamW.
        clip_norm: largest norm of the gradients; 0 for no limit.
        schedule: ``constant``, ``step``, ``milestones``, or ``warmup_cosine`` (a linear warm-up, then half a cosine).
        step_epochs: for ``step``: epochs between two multiplications by ``step_gamma``.
        step_gamma: for ``step`` and ``milestones``: factor of the learning rate.
        milestones: for ``milestones``: epochs after which the rate is multiplied by ``step_gamma``.
        warmup_epochs: for ``warmup_cosine``: epochs of the warm-up.
        lowest_learning_rate: for ``warmup_cosine``: the rate after the last epoch.
        select: the score on val that chooses the best checkpoint.
        ties: the better of two equal epochs: the ``last`` (published ``>=``) or the ``first`` (``>``).
        precision: ``float32``, ``bfloat16`` or ``float16`` (autocast).
    """

    epochs: CountOrZero = 40
    batch_size: Count = 16
    seed: Seed = 1
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: Amount = 1e-4
    betas: Betas = (0.9, 0.999)
    weight_decay: Amount = 0.0
    clip_norm: Amount = 0.0
    schedule: Literal["step", "milestones", "warmup_cosine", "constant"] = "step"
    step_epochs: Count = 10
    step_gamma: Amount = 0.1
    milestones: Epochs = ()
    warmup_epochs: CountOrZero = 10
    lowest_learning_rate: Amount = 0.0
    select: str = "seg_type"
    ties: Literal["last", "first"] = "last"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"


@dataclass(frozen=True, config=FORBID_EXTRA)
class EvaluateRecipe:
    """Thresholds and masks that turn predictions into decisions.

    Attributes:
        mask: ``union``, ``own``, ``mmcse`` or ``none``, see :func:`pipeline.metrics.decisions.decide`; parsing only.
        threshold: smallest probability that counts. In localization it applies to the event gate, if the model has one.
    """

    mask: Literal["union", "own", "mmcse", "none"] = "union"
    threshold: Fraction = 0.5


@dataclass(frozen=True, config=FORBID_EXTRA)
class Recipe:
    """A training run.

    Attributes:
        name: name of the recipe.
        description: one line: the system, and the row of the paper's table.
        task: ``parsing`` or ``localization``.
        model: the model, see :func:`pipeline.models.config_tables.model_config`.
        features: the arrays to read.
        loss: losses of parsing.
        localization: losses of localization.
        train: optimisation.
        evaluate: decisions.
    """

    name: str
    description: str = ""
    task: Literal["parsing", "localization"] = "parsing"
    model: Mapping[str, Any] = field(default_factory=dict)
    features: FeaturesRecipe = field(default_factory=FeaturesRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    localization: LocalizationRecipe = field(default_factory=LocalizationRecipe)
    train: TrainRecipe = field(default_factory=TrainRecipe)
    evaluate: EvaluateRecipe = field(default_factory=EvaluateRecipe)

    @model_validator(mode="after")
    def _tables_fit_the_task(self) -> Self:
        if self.task == "parsing" and self.localization != LocalizationRecipe():
            raise ValueError("[localization] is not read by a parsing recipe; its losses are in [loss]")
        if self.task == "localization" and self.loss != LossRecipe():
            raise ValueError("[loss] is for parsing; the losses of localization are in [localization]")
        if self.task == "localization" and (self.features.pseudo_labels or self.evaluate.mask != "union"):
            raise ValueError("features.pseudo_labels and evaluate.mask are for parsing; leave them out")
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def to_toml(self) -> str:
        """TOML that :func:`load_recipe` reads back."""
        return tomli_w.dumps(self.to_json())


def load_recipe(name_or_file: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        name_or_file: one of :func:`shipped_recipes`, or a TOML file.
        changes: ``key=value`` with dots, such as ``train.epochs=5`` or ``model.decoder.blocks=4``. Values are TOML;
            a bare word is text.

    Raises:
        InvalidInput: If there is no such recipe, a key is unknown (the nearest is named), or a value is of another
            type or out of its range, or a table is of another task.
    """
    text, name = _text_of(name_or_file)
    data = parse_toml(text, source=name_or_file)
    for change in changes:
        _apply(data, change)
    data.setdefault("name", name)
    return read_table(Recipe, data, where=str(name_or_file))


def with_changes(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """A recipe with other values, see :func:`load_recipe`.

    Raises:
        InvalidInput: Likewise.
    """
    data = parse_toml(recipe.to_toml(), source=recipe.name)
    for change in changes:
        _apply(data, change)
    return read_table(Recipe, data, where=recipe.name)


def _text_of(name_or_file: str | Path) -> tuple[str, str]:
    name, path = str(name_or_file), Path(name_or_file)
    if name in shipped_recipes():
        return shipped_text(name), name
    if not path.is_file():
        near, choices = did_you_mean(name, shipped_recipes()), ", ".join(shipped_recipes())
        raise InvalidInput(f"{name}: no such recipe.{near} Give a TOML file, or one of: {choices}")
    with reading(name, "cannot be read", error=InvalidInput):
        return path.read_text(encoding="utf-8"), path.stem


def _apply(data: dict[str, Any], change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator or not key.strip():
        raise InvalidInput(f"--set {change}: expected key=value, e.g. train.epochs=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = text
    *tables, last = key.strip().split(".")
    for table in tables:
        below = data.get(table)
        if isinstance(below, str):  # a name alone stands for a table with that name
            data[table] = {"name": below}
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise InvalidInput(f"--set {change}: {table} is a value, not a table")
    data[last] = value


def with_model(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with changed entries in its ``[model]`` table."""
    return replace(recipe, model={**recipe.model, **changes})


def differences(one: Recipe, other: Recipe) -> list[str]:
    """Keys that differ between two recipes, with both values; ignores names and descriptions."""
    first, second = _flat(one.to_json()), _flat(other.to_json())
    keys = [key for key in dict.fromkeys([*first, *second]) if key not in ("name", "description")]
    return [f"{key} {first.get(key)!r} / {second.get(key)!r}" for key in keys if first.get(key) != second.get(key)]


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{path}.{key}" if path else key
        found |= _flat(value, name) if isinstance(value, Mapping) else {name: value}
    return found
