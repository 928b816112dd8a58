"""Implementation of ``avvp model info`` and ``avvp checkpoint import``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.recipes.recipe import load_recipe
from pipeline.terminal.console import wide_console
from storage.errors import InvalidInput, WeightsError
from storage.foreign_files import reading


def print_model_info(recipe: str, changes: tuple[str, ...]) -> None:
    """``avvp model info``."""
    from pipeline.models.config_tables import model_config
    from pipeline.models.info import PUBLISHED_COSTS, model_info

    chosen = load_recipe(recipe, changes)
    info = model_info(model_config(chosen.model))
    console = wide_console()
    console.print(f"{chosen.name}: {chosen.description}")
    console.print(f"parameters: {info.parameters:,}, all of them live")
    if info.published_parameters is not None:
        dead = info.published_parameters - info.parameters
        console.print(f"published code: {info.published_parameters:,}, {dead:,} of them never used")
    console.print(f"multiply-adds a clip: {info.multiply_adds:,}")
    for name, operations in info.parts.items():
        console.print(f"  {name}: {operations:,}")
    cost = PUBLISHED_COSTS.get(str(chosen.model.get("system", "")))
    if cost is not None:
        console.print(f"the paper: {cost.paper}")


def import_official(system: str, official: str, out: Path, *, norm: str) -> None:
    """``avvp checkpoint import``.

    Raises:
        WeightsError: If the file cannot be read or is not of this system.
        InvalidInput: If ``out`` is there.
    """
    from pipeline.models.config import PARSERS
    from pipeline.models.config_tables import known
    from pipeline.models.official.loading import load_official
    from pipeline.training.checkpoint import save_checkpoint

    known(system, PARSERS, "system")  # before a large file is read
    if out.exists():
        raise InvalidInput(f"{out}: is there already. Give a new folder")
    model = load_official(system, _state_of(official), norm=norm)  # type: ignore[arg-type]
    digest = hashlib.sha256(Path(official).read_bytes()).hexdigest()
    save_checkpoint(out, model)
    facts = {"system": system, "official": str(Path(official).absolute()), "sha256": digest, "norm": norm}
    (out / "origin.json").write_text(json.dumps(facts, indent=2))
    count = sum(parameter.numel() for parameter in model.parameters())
    wide_console().print(f"{out}: {system}, {count:,} parameters from {official}")


def _state_of(official: str) -> dict[str, Any]:
    """The state dict in a published file: bare, or under a usual key."""
    import torch

    path = Path(official)
    if not path.is_file():
        raise WeightsError(f"{official}: no such file")
    complaint = "is no checkpoint that can be read safely; expected the published file, tensors alone"
    with reading(official, complaint, error=WeightsError):
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict):
        raise WeightsError(f"{official}: holds {type(found).__name__}, expected a state dict")
    return found
