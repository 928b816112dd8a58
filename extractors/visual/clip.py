"""CLIP image embeddings of frames: any open_clip model, and ViT-L/14 as VALOR uses it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from extractors.frame_network import FrameNetwork, Triple
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource
from storage.errors import UnknownBackbone

if TYPE_CHECKING:
    from torch import Tensor, nn

OPENAI_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Triple = (0.26862954, 0.26130258, 0.27577711)

NOT_VISUAL = (
    "text.",
    "text_decoder.",
    "transformer.",
    "token_embedding.",
    "ln_final.",
    "text_projection",
    "positional_embedding",
    "attn_mask",
    "logit_scale",
    "logit_bias",
    "input_resolution",
    "context_length",
    "vocab_size",
)
"""Names in a CLIP file that are not the visual tower's: the text tower's, and three numbers in OpenAI's archives."""


@dataclass(frozen=True)
class ClipFacts:
    """What a published CLIP model wants and gives.

    Attributes:
        dim: size of the embedding.
        image_size: height and width.
        mean: of each channel on the [0, 1] scale.
        std: likewise.
        interpolation: of its resize.
        squash: whether the resize ignores the aspect ratio.
        quick_gelu: whether these weights were trained with OpenAI's approximate GELU.
        source: the official file.
    """

    dim: int
    image_size: int
    mean: Triple
    std: Triple
    interpolation: Literal["bilinear", "bicubic"]
    squash: bool
    quick_gelu: bool
    source: WeightsSource


class ClipImage(FrameNetwork):
    """``clip:<model>/<pretrained>``: one L2-normalised embedding a frame, one frame a second unless ``@Nfps``.

    Model names, tags and preprocessing facts are open_clip's. One difference: the weights' tag, not the model's
    name, decides on quick GELU, so ``ViT-B-32/openai`` is right, where open_clip only warns.

    Source: Radford et al., Learning transferable visual models from natural language supervision, ICML 2021.
    """

    default_frames_per_second: ClassVar[int] = 1
    describes: ClassVar[str] = "CLIP image embedding of each frame, projected and L2-normalised"
    cpu_batch: ClassVar[int] = 5
    gpu_batch: ClassVar[int] = 256
    state_prefix: ClassVar[str] = "visual."
    state_ignore: ClassVar[tuple[str, ...]] = NOT_VISUAL
    fixed_variant: ClassVar[str] = ""

    def __init__(
        self, *, name: str, variant: str = "", clip_seconds: int = 10, frames_per_second: int | None = None
    ) -> None:
        super().__init__(name=name, variant=variant, clip_seconds=clip_seconds, frames_per_second=frames_per_second)
        self.model, _, self.pretrained = (self.fixed_variant or variant).rpartition("/")
        if not (self.model and self.pretrained):
            raise UnknownBackbone(f"backbone {name!r}: expected clip:<model>/<pretrained>, e.g. clip:ViT-B-32/openai")

    @cached_property
    def facts(self) -> ClipFacts:
        """From open_clip's tables (importing it takes seconds).

        Raises:
            UnknownBackbone: If open_clip has no such model or weights; names the nearest.
        """
        return open_clip_facts(self.name, self.model, self.pretrained)

    @property
    def dim(self) -> int:
        """Size of the embedding."""
        return self.facts.dim

    @property
    def normalisation(self) -> tuple[Triple, Triple]:
        """The model's own."""
        return self.facts.mean, self.facts.std

    @property
    def view(self) -> FrameView:
        """The model's own."""
        facts = self.facts
        if facts.squash:
            return FrameView(self.rate, facts.image_size, "squash", interpolation=facts.interpolation)
        return FrameView(
            self.rate, facts.image_size, "crop", short_side=facts.image_size, interpolation=facts.interpolation
        )

    @property
    def weights_source(self) -> WeightsSource:
        """The tag's file."""
        return self.facts.source

    def build(self) -> nn.Module:
        """The visual tower alone."""
        import open_clip
        from open_clip.model import _build_vision_tower

        config = open_clip.get_model_config(self.model)
        vision = {**config["vision_cfg"], "timm_model_pretrained": False}
        return cast("nn.Module", _build_vision_tower(config["embed_dim"], vision, self.facts.quick_gelu))

    def finish(self, network: nn.Module) -> nn.Module:
        """Take out of a vision transformer what changes no embedding."""
        from extractors.visual.clip_blocks import simplify_blocks

        simplify_blocks(network)
        return network

    def head(self, output: Any) -> Tensor:
        """L2-normalise, in float32."""
        import torch

        embedding = output[0] if isinstance(output, (tuple, list)) else output
        return torch.nn.functional.normalize(embedding.float(), dim=-1)


class ClipVitL14(ClipImage):
    """CLIP ViT-L/14 with OpenAI's weights as VALOR prepares frames: 10 x 768 for 10 s, or 80 x 768 ``@8fps``.

    Source: Lai et al., Modality-independent teachers meet weakly-supervised audio-visual event parser (VALOR),
    NeurIPS 2023. Frames are squashed to 224 x 224, bilinear without antialiasing, as torchvision 0.13 resized
    tensors; VALOR resizes floats, here they are rounded to uint8 afterwards (half a level of 255 at most).
    """

    describes: ClassVar[str] = "CLIP ViT-L/14 (OpenAI) image embedding of each frame, VALOR's preprocessing"
    fixed_variant: ClassVar[str] = "ViT-L-14/openai"

    @cached_property
    def facts(self) -> ClipFacts:
        """Written here, so that nothing needs importing."""
        digest = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
        url = f"https://openaipublic.azureedge.net/clip/models/{digest}/ViT-L-14.pt"
        source = WeightsSource(url, "ViT-L-14.pt", sha256=digest, megabytes=932.8)
        return ClipFacts(768, 224, OPENAI_MEAN, OPENAI_STD, "bilinear", squash=True, quick_gelu=True, source=source)

    @property
    def view(self) -> FrameView:
        """Squashed to 224 x 224, bilinear, no antialiasing."""
        return FrameView(self.rate, 224, "squash", interpolation="bilinear", antialias=False)


def open_clip_facts(name: str, model: str, pretrained: str) -> ClipFacts:
    """Look a model and its weights up in open_clip.

    Args:
        name: the backbone as it was asked for, for errors.
        model: e.g. ``ViT-B-32``.
        pretrained: e.g. ``openai``.

    Raises:
        UnknownBackbone: If open_clip has no such model or weights, or they need a view that is not square.
    """
    import open_clip

    config = open_clip.get_model_config(model) if model in open_clip.list_models() else None
    if config is None:
        near = _nearest(model, open_clip.list_models())
        raise UnknownBackbone(f"backbone {name!r}: open_clip has no model {model!r}; nearest: {near}")
    tag = open_clip.get_pretrained_cfg(model, pretrained)
    if not tag:
        near = _nearest(pretrained, open_clip.list_pretrained_tags_by_model(model)) or "none are published"
        raise UnknownBackbone(
            f"backbone {name!r}: open_clip has no weights {pretrained!r} for {model}; nearest: {near}"
        )
    size = config["vision_cfg"].get("image_size", 224)
    resize = tag.get("resize_mode", "shortest")
    if not isinstance(size, int) or resize not in ("shortest", "squash"):
        raise UnknownBackbone(f"backbone {name!r}: {model} wants images of {size} by {resize!r}, which is not offered")
    return ClipFacts(
        dim=int(config["embed_dim"]),
        image_size=size,
        mean=tuple(tag["mean"]),
        std=tuple(tag["std"]),
        interpolation=tag.get("interpolation", "bicubic"),
        squash=resize == "squash",
        quick_gelu=bool(tag.get("quick_gelu", config.get("quick_gelu", False))),
        source=_source(tag),
    )


def _source(tag: dict[str, Any]) -> WeightsSource:
    """The official file of a tag. OpenAI's URLs hold the sha256, open_clip's file names its first digits."""
    url = str(tag.get("url", ""))
    if not url:
        repository, _, file = str(tag["hf_hub"]).rpartition("/")
        file = file or "open_clip_model.safetensors"
        cached = f"{repository.replace('/', '--')}--{file}"
        return WeightsSource(f"https://huggingface.co/{repository}/resolve/main/{file}", cached)
    *_, folder, file = url.split("/")
    if "openaipublic" in url:
        return WeightsSource(url, file, sha256=folder)
    digits = file.rpartition(".")[0].rpartition("-")[2] if "mlfoundations" in url else ""
    return WeightsSource(url, file, sha256=digits)


def _nearest(word: str, choices: Iterable[str]) -> str:
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), by_lower, n=3, cutoff=0.4) or sorted(by_lower)[:3]
    return ", ".join(by_lower[choice] for choice in near)
