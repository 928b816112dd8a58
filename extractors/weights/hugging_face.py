"""Folders of transformers models: local, or fetched once from the hub into its cache."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from extractors.weights.cache import file_sha256
from storage.errors import WeightsError
from storage.foreign_files import reading, reason_of

_TOKENIZER_FILES = ("*.json", "*.txt", "*.model")
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def model_folder(name_or_folder: str, *, weights: bool, remedy: str) -> Path:
    """The folder of a model or a tokenizer.

    Args:
        name_or_folder: a local folder, or a name on the hub such as ``roberta-base``.
        weights: whether the model's weights are wanted, or its tokenizer and configuration only.
        remedy: what the user can do where it cannot be had.

    Raises:
        WeightsError: If it cannot be had.
    """
    path = Path(name_or_folder).expanduser()
    if path.is_dir():
        return path
    if path.exists() or name_or_folder.count("/") > 1 or name_or_folder.startswith((".", "~")):
        raise WeightsError(f"{name_or_folder!r}: no such folder. {remedy}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        wanted = [*_TOKENIZER_FILES, _WEIGHT_FILES[0]] if weights else list(_TOKENIZER_FILES)
        return Path(snapshot_download(name_or_folder, allow_patterns=wanted))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as problem:
        reason = reason_of(problem)
        raise WeightsError(f"{name_or_folder!r} cannot be had from the Hugging Face hub: {reason} {remedy}") from None


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the model's weights in a folder.

    Raises:
        WeightsError: If it has none, or has them in several files.
    """
    for name in _WEIGHT_FILES:
        if (folder / name).is_file():
            return file_sha256(folder / name)
    raise WeightsError(f"{folder}: holds no weights. Expected {' or '.join(_WEIGHT_FILES)}")


def load_tokenizer(name_or_folder: str, *, remedy: str, kind: str = "AutoTokenizer") -> Any:
    """The tokenizer of a model.

    Args:
        name_or_folder: a local folder, or a name on the hub.
        remedy: what the user can do where it cannot be had.
        kind: class of transformers; the default goes by the folder's configuration.

    Raises:
        WeightsError: If it cannot be had or is damaged.
    """
    import transformers

    folder = model_folder(name_or_folder, weights=False, remedy=remedy)
    with reading(folder, "holds no tokenizer that transformers can read", error=WeightsError, remedy=remedy):
        made_by = getattr(transformers, kind)
        tokenizer = made_by.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    # Where files are missing, transformers makes a tokenizer that knows its special tokens only.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise WeightsError(f"{folder}: holds no vocabulary. {remedy}")
    return tokenizer


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no reports while a model is loaded."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
