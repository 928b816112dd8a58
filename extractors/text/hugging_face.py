"""Text towers of transformers models, in the same space as the pictures or sounds of :mod:`extractors.hugging_face`."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from extractors.engines import runtime
from extractors.hugging_face.family import find_model
from extractors.hugging_face.model_types import ModelType
from extractors.hugging_face.networks import build_network, read_configuration
from extractors.text.embedder import INITIAL_LOGIT_SCALE, TextEmbedder
from extractors.weights.hugging_face import load_tokenizer, model_folder, quiet_transformers
from extractors.weights.inventory import WeightsFile, model_files
from extractors.weights.loading import load_state_dict, resolve
from storage.errors import InvalidInput, WeightsError
from storage.foreign_files import reading

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_OWN_TOKENIZER = "(the model's own) …"
_LOWER_ONLY = ("Gemma", "Siglip2")
"""Tokenizers of SigLIP 2: its texts keep their punctuation."""


@dataclass(frozen=True)
class TextTower:
    """How the texts of a ``model_type`` are embedded.

    Attributes:
        network: class of transformers.
        output: of the network.
        scale: name of the logit scale in the model's file.
        prompts: the embedder whose prompts fit.
        pads: whether texts are filled up to the full length, with no mask, as SigLIP's are.
        reserved: positions that no token takes.
    """

    network: str
    output: str
    scale: str
    prompts: str
    pads: bool = False
    reserved: int = 0

    @property
    def kind(self) -> ModelType:
        """For :mod:`extractors.hugging_face.networks`."""
        return ModelType(self.network, "frame", {}, part="text_config")


TOWERS: Mapping[str, TextTower] = {
    "clip": TextTower("CLIPTextModelWithProjection", "text_embeds", "logit_scale", "clip"),
    "siglip": TextTower("SiglipTextModel", "pooler_output", "logit_scale", "clip", pads=True),
    "clap": TextTower("ClapTextModelWithProjection", "text_embeds", "logit_scale_a", "clap", reserved=2),
}
"""By ``model_type``."""


class HuggingFaceText(TextEmbedder):
    """``hf:ORG/MODEL`` or ``hf:FOLDER``: the text tower of a CLIP, SigLIP, SigLIP 2 or CLAP model of transformers.

    Projected and L2-normalised, as the pictures or sounds of the same name. Weights are the same file.

    Attributes:
        logit_bias: what SigLIP adds to scaled similarities; ``None`` for others. It stands in the provenance.

    Raises:
        InvalidInput: If the model has no text tower that is offered.
        WeightsError: If its configuration cannot be had.
    """

    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"tokenizer": (_OWN_TOKENIZER,)}
    normalised: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("transformers", "tokenizers", "torch")

    def __init__(self, *, name: str, variant: str = "", options: Mapping[str, str] | None = None) -> None:
        super().__init__(name=name, variant=variant, options=options)
        self.model = find_model(name, variant)
        if self.model.model_type not in TOWERS:
            raise InvalidInput(
                f"embedder {name!r}: {self.model.model_type} has no text tower that is offered. Offered: models of "
                f"type {', '.join(TOWERS)}"
            )
        self.tower = TOWERS[self.model.model_type]

    @property
    def prompts_of(self) -> str:
        """CLIP's for pictures, CLAP's for sounds."""
        return self.tower.prompts

    @property
    def facts(self) -> Mapping[str, Any]:
        """The type, how texts are written and filled up, and SigLIP's bias."""
        facts = {"model_type": self.model.model_type, "padding": "max_length" if self.tower.pads else "longest"}
        return facts if self.logit_bias is None else {**facts, "logit_bias": self.logit_bias}

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The model's own."""
        return model_files(self.model.place)

    def fetch(self) -> None:
        """See :meth:`TextEmbedder.fetch`: the weights and the tokenizer."""
        resolve("pretrained", self.model.weights_source)
        model_folder(self.model.place, weights=False, remedy=_remedy(self.model.place))

    @cached_property
    def config(self) -> Any:
        """The text tower's, as transformers has it."""
        return read_configuration(self.model.folder, self.tower.kind, name=self.name)

    def load(self, weights: str, *, device: str = "cpu") -> None:
        """See :meth:`TextEmbedder.load`. Float32 is true float32 on every device."""
        import torch

        self._device = torch.device(runtime.pick_device(device))
        found = resolve(weights, self.model.weights_source)
        chosen = self.chosen["tokenizer"]
        self._tokenizer, self._written = _tokenizer(self.model.place if chosen == _OWN_TOKENIZER else chosen)
        network = build_network(self.config, self.tower.kind, found)
        self.logit_scale, self.logit_bias = INITIAL_LOGIT_SCALE, None
        if found.path is not None:
            state = load_state_dict(found.path)
            if self.tower.scale not in state:
                raise WeightsError(f"{found.path}: holds no {self.tower.scale}. Give the whole model's file")
            self.logit_scale = math.exp(float(state[self.tower.scale]))
            self.logit_bias = float(state["logit_bias"]) if "logit_bias" in state else None
        self.weights, self.weights_source = found.identity, found.source
        self._network: Any = network.requires_grad_(False).to(self._device)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`TextEmbedder.embed`. Texts longer than the tower's context are cut off."""
        import torch

        if empty := [text for text in texts if not text.strip()]:
            raise InvalidInput(f"{self.name}: there is nothing to embed in {empty[0]!r}")
        with runtime.inference():
            output = getattr(self._network(**self._tokens(texts)), self.tower.output)
            normal = torch.nn.functional.normalize(output.float(), dim=-1)
        return np.asarray(normal.cpu().numpy(), dtype=np.float32)

    def _tokens(self, texts: Sequence[str]) -> dict[str, Tensor]:
        length = int(self.config.max_position_embeddings) - self.tower.reserved
        written = [self._written(text) for text in texts] if self.tower.pads else list(texts)
        padding = "max_length" if self.tower.pads else True
        made = self._tokenizer(written, padding=padding, truncation=True, max_length=length, return_tensors="pt")
        # SigLIP was trained without a mask: its towers read the padding too.
        names = ("input_ids",) if self.tower.pads else ("input_ids", "attention_mask")
        return {name: made[name].to(self._device) for name in names}


def _tokenizer(place: str) -> tuple[Any, Callable[[str], str]]:
    """A tokenizer, and how SigLIP writes texts for it: SigLIP 2 in lower case, SigLIP without punctuation too."""
    remedy = _remedy(place)
    folder = model_folder(place, weights=False, remedy=remedy)
    whole = (folder / "tokenizer.json").is_file()
    with quiet_transformers():
        # tokenizer.json says all; the classes behind the names of some tokenizers need another package.
        kind = "PreTrainedTokenizerFast" if whole and _class_of(folder).startswith("Siglip") else "AutoTokenizer"
        tokenizer = load_tokenizer(str(folder), remedy=remedy, kind=kind)
    return tokenizer, str.lower if _class_of(folder).startswith(_LOWER_ONLY) else canonical


def canonical(text: str) -> str:
    """Lower case, no punctuation, single spaces: as SigLIP's captions were."""
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())


def _class_of(folder: Path) -> str:
    """The tokenizer's class, as its configuration names it; empty where it names none."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return ""
    with reading(path, "not a tokenizer's configuration", error=WeightsError):
        return str(json.loads(path.read_text(encoding="utf-8")).get("tokenizer_class") or "")


def _remedy(place: str) -> str:
    return f"Give a folder with {place}'s tokenizer.json and tokenizer_config.json: --tokenizer FOLDER."
