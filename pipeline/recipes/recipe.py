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
        audio: feature array of the sound.
        visual_2d: feature array of frames.
        visual_3d: feature array of stacks of frames; empty where the model reads none.
        labels: label embeddings ``labels/<name>``; empty where the model needs none or learns its own.
        pseudo_labels: ``pseudo_labels/<name>``; empty for training on weak labels alone.
    """

    audio: str = "vggish"
    visual_2d: str = "resnet152"
    visual_3d: str = "r2plus1d_18"
    labels: str = ""
    pseudo_labels: str = ""

    def streams(self) -> dict[str, str]:
        """Arrays by stream, those that are named."""
        every = {"audio": self.audio, "visual_2d": self.visual_2d, "visual_3d": self.visual_3d}
        return {stream: name for stream, name in every.items() if name}


@dataclass(frozen=True, config=FORBID_EXTRA)
class LossRecipe:
    """Weights of the terms, 0 for none, and their forms. See :mod:`pipeline.training.losses`.

    Attributes:
        audio_video: cross-entropy of the audio stream's video probabilities.
        visual_video: of the visual stream's.
        union_video: of the union's; its target is always the weak label.
        video_targets: of the first two: the ``weak`` label, or ``pseudo`` labels, any over time.
        audio_smoothing: label smoothing of the audio target: ``(1 - s) y + s / 2``. MM-Pyramid's published head names
            the streams the wrong way round, so what it means for the visual stream it does to audio.
        visual_smoothing: the same of the visual target, as HAN does.
        union: ``model``: the model's own output (MMIL's pooling). Else made from the two video probabilities:
            ``noisy_or`` and ``max`` have a gradient; ``hard``, as published with LEAP, has none.
        audio_segment: cross-entropy of audio segments against pseudo labels.
        visual_segment: of visual segments.
        segments_from: ``probabilities`` (clamped, as LEAP) or ``logits`` (as VALOR and MM-CSE).
        avss: LEAP's audio-visual semantic similarity.
        avss_form: ``published`` code, or the ``paper``'s EIoU.
        reconstruction: MM-CSE: features rebuilt from the decoupled classes.
        orthogonality: MM-CSE: classes against background.
        co_occurrence: MM-CSE: attention between classes against which classes occur together.
    """

    audio_video: Amount = 1.0
    visual_video: Amount = 1.0
    union_video: Amount = 1.0
    video_targets: Literal["weak", "pseudo"] = "weak"
    audio_smoothing: Fraction = 0.0
    visual_smoothing: Fraction = 0.0
    union: Literal["model", "noisy_or", "max", "hard"] = "model"
    audio_segment: Amount = 0.0
    visual_segment: Amount = 0.0
    segments_from: Literal["probabilities", "logits"] = "probabilities"
    avss: Amount = 0.0
    avss_form: Literal["published", "paper"] = "published"
    reconstruction: Amount = 0.0
    orthogonality: Amount = 0.0
    co_occurrence: Amount = 0.0


@dataclass(frozen=True, config=FORBID_EXTRA)
class LocalizationRecipe:
    """Losses of event localization: weights of the terms, 0 for none. See :mod:`pipeline.training.localization`.

    Attributes:
        pooled: of the video's probabilities that are made of its segments.
        video: of those that LEAP's label embeddings give.
        form: ``soft_margin`` (AVE, CMBS) or binary ``cross_entropy`` (PSP), both of probabilities.
        targets: the video's ``category`` alone, or each class's ``shares`` of its segments, which say more.
    """

    pooled: Amount = 1.0
    video: Amount = 0.0
    form: Literal["soft_margin", "cross_entropy"] = "soft_margin"
    targets: Literal["category", "shares"] = "category"


@dataclass(frozen=True, config=FORBID_EXTRA)
class TrainRecipe:
    """How it is optimised.

    Attributes:
        epochs: passes over the training split.
        batch_size: clips a step, over all processes together.
        seed: of weights, order and dropout.
        optimizer: ``adam`` or ``adamw``.
        learning_rate: at its highest.
        betas: of Adam.
        weight_decay: of AdamW.
        clip_norm: largest norm of all gradients; 0 for no limit.
        schedule: ``step``: times ``step_gamma`` every ``step_epochs``; ``milestones``: the same after each epoch of
            ``milestones``; ``warmup_cosine``: linear for
            ``warmup_epochs``, then half a cosine down to ``lowest_learning_rate``; or ``constant``.
        step_epochs: see ``schedule``.
        step_gamma: see ``schedule``.
        milestones: see ``schedule``.
        warmup_epochs: see ``schedule``.
        lowest_learning_rate: see ``schedule``.
        select: the score on val by which the best checkpoint is chosen.
        ties: which of two equal epochs is the best: the ``last`` (published ``>=``) or the ``first`` (``>``).
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
    """How predictions become decisions.

    Attributes:
        mask: ``union``, ``own``, ``mmcse`` or ``none``, see :func:`pipeline.metrics.decisions.decide`; parsing only.
        threshold: a probability that equals it counts; in localization that of a segment's having an event, where the
            model gives one.
    """

    mask: Literal["union", "own", "mmcse", "none"] = "union"
    threshold: Fraction = 0.5


@dataclass(frozen=True, config=FORBID_EXTRA)
class Recipe:
    """A training run.

    Attributes:
        name: of the recipe.
        description: one line for people: what it is, and which row of which table.
        task: what is learned.
        model: see :func:`pipeline.models.config_tables.model_config`.
        features: arrays to read.
        loss: terms; parsing only.
        localization: terms; localization only.
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
    """The same recipe with other entries of its ``[model]`` table."""
    return replace(recipe, model={**recipe.model, **changes})


def differences(one: Recipe, other: Recipe) -> list[str]:
    """Which keys differ between two recipes, with both values; names and descriptions aside."""
    first, second = _flat(one.to_json()), _flat(other.to_json())
    keys = [key for key in dict.fromkeys([*first, *second]) if key not in ("name", "description")]
    return [f"{key} {first.get(key)!r} / {second.get(key)!r}" for key in keys if first.get(key) != second.get(key)]


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{path}.{key}" if path else key
        found |= _flat(value, name) if isinstance(value, Mapping) else {name: value}
    return found
