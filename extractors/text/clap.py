"""CLAP text embeddings, in the same space as :mod:`extractors.audio.clap`.

Source: Wu et al., Large-scale contrastive language-audio pretraining with feature fusion and keyword-to-caption
augmentation, ICASSP 2023, https://arxiv.org/abs/2211.06687. The tower is RoBERTa base, whose weights are in CLAP's own
file, and two linear layers; its tokenizer is RoBERTa's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from extractors.audio.clap import EMBEDDING_DIM, Clap
from extractors.engines import runtime
from extractors.text.embedder import INITIAL_LOGIT_SCALE, TextEmbedder
from extractors.weights.hugging_face import load_tokenizer, model_folder, quiet_transformers
from extractors.weights.inventory import WeightsFile, hub_file
from extractors.weights.loading import fill_random, load_into, load_state_dict, resolve
from storage.errors import InvalidInput, WeightsError

if TYPE_CHECKING:
    from torch import nn

TOKENS = 77
"""Length that laion-clap pads and cuts texts to."""

NOT_TEXT = (
    "audio_branch.",
    "audio_projection.",
    "audio_transform.",
    "text_transform.",
    "logit_scale_a",
    "logit_scale_t",
    "text_branch.embeddings.position_ids",
)
"""Of the official checkpoint, what the text tower leaves out. Position ids are a buffer of older transformers."""

VOCABULARY = 50_265
"""Tokens of RoBERTa."""

_TOKENIZER = "roberta-base"
_REMEDY = "Give a folder with RoBERTa's vocab.json and merges.txt: --tokenizer FOLDER."
_HUB_TOKENIZER = f"{_TOKENIZER} …"


class ClapText(TextEmbedder):
    """``clap`` or ``clap:<checkpoint>``: LAION-CLAP's text tower, projected and L2-normalised.

    Attributes:
        logit_scale: ``exp(logit_scale_a)``, as VALOR takes it.
    """

    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"tokenizer": (_HUB_TOKENIZER,)}
    normalised: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("laion-clap", "transformers", "tokenizers", "torch")

    def __init__(self, *, name: str, variant: str = "", options: Mapping[str, str] | None = None) -> None:
        super().__init__(name=name, variant=variant, options=options)
        self._sound = Clap(name=name, variant=variant)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Length of texts."""
        return {"tokens": TOKENS}

    def fetch(self) -> None:
        """See :meth:`TextEmbedder.fetch`: CLAP's file and the vocabulary."""
        super().fetch()
        model_folder(_TOKENIZER, weights=False, remedy=_REMEDY)

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """CLAP's own file, and RoBERTa's vocabulary in the hub's cache."""
        vocabulary = (
            hub_file(_TOKENIZER, "vocab.json", megabytes=0.9),
            hub_file(_TOKENIZER, "merges.txt", megabytes=0.5),
        )
        return (*self._sound.weights_files, *vocabulary)

    def load(self, weights: str, *, device: str = "cpu") -> None:
        """See :meth:`TextEmbedder.load`. Float32 is true float32 on every device."""
        import torch

        self._device = torch.device(runtime.pick_device(device))
        found = resolve(weights, self._sound.weights_source)
        place = self.chosen["tokenizer"].removesuffix(" …")
        with quiet_transformers():
            self._tokenizer = load_tokenizer(place, kind="RobertaTokenizer", remedy=_REMEDY)
            with runtime.skipped_initialisation():
                network = build_text_tower()
        count = len(self._tokenizer)
        if count > VOCABULARY or (found.kind == "pretrained" and count != VOCABULARY):
            raise WeightsError(f"{place}: has {count} tokens, RoBERTa has {VOCABULARY}. {_REMEDY}")
        self.logit_scale = INITIAL_LOGIT_SCALE
        if found.path is None:
            fill_random(network, found.seed)
        else:
            state = load_state_dict(found.path)
            load_into(network, state, path=found.path, ignore=NOT_TEXT)
            if "logit_scale_a" not in state:
                raise WeightsError(f"{found.path}: holds no logit_scale_a. Give CLAP's whole checkpoint")
            self.logit_scale = math.exp(float(state["logit_scale_a"]))
        self.weights, self.weights_source = found.identity, found.source
        self._network: Any = network.eval().requires_grad_(False).to(self._device)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`TextEmbedder.embed`. Texts longer than 77 tokens are cut off."""
        import torch

        if empty := [text for text in texts if not text.strip()]:
            raise InvalidInput(f"{self.name}: there is nothing to embed in {empty[0]!r}")
        tokens = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
        )
        with runtime.inference():
            pooled = self._network["text_branch"](
                input_ids=tokens["input_ids"].to(self._device), attention_mask=tokens["attention_mask"].to(self._device)
            ).pooler_output
            normal = torch.nn.functional.normalize(self._network["text_projection"](pooled).float(), dim=-1)
        return np.asarray(normal.cpu().numpy(), dtype=np.float32)


def build_text_tower() -> nn.ModuleDict:
    """``text_branch`` and ``text_projection`` of laion-clap's ``CLAP``, under its names, without values."""
    from torch import nn
    from transformers import RobertaConfig, RobertaModel

    # The rest of RoBERTa base is the configuration's defaults.
    config = RobertaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    projection = nn.Sequential(
        nn.Linear(config.hidden_size, EMBEDDING_DIM), nn.ReLU(), nn.Linear(EMBEDDING_DIM, EMBEDDING_DIM)
    )
    return nn.ModuleDict({"text_branch": RobertaModel(config), "text_projection": projection})
