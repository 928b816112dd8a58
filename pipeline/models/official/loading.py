"""Loads published checkpoints into our modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.models.config import OFFICIAL, LEAPConfig, LocalizerConfig, MMCSEConfig, ModelConfig, VALORConfig
from pipeline.models.config_tables import known
from pipeline.models.decoders.mmcse import MMCSE
from pipeline.models.encoders.han import Norm
from pipeline.models.factory import build_model
from pipeline.models.localizers.localization import Localizer
from pipeline.models.official.layout import Layout, State
from pipeline.models.official.localizers import localizer_layout
from pipeline.models.official.mmcse import mmcse_layout
from pipeline.models.official.systems import parser_layout
from pipeline.models.official.wrapping import shown, unwrapped
from pipeline.models.parser import Parser
from storage.errors import WeightsError
from storage.foreign_files import reading
from storage.text import visible

_LABEL_DIMS = (300, 768)
"""Of GloVe and of BERT, the label embeddings that LEAP was published with; the first is the default."""


class OfficialModel(NamedTuple):
    """A published checkpoint as our module.

    Attributes:
        config: the system's, with the sizes found in the state dict.
        model: in evaluation mode, float32, on the CPU.
    """

    config: ModelConfig
    model: Parser | MMCSE | Localizer


def load_official(system: str, state_dict: Mapping[str, Any], *, norm: Norm = "post") -> Parser | MMCSE | Localizer:
    """Load a published state dict into our module.

    Every published name is either used or one that the published code builds and never uses; anything else is an
    error. How many blocks a LEAP decoder has, how long its label embeddings are (300 or 768), how many layers a HAN
    encoder has and whether MM-CSE has its reconstruction decoders are read from the names. MM-Pyramid's published
    head calls its visual outputs audio and the other way round; here they are what they are called.

    Args:
        system: a name of :data:`pipeline.models.config.OFFICIAL`. ``leap-han`` was never published: its names are
            those that the published LEAP would have with HAN's encoder (``hat_encoder.*``) for MM-Pyramid's.
            ``leap-avel-…`` have no published names at all.
        state_dict: tensors or arrays by published name, or what ``torch.load`` gives where a script saved more: a
            state dict below ``state_dict``, ``model_state_dict`` or ``model`` is found, and a ``module.``,
            ``_orig_mod.`` or ``model.`` in front of every name is cut off.
        norm: VALOR only: ``pre`` for a checkpoint trained with ``--norm_where pre_norm``, which names do not tell.

    Returns:
        The model in evaluation mode, float32, on the CPU.

    Raises:
        WeightsError: If a name is missing or unexpected, or a shape differs.
        InvalidInput: If there is no such system.
    """
    return read_official(system, state_dict, norm=norm).model


def read_official(system: str, state_dict: Mapping[str, Any], *, norm: Norm = "post", where: str = "") -> OfficialModel:
    """As :func:`load_official`, with the configuration that was found; ``where`` begins errors."""
    config = OFFICIAL[known(system, OFFICIAL, "system")]
    where = visible(where) or f"published {system} checkpoint"
    state = _tensors(state_dict, where)
    config, layout = _found_layout(config, state, norm)
    try:
        layout.check(state, where=where)
    except WeightsError as problem:
        fitting = [name for name in OFFICIAL if name != system and _fits(name, state)]
        hint = f". It is one of {fitting[0]}" if fitting else ""
        raise WeightsError(f"{problem}{hint}") from None
    model = build_model(config)
    model.load_state_dict(layout.translate(state))
    return OfficialModel(config, model.eval())


def _found_layout(config: ModelConfig, state: State, norm: Norm) -> tuple[ModelConfig, Layout]:
    found = _as_found(config, state, norm)
    return found, official_layout(found, han_layers=max(1, _count(state, "hat_encoder.layers")))


def _fits(system: str, state: State) -> bool:
    _, layout = _found_layout(OFFICIAL[system], state, "post")
    return layout.shapes == {name: tuple(tensor.shape) for name, tensor in state.items()}


def official_layout(config: ModelConfig, *, han_layers: int = 1) -> Layout:
    """Names and shapes of the published state dict of a configuration.

    Args:
        config: of our module.
        han_layers: in a published HAN encoder; all but the last are dead.
    """
    if isinstance(config, LocalizerConfig):
        return localizer_layout(config)
    return mmcse_layout(config) if isinstance(config, MMCSEConfig) else parser_layout(config, han_layers=han_layers)


def _tensors(state_dict: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    state = unwrapped(state_dict, where=where)
    if strange := [name for name in state if not isinstance(name, str)]:
        raise WeightsError(f"{where}: expected tensors by name, got the name {shown(repr(strange[0]))}")
    with reading(where, "expected tensors by name", error=WeightsError):
        tensors = {name: torch.as_tensor(value).detach().cpu() for name, value in state.items()}
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
            kind = f"{tensor.dtype}, {tensor.layout}"
            raise WeightsError(f"{where}: {shown(name)} is {kind}, expected dense real numbers")
    return tensors


def _as_found(config: ModelConfig, state: State, norm: Norm) -> ModelConfig:
    """The system's configuration, with the sizes found in the state dict."""
    if isinstance(config, LocalizerConfig):
        return config
    if isinstance(config, MMCSEConfig):
        return replace(config, reconstruct=any(name.startswith(("a_recon.", "v_recon.")) for name in state))
    encoder, decoder = config.encoder, config.decoder
    if isinstance(encoder, VALORConfig):
        encoder = replace(encoder, norm=norm)
    if isinstance(decoder, LEAPConfig):
        blocks = max(_count(state, "AVL.la_cma_network"), _count(state, "AVL.lv_cma_network"))
        label_dim = state["fc_l.weight"].shape[-1] if "fc_l.weight" in state and state["fc_l.weight"].ndim else 0
        decoder = replace(
            decoder,
            blocks=blocks or decoder.blocks,
            label_dim=label_dim if label_dim in _LABEL_DIMS else _LABEL_DIMS[0],
        )
    return replace(config, encoder=encoder, decoder=decoder)


def _count(state: State, prefix: str) -> int:
    """Number of numbered layers below a prefix."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    found = [int(match[1]) for match in map(pattern.match, state) if match]
    return max(found) + 1 if found else 0
