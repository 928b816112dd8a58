"""Builds a transformers network from its configuration and fills it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extractors.hugging_face.model_types import ModelType, Read
from extractors.weights.hugging_face import quiet_transformers
from extractors.weights.loading import ResolvedWeights, fill_random, load_state_dict
from storage.errors import UnknownBackbone, WeightsError
from storage.foreign_files import reading
from storage.text import visible

if TYPE_CHECKING:
    from torch import nn


def read_configuration(folder: Path, kind: ModelType, *, name: str) -> Any:
    """The configuration of a network, as transformers has it.

    Args:
        folder: with ``config.json``.
        kind: of the model.
        name: of the backbone, for errors.

    Raises:
        WeightsError: If it cannot be read.
        UnknownBackbone: If this version of transformers has no such network.
    """
    import transformers

    if not hasattr(transformers, kind.network):
        raise UnknownBackbone(
            f"backbone {name!r}: transformers {transformers.__version__} has no {kind.network}. Install a newer one: "
            "pip install -U transformers"
        )
    with quiet_transformers(), reading(folder, "no configuration that transformers can read", error=WeightsError):
        config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        if not kind.part:
            return config
        part = getattr(config, kind.part)
        if getattr(config, "projection_dim", None) is not None:  # the whole model's is the one that counts
            part.projection_dim = config.projection_dim
        return part


def build_network(config: Any, kind: ModelType, weights: ResolvedWeights) -> nn.Module:
    """A network on the CPU, in float32 and eval mode, with its weights.

    What a file holds beyond the network, such as a classifier or a text tower, is left out.

    Args:
        config: from :func:`read_configuration`.
        kind: of the model.
        weights: random numbers, or a file in the official format.

    Raises:
        WeightsError: If the file lacks something or does not fit.
    """
    import transformers

    from extractors.engines.runtime import skipped_initialisation

    made_by = getattr(transformers, kind.network)
    # transformers 5.23 prints remarks about its own docstrings while it builds PE's video tower.
    with quiet_transformers(), contextlib.redirect_stdout(io.StringIO()):
        if weights.path is None:
            with skipped_initialisation():
                network = made_by(config, **kind.arguments)
            fill_random(network, weights.seed)
        else:
            network = _filled(made_by, config, kind, weights.path)
    return kind.kept(network).eval()  # type: ignore[no-any-return]


def _filled(made_by: Any, config: Any, kind: ModelType, path: Path) -> Any:
    """Through transformers, which knows how names in older files and with other heads read."""
    state = load_state_dict(path)
    with reading(path, f"does not fit {kind.network}", error=WeightsError):
        network, found = made_by.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype="float32",
            output_loading_info=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # they are told below, by name
            **kind.arguments,
        )
    # transformers fills with random numbers what a file lacks or has in another shape.
    if missing := sorted(found["missing_keys"]):
        shown = ", ".join(visible(name) for name in missing[:3])
        raise WeightsError(f"{visible(path)}: does not fit {kind.network}: {len(missing)} missing: {shown}")
    if wrong := sorted(found["mismatched_keys"], key=str):
        shown, there, wanted = str(wrong[0][0]), list(wrong[0][1]), list(wrong[0][2])
        raise WeightsError(
            f"{visible(path)}: does not fit {kind.network}: {len(wrong)} of another shape: {visible(shown)} {there} "
            f"instead of {wanted}"
        )
    return network


def tower(network: nn.Module, read: Read) -> nn.Module:
    """A network whose output is the feature, as one module."""
    from torch import Tensor, nn

    class Tower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, units: Tensor) -> Tensor:
            return read(self.network, units)

    return Tower()
