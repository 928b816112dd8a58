"""CLIP text embeddings, in the same space as :mod:`extractors.visual.clip`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from extractors.engines import runtime
from extractors.text.embedder import INITIAL_LOGIT_SCALE, TextEmbedder
from extractors.visual.clip import ClipFacts, ClipImage, ClipVitL14
from extractors.weights.hugging_face import model_folder, quiet_transformers
from extractors.weights.inventory import WeightsFile
from extractors.weights.loading import fill_random, load_into, load_state_dict, resolve
from storage.errors import InvalidInput, WeightsError
from storage.foreign_files import reading

if TYPE_CHECKING:
    from torch import Tensor, nn

NOT_TEXT = ("visual.", "logit_scale", "logit_bias", "attn_mask", "input_resolution", "context_length", "vocab_size")
_POSITIONS = "transformer.embeddings.position_ids"
"""A buffer of older transformers, in the files of models with a tower from there."""
_OWN_TOKENIZER = "(the model's own) …"

"""Names in a CLIP file that are not the text tower's."""


class ClipText(TextEmbedder):
    """``clip``: ViT-L/14 with OpenAI's weights, or ``clip:<model>/<pretrained>``; projected and L2-normalised.

    Weights are the same file as the image tower's.

    Source: Radford et al., Learning transferable visual models from natural language supervision, ICML 2021.
    """

    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"tokenizer": (_OWN_TOKENIZER,)}
    normalised: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("open_clip_torch", "torch")

    def __init__(self, *, name: str, variant: str = "", options: Mapping[str, str] | None = None) -> None:
        super().__init__(name=name, variant=variant, options=options)
        image = ClipImage(name=name, variant=variant) if variant else ClipVitL14(name="clip_vit_l14")
        self._image = image
        self.model, self.pretrained = image.model, image.pretrained

    @property
    def facts(self) -> Mapping[str, Any]:
        """The model, and SigLIP's bias."""
        facts = {"model": f"{self.model}/{self.pretrained}"}
        return facts if self.logit_bias is None else {**facts, "logit_bias": self.logit_bias}

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The file of the whole CLIP model."""
        return self._image.weights_files

    def fetch(self) -> None:
        """See :meth:`TextEmbedder.fetch`: the file, and a tokenizer or a configuration where they are on the hub."""
        super().fetch()
        text = text_configuration(self.model)
        for place in {text.get("hf_tokenizer_name"), text.get("hf_model_name")} - {None}:
            model_folder(str(place), weights=False, remedy=_remedy(str(place)))

    def load(self, weights: str, *, device: str = "cpu") -> None:
        """See :meth:`TextEmbedder.load`. Float32 is true float32 on every device."""
        import torch

        self._device = torch.device(runtime.pick_device(device))
        facts = self._image.facts
        found = resolve(weights, facts.source)
        self._tokenize = self._tokenizer()
        with runtime.skipped_initialisation():
            network = build_text_tower(self.model, facts)
        self.logit_scale, self.logit_bias = INITIAL_LOGIT_SCALE, None
        if found.path is None:
            fill_random(network, found.seed)
        else:
            state = text_state(load_state_dict(found.path))
            load_into(network, state, path=found.path, ignore=(*NOT_TEXT, _POSITIONS))
            if "logit_scale" not in state:
                raise WeightsError(f"{found.path}: holds no logit_scale. Give the whole CLIP model's file")
            self.logit_scale = math.exp(float(state["logit_scale"]))
            self.logit_bias = float(state["logit_bias"]) if "logit_bias" in state else None
        self.weights, self.weights_source = found.identity, found.source
        self._network = network.eval().requires_grad_(False).to(self._device)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`TextEmbedder.embed`. Texts longer than the tower's context are cut off."""
        import torch

        if empty := [text for text in texts if not text.strip()]:
            raise InvalidInput(f"{self.name}: there is nothing to embed in {empty[0]!r}")
        tokens = self._tokenize(list(texts))
        with runtime.inference():
            output = self._network(tokens.to(self._device))
            embedding = output[0] if isinstance(output, tuple) else output
            normal = torch.nn.functional.normalize(embedding.float(), dim=-1)
        return np.asarray(normal.cpu().numpy(), dtype=np.float32)

    def _tokenizer(self) -> Any:
        """open_clip's, with the files of the hub's cache or of a folder where it is another library's."""
        import open_clip

        text, given = text_configuration(self.model), self.chosen["tokenizer"]
        if "hf_tokenizer_name" not in text:
            if given != _OWN_TOKENIZER:
                raise InvalidInput(
                    f"embedder {self.name!r}: {self.model} has open_clip's tokenizer; leave --tokenizer out"
                )
            return open_clip.get_tokenizer(self.model)
        place = str(text["hf_tokenizer_name"]) if given == _OWN_TOKENIZER else given
        folder = model_folder(place, weights=False, remedy=_remedy(place))
        length = int(text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH))
        remedy = _remedy(place)
        with (
            quiet_transformers(),
            reading(folder, "holds no tokenizer that transformers can read", error=WeightsError, remedy=remedy),
        ):
            return open_clip.tokenizer.HFTokenizer(
                str(folder),
                context_length=length,
                tokenizer_mode=text.get("tokenizer_mode"),
                **text.get("tokenizer_kwargs", {}),
            )


def text_configuration(model: str) -> dict[str, Any]:
    """What open_clip says of a model's text tower."""
    import open_clip

    return dict(open_clip.get_model_config(model)["text_cfg"])


def build_text_tower(model: str, facts: ClipFacts) -> nn.Module:
    """The text tower alone, under open_clip's names, without values.

    Raises:
        WeightsError: If it is a network of transformers, whose configuration cannot be had from the hub.
    """
    import open_clip
    from open_clip.model import _build_text_tower

    text = text_configuration(model)
    if "hf_model_name" in text:
        place = str(text["hf_model_name"])
        folder = model_folder(place, weights=False, remedy=_remedy(place))
        text |= {"hf_model_name": str(folder), "hf_model_pretrained": False}
    width = open_clip.get_model_config(model)["embed_dim"]
    return cast("nn.Module", _build_text_tower(width, text, facts.quick_gelu))


def _remedy(place: str) -> str:
    return f"Give a folder with {place}'s tokenizer.json and tokenizer_config.json: --tokenizer FOLDER."


def text_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Newer files put ``text.`` in front of the text tower's names; cut it off."""
    return {name.removeprefix("text."): value for name, value in state.items()}
