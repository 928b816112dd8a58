"""Text embedders by name. A new one is one file beside this and one line here; nothing is imported until asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping

from extractors.text.embedder import TextEmbedder
from storage.errors import InvalidInput

EMBEDDERS: dict[str, str] = {
    "glove": "extractors.text.glove:Glove",
    "bert": "extractors.text.bert:Bert",
    "clip": "extractors.text.clip:ClipText",
    "clap": "extractors.text.clap:ClapText",
}
"""Name -> ``module:Class``."""

FAMILIES: dict[str, str] = {"hf": "extractors.text.hugging_face:HuggingFaceText"}
"""Prefix -> ``module:Class``, where a name needs what follows the colon."""

WITH_VARIANTS = {
    "clip": "clip:<model>/<pretrained>, e.g. clip:ViT-B-32/openai",
    "clap": "clap:<checkpoint>, e.g. clap:630k-audioset-best",
    "hf": "hf:ORG/MODEL or hf:FOLDER, e.g. hf:google/siglip2-base-patch16-224",
}
"""Names that may have a variant after a colon, and how it is written."""


def names() -> tuple[str, ...]:
    """The embedders there are."""
    return tuple(EMBEDDERS)


def create(name: str, options: Mapping[str, str | None] | None = None) -> TextEmbedder:
    """Make an embedder without its network. Cheap: imports no torch and reaches no network.

    Args:
        name: one of :func:`names`, or one of :data:`WITH_VARIANTS` and what follows its colon. The configuration of a
            model on the Hugging Face hub is fetched, if it is not there.
        options: of this embedder; ``None`` leaves one at its default.

    Raises:
        InvalidInput: If there is none of that name, or it has no such option or choice.
        WeightsError: If a model's configuration cannot be had.
    """
    base, _, variant = name.partition(":")
    known = EMBEDDERS | (FAMILIES if variant else {})
    if base not in known or (variant and base not in WITH_VARIANTS):
        near = difflib.get_close_matches(base.lower(), EMBEDDERS, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near and near[0] != name else ""
        choices = ", ".join([*EMBEDDERS, *WITH_VARIANTS.values()])
        raise InvalidInput(f"unknown embedder {name!r}.{hint} Choose from: {choices}")
    if name.endswith(":"):
        plain = name.rstrip(":")
        raise InvalidInput(f"embedder {name!r}: nothing follows the last colon; ask for {plain!r} without it")
    module, _, attribute = known[base].partition(":")
    kind: type[TextEmbedder] = getattr(importlib.import_module(module), attribute)
    given = {option: value for option, value in (options or {}).items() if value is not None}
    for option, value in given.items():
        _check_option(name, kind.options, option, value)
    return kind(name=name, variant=variant, options=given)


def _check_option(name: str, options: Mapping[str, tuple[str, ...]], option: str, value: str) -> None:
    if option not in options:
        has = ", ".join(f"--{known}" for known in options) or "none"
        raise InvalidInput(f"embedder {name!r} has no option --{option}; it has {has}")
    choices = options[option]
    if value not in choices and not any(choice.endswith("…") for choice in choices):
        raise InvalidInput(f"--{option} {value!r}: expected one of {', '.join(choices)}")
