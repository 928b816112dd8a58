"""CLIP text embeddings, in the same space as :mod:`extractors.visual.clip`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from extractors.engines import runtime
from extractors.text.embedder import TextEmbedder
from extractors.visual.clip import ClipFacts, ClipImage, ClipVitL14
from extractors.weights.inventory import WeightsFile
from extractors.weights.loading import fill_random, load_into, load_state_dict, resolve
from storage.errors import InvalidInput, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

INITIAL_LOGIT_SCALE = 1 / 0.07
"""Where training starts; what random weights have."""

NOT_TEXT = ("visual.", "logit_scale", "logit_bias", "attn_mask", "input_resolution", "context_length", "vocab_size")
"""Names in a CLIP file that are not the text tower's."""


class ClipText(TextEmbedder):
    """``clip``: ViT-L/14 with OpenAI's weights, or ``clip:<model>/<pretrained>``; projected and L2-normalised.

    Weights are the same file as the image tower's.

    Source: Radford et al., Learning transferable visual models from natural language supervision, ICML 2021.
    """

    normalised: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("open_clip_torch", "torch")

    def __init__(self, *, name: str, variant: str = "", options: Mapping[str, str] | None = None) -> None:
        super().__init__(name=name, variant=variant, options=options)
        image = ClipImage(name=name, variant=variant) if variant else ClipVitL14(name="clip_vit_l14")
        self._image = image
        self.model, self.pretrained = image.model, image.pretrained

    @property
    def facts(self) -> Mapping[str, Any]:
        """The model."""
        return {"model": f"{self.model}/{self.pretrained}"}

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The file of the whole CLIP model."""
        return self._image.weights_files

    def load(self, weights: str, *, device: str = "cpu") -> None:
        """See :meth:`TextEmbedder.load`. Float32 is true float32 on every device."""
        import torch

        self._device = torch.device(runtime.pick_device(device))
        facts = self._image.facts
        found = resolve(weights, facts.source)
        with runtime.skipped_initialisation():
            network = build_text_tower(self.name, self.model, facts)
        self.logit_scale = INITIAL_LOGIT_SCALE
        if found.path is None:
            fill_random(network, found.seed)
        else:
            state = text_state(load_state_dict(found.path))
            load_into(network, state, path=found.path, ignore=NOT_TEXT)
            if "logit_scale" not in state:
                raise WeightsError(f"{found.path}: holds no logit_scale. Give the whole CLIP model's file")
            self.logit_scale = math.exp(float(state["logit_scale"]))
        self.weights, self.weights_source = found.identity, found.source
        self._network = network.eval().requires_grad_(False).to(self._device)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`TextEmbedder.embed`. Texts longer than the tower's context are cut off."""
        import open_clip
        import torch

        if empty := [text for text in texts if not text.strip()]:
            raise InvalidInput(f"{self.name}: there is nothing to embed in {empty[0]!r}")
        tokens = open_clip.get_tokenizer(self.model)(list(texts))
        with runtime.inference():
            output = self._network(tokens.to(self._device))
            embedding = output[0] if isinstance(output, tuple) else output
            normal = torch.nn.functional.normalize(embedding.float(), dim=-1)
        return np.asarray(normal.cpu().numpy(), dtype=np.float32)


def build_text_tower(name: str, model: str, facts: ClipFacts) -> nn.Module:
    """The text tower alone, under open_clip's names, without values.

    Raises:
        InvalidInput: If it is another library's network, whose configuration would have to be fetched.
    """
    import open_clip
    from open_clip.model import _build_text_tower

    config = open_clip.get_model_config(model)
    if "hf_model_name" in config["text_cfg"] or "hf_tokenizer_name" in config["text_cfg"]:
        raise InvalidInput(
            f"embedder {name!r}: {model}'s text tower or tokenizer is on the Hugging Face hub; not offered"
        )
    return cast("nn.Module", _build_text_tower(config["embed_dim"], config["text_cfg"], facts.quick_gelu))


def text_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Newer files put ``text.`` in front of the text tower's names; cut it off."""
    return {name.removeprefix("text."): value for name, value in state.items()}
