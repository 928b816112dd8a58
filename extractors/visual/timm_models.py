"""``timm:NAME``: features of every frame, by any image model of timm."""

from __future__ import annotations

import difflib
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from extractors.base import Extractor
from extractors.family import Family, FoundBackbone, matches
from extractors.frame_network import FrameNetwork, Triple
from extractors.views import FrameView
from extractors.weights.inventory import published_file
from extractors.weights.loading import ResolvedWeights, WeightsSource
from storage.errors import UnknownBackbone

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["", "cls", "tokens"]
KINDS: dict[str, Kind] = {"cls": "cls", "tokens": "tokens"}
FORM = "timm:NAME, timm:NAME:cls or timm:NAME:tokens, e.g. timm:vit_small_patch14_dinov2.lvd142m"
_NEAR = 3


class TimmModel(FrameNetwork):
    """``timm:NAME``: one feature vector a frame, at 8 frames a second unless ``@Nfps``.

    ``timm:NAME`` gives what timm gives with ``num_classes=0``: the pooled features that the classifier would read.
    ``timm:NAME:cls`` gives the class token after the last norm, before any pooling. ``timm:NAME:tokens`` gives the
    mean of the patch tokens after the last norm, without class and register tokens: a step of a store is one vector,
    so the tokens' places in the picture are lost. Models whose last layer is a map have neither; their pooled
    features are the map's mean already.

    Size, crop, interpolation, mean and standard deviation are those of the model's own pretrained configuration, as
    ``timm.data.resolve_model_data_config`` reads it, and pixels equal timm's transform for evaluation. NAME may carry
    a tag that chooses weights, e.g. ``convnext_tiny.dinov3_lvd1689m``; without one, timm's own choice. timm is
    imported when it is first needed: a name that it does not have is refused then, not when the backbone is made.

    Source: Wightman, PyTorch Image Models, https://github.com/huggingface/pytorch-image-models.
    """

    cpu_batch: ClassVar[int] = 8

    def __init__(
        self, *, name: str, variant: str = "", clip_seconds: int = 10, frames_per_second: int | None = None
    ) -> None:
        super().__init__(name=name, variant=variant, clip_seconds=clip_seconds, frames_per_second=frames_per_second)
        model, _, ending = variant.rpartition(":")
        self.kind: Kind = KINDS.get(ending, "") if model else ""
        self.model = model if self.kind else variant

    @cached_property
    def config(self) -> dict[str, Any]:
        """Timm's facts of the model: ``input_size``, ``interpolation``, ``mean``, ``std``, ``crop_pct``, ``crop_mode``.

        Raises:
            UnknownBackbone: If timm has no such model or tag, names the nearest; or if it wants pictures that are not
                square.
        """
        from timm.data import resolve_data_config

        found: dict[str, Any] = resolve_data_config(pretrained_cfg=pretrained_config(self.name, self.model))
        channels, height, width = found["input_size"]
        if channels != 3 or height != width:
            wanted = f"{channels} channels of {height} x {width} pixels"
            raise UnknownBackbone(f"backbone {self.name!r}: wants {wanted}; only square pictures in RGB are offered")
        if found["crop_mode"] not in ("center", "squash"):
            wanted = f"the crop mode {found['crop_mode']!r}"
            raise UnknownBackbone(f"backbone {self.name!r}: wants {wanted}; only center and squash are offered")
        return found

    @cached_property
    def dim(self) -> int:
        """Size of the features, from a model without memory for its weights."""
        import torch

        from extractors.visual.timm_features import features_of

        size = self.view.size
        with torch.device("meta"), torch.inference_mode():
            features = features_of(self.build().eval(), self.kind, name=self.name)(torch.zeros(1, 3, size, size))
        if features.ndim != 2:
            raise UnknownBackbone(f"backbone {self.name!r}: gives {list(features.shape)} a frame, not one vector")
        return int(features.shape[1])

    @property
    def describes(self) -> str:  # type: ignore[override]
        """In one line."""
        what = {"": "pooled features", "cls": "class token", "tokens": "mean of the patch tokens"}[self.kind]
        return f"timm's {self.model}, {what} of each frame"

    @property
    def normalisation(self) -> tuple[Triple, Triple]:
        """The model's own."""
        return tuple(self.config["mean"]), tuple(self.config["std"])

    @property
    def view(self) -> FrameView:
        """The model's own."""
        size, how = int(self.config["input_size"][1]), self.config["interpolation"]
        scaled = math.floor(size / self.config["crop_pct"])
        if self.config["crop_mode"] == "center":
            return FrameView(self.rate, size, "crop", short_side=scaled, interpolation=how)
        squashed_to = None if scaled == size else (scaled, scaled)
        return FrameView(self.rate, size, "squash", interpolation=how, squashed_to=squashed_to)

    @property
    def weights_source(self) -> WeightsSource:
        """The file that timm would fetch; without a URL where none is published."""
        return published_weights(pretrained_config(self.name, self.model))

    def build(self) -> nn.Module:
        """Without a classifier."""
        import timm

        return timm.create_model(self.model, pretrained=False, num_classes=0)  # type: ignore[no-any-return]

    def fill(self, network: nn.Module, weights: ResolvedWeights) -> None:
        """See :meth:`VisualNetwork.fill`; a file may be of any form that timm itself reads."""
        from extractors.visual.timm_features import fill_timm

        fill_timm(network, weights, model=self.model)

    def finish(self, network: nn.Module) -> nn.Module:
        """Part norms from their activations, so that they can be folded, and take the features asked for."""
        from extractors.visual.timm_features import features_of, part_activations

        part_activations(network)
        return features_of(network, self.kind, name=self.name)


class TimmFamily(Family):
    """All image models of timm."""

    form: ClassVar[str] = FORM

    def create(self, name: str, variant: str, *, clip_seconds: int, frames_per_second: int | None) -> Extractor:
        """See :meth:`Family.create`; whether timm has it is looked up when its facts are first needed."""
        return TimmModel(name=name, variant=variant, clip_seconds=clip_seconds, frames_per_second=frames_per_second)

    def search(self, pattern: str) -> list[FoundBackbone]:
        """See :meth:`Family.search`: names with their tags, and models without published weights."""
        import timm

        tagged = timm.list_pretrained()
        bare = set(timm.list_models()) - {name.partition(".")[0] for name in tagged}
        found = sorted(name for name in (*tagged, *bare) if matches(name, pattern))
        return [self._found(f"timm:{name}", name) for name in found]

    def _found(self, name: str, model: str) -> FoundBackbone:
        file = published_file(published_weights(pretrained_config(name, model)))
        return FoundBackbone.with_files(name, "visual", [file])


def pretrained_config(name: str, model: str) -> dict[str, Any]:
    """Timm's pretrained configuration of a model; empty where it has none.

    Args:
        name: the backbone as it was asked for, for errors.
        model: as timm calls it, a tag may follow after a dot.

    Raises:
        UnknownBackbone: If timm has no such model or tag; names the nearest.
    """
    import timm
    from timm.models import get_pretrained_cfg

    architecture, dot, tag = model.partition(".")
    tagged = timm.list_pretrained()
    if ":" in model or not timm.is_model(architecture):
        near = ", ".join(difflib.get_close_matches(model, [*timm.list_models(), *tagged], n=_NEAR, cutoff=0.4))
        hint = f"; nearest: {near}" if near else ""
        raise UnknownBackbone(f"backbone {name!r}: timm has no model {model!r}{hint}. Expected {FORM}")
    if dot and model not in tagged:
        tags = ", ".join(each.partition(".")[2] for each in tagged if each.partition(".")[0] == architecture)
        raise UnknownBackbone(
            f"backbone {name!r}: timm has no weights {tag!r} for {architecture}; it has {tags or 'none'}"
        )
    found = get_pretrained_cfg(model)
    return found.to_dict() if found is not None else {}


def published_weights(config: dict[str, Any]) -> WeightsSource:
    """The file of a pretrained configuration: on the Hugging Face hub, else at its URL; empty where there is none."""
    if config.get("hf_hub_id"):
        repository, file = str(config["hf_hub_id"]), str(config.get("hf_hub_filename") or "model.safetensors")
        cached = f"{repository.replace('/', '--')}--{file}"
        return WeightsSource(f"https://huggingface.co/{repository}/resolve/main/{file}", cached)
    url = str(config.get("url") or "")
    return WeightsSource(url, url.rpartition("/")[2])
