"""BERT: one vector a text, from its first token or as the mean of its word pieces.

Source: Devlin et al., BERT: pre-training of deep bidirectional transformers for language understanding, NAACL 2019.
LEAP's BERT variant has 768 dimensions; which pooling it used is not published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from extractors.engines import runtime
from extractors.text.embedder import TextEmbedder
from extractors.weights.hugging_face import load_tokenizer, model_folder, quiet_transformers, weights_sha256
from extractors.weights.inventory import WeightsFile, hub_file
from extractors.weights.loading import WeightsSource, fill_random, resolve
from storage.errors import InvalidInput, WeightsError
from storage.foreign_files import reading

if TYPE_CHECKING:
    from torch import nn

HUB_NAME = "bert-base-uncased"
_REMEDY = "Give a folder of transformers by --weights FOLDER, or --weights random:0 with --tokenizer FOLDER."
_HUB_TOKENIZER = "(the model's own) …"


class Bert(TextEmbedder):
    """``bert``: hidden states of the last layer, pooled.

    Weights are ``pretrained`` (``bert-base-uncased`` from the hub), a folder of transformers or another name on the
    hub, or ``random:SEED``. Random weights take their shape from the tokenizer's folder where it has a ``config.json``.
    """

    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"pooling": ("mean", "cls"), "tokenizer": (_HUB_TOKENIZER,)}
    libraries: ClassVar[tuple[str, ...]] = ("transformers", "tokenizers", "torch")

    @property
    def facts(self) -> Mapping[str, Any]:
        """How tokens are pooled."""
        return {"pooling": self.chosen["pooling"]}

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The network and its word pieces, in the hub's cache."""
        return hub_file(HUB_NAME, "model.safetensors", megabytes=440.4), hub_file(HUB_NAME, "vocab.txt", megabytes=0.2)

    def fetch(self) -> None:
        """See :meth:`TextEmbedder.fetch`."""
        model_folder(HUB_NAME, weights=True, remedy=_REMEDY)

    def load(self, weights: str, *, device: str = "cpu") -> None:
        """See :meth:`TextEmbedder.load`."""
        import torch

        self._device = torch.device(runtime.pick_device(device))
        tokenizer = "" if self.chosen["tokenizer"] == _HUB_TOKENIZER else self.chosen["tokenizer"]
        with quiet_transformers():
            if weights == "random" or weights.startswith("random:"):
                found = resolve(weights, WeightsSource("", ""))
                folder = model_folder(tokenizer or HUB_NAME, weights=False, remedy=_REMEDY)
                network = _network_of(folder)
                fill_random(network, found.seed)
                self.weights, self.weights_source = found.identity, found.source
            else:
                name = HUB_NAME if weights == "pretrained" else weights
                folder = model_folder(name, weights=True, remedy=_REMEDY)
                network = _trained_network(folder)
                self.weights, self.weights_source = f"sha256:{weights_sha256(folder)}", name
            self._tokenizer = load_tokenizer(tokenizer or str(folder), remedy=_REMEDY)
        self._network = network.eval().requires_grad_(False).to(self._device)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`TextEmbedder.embed`. Special tokens are no word pieces: the mean leaves them out."""
        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, return_tensors="pt", return_special_tokens_mask=True
        )
        pieces = (tokens["attention_mask"] * (1 - tokens.pop("special_tokens_mask"))).float()
        if not bool((pieces.sum(1) > 0).all()):
            empty = texts[int((pieces.sum(1) == 0).int().argmax())]
            raise InvalidInput(f"{self.name}: the tokenizer finds no word piece in {empty!r}")
        with runtime.inference():
            hidden = self._network(**{name: value.to(self._device) for name, value in tokens.items()}).last_hidden_state
        hidden = hidden.float().cpu()
        if self.chosen["pooling"] == "cls":
            return np.asarray(hidden[:, 0].numpy(), dtype=np.float32)
        mean = (hidden * pieces[..., None]).sum(1) / pieces.sum(1, keepdim=True)
        return np.asarray(mean.numpy(), dtype=np.float32)


def _trained_network(folder: Path) -> nn.Module:
    from transformers import AutoModel

    with reading(folder, "no model that transformers can read", error=WeightsError, remedy=_REMEDY):
        network, found = AutoModel.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, dtype="float32", output_loading_info=True
        )
    # transformers fills what a file lacks with random numbers. The pooler is not used here.
    if missing := sorted(name for name in found["missing_keys"] if not name.startswith("pooler.")):
        raise WeightsError(f"{folder}: does not fit its config.json: {len(missing)} missing: {missing[0]} …")
    return network  # type: ignore[no-any-return]


def _network_of(folder: Path) -> nn.Module:
    """A network without values, in the shape that a folder's ``config.json`` says, else BERT base."""
    from transformers import AutoModel, BertConfig, BertModel

    from extractors.engines.runtime import skipped_initialisation

    with reading(folder / "config.json", "not a model's configuration", error=WeightsError):
        data = json.loads((folder / "config.json").read_text()) if (folder / "config.json").is_file() else None
        with skipped_initialisation():
            if data is None:
                return BertModel(BertConfig())
            from transformers import AutoConfig

            config = AutoConfig.for_model(**data)
            return AutoModel.from_config(config)  # type: ignore[no-any-return]
