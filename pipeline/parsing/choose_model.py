"""Chooses the model that ``--model`` names, a run's folder or zero-shot teachers, and the weights of its backbones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from extractors import registry
from pipeline.datasets.dataset_description import load_description
from pipeline.extraction.options import parse_weights
from pipeline.parsing.window_model import WindowModel, weights_for
from pipeline.toml_tables import did_you_mean
from storage.errors import InvalidInput

ZERO_SHOT = "zero-shot"


def open_model(
    name: str | None, *, dataset: str | None, weights: Sequence[str], device: str, engine: str
) -> WindowModel:
    """The model of a name.

    Args:
        name: a run's folder, one of :data:`pipeline.parsing.zero_shot.MODELS`, or :data:`ZERO_SHOT` or ``None`` for the
            best of these at hand.
        dataset: whose classes zero-shot teachers tell: a description's name or file; a run has its own.
        weights: as ``--weights`` takes them.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        engine: ``auto``, ``torch`` or ``openvino``.

    Raises:
        InvalidInput: If there is no such model, or it cannot parse videos.
        WeightsError: If weights cannot be had.
    """
    from extractors.engines.runtime import pick_device
    from pipeline.parsing.zero_shot import BACKBONES, MODELS, zero_shot_model

    if name is None or name == ZERO_SHOT or name in MODELS:
        return zero_shot_model(
            None if name == ZERO_SHOT else name, load_description(dataset or "llp"),
            weights=_by_backbone(weights, BACKBONES), device=device, engine=engine,
        )  # fmt: skip
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise InvalidInput(
            f"--model {name}: no such folder.{did_you_mean(name, MODELS)} Give a run, an imported checkpoint (avvp "
            f"checkpoint import), or one of {', '.join(MODELS)}"
        )
    from pipeline.parsing.run_model import open_run

    model = open_run(folder, device=pick_device(device))
    if dataset is not None and load_description(dataset).classes != model.classes:
        raise InvalidInput(f"--dataset {dataset}: {name} was trained for other classes. Leave --dataset out")
    return model


def choose_weights(model: WindowModel, given: Iterable[str]) -> dict[str, str]:
    """Weights of each backbone that a model reads; their identities become part of its facts.

    Args:
        model: of which the facts are completed.
        given: as ``--weights`` takes them.

    Raises:
        InvalidInput: If some name no backbone of the model, or are not those that it was trained on the features of.
        WeightsError: If they cannot be had.
    """
    weights = weights_of(model, given)
    known = model.facts.weights
    bases = {name: name.partition(":")[0] for name in weights}
    found = {
        bases[name] if bases[name] in known else name: made for name, made in check_weights(model, weights).items()
    }
    model.facts = replace(model.facts, weights={**known, **found})
    return weights


def check_weights(model: WindowModel, weights: Mapping[str, str]) -> dict[str, str]:
    """Identity of each backbone's weights, found before anything is decoded.

    Raises:
        InvalidInput: If they are others than those whose features the model was trained on.
        WeightsError: If they cannot be had.
    """
    from extractors.weights.loading import resolve

    found = {}
    for item in model.inputs:
        made = registry.create(item.backbone, clip_seconds=model.window_seconds)
        found[item.backbone] = resolve(weights[item.backbone], made.weights_source).identity
        if item.identity and found[item.backbone] != item.identity:
            raise InvalidInput(
                f"{model.facts.name}: was trained on features of {item.backbone} with weights {item.identity[:19]}, "
                f"these are {found[item.backbone][:19]}. Give the others: --weights {item.backbone}=FILE"
            )
    return found


def weights_of(model: WindowModel, given: Iterable[str]) -> dict[str, str]:
    """Weights by backbone: what the user gave, for it or for all, else the model's own.

    Raises:
        InvalidInput: If one names a backbone that the model does not read, or two are for all.
    """
    own = {item.backbone: item.weights for item in model.inputs}
    chosen = _by_backbone(given, own)
    return {name: weights_for(name, chosen, default=weights) for name, weights in own.items()}


def _by_backbone(given: Iterable[str], backbones: Iterable[str]) -> dict[str, str]:
    """``--weights`` by backbone or its base name; the entry ``""`` is for all others, where one was given for all."""
    texts = tuple(given)
    names = tuple(dict.fromkeys(part for name in backbones for part in (name, name.partition(":")[0])))
    chosen = parse_weights(texts, names)
    for_all = any(text.partition("=")[0] not in names for text in texts)
    return {name: weights for name, weights in chosen.items() if name or for_all}
