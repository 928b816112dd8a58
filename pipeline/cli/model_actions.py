"""Implementation of ``avvp model info``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.recipes.recipe import load_recipe
from pipeline.terminal.console import count, wide_console
from pipeline.terminal.score_tables import show_tables

if TYPE_CHECKING:
    from pipeline.models.info import Cost, ModelInfo
    from pipeline.models.timing import Timing


def print_model_info(recipe: str, changes: tuple[str, ...], *, timed: bool, clips: int, device: str) -> None:
    """``avvp model info``.

    Raises:
        InvalidInput: If there is no such recipe, or the device is not there.
    """
    from extractors.engines.runtime import pick_device
    from pipeline.models.config_tables import model_config
    from pipeline.models.info import model_info
    from pipeline.models.published_cost import PAPERS

    place = pick_device(device)
    chosen = load_recipe(recipe, changes)
    config = model_config(chosen.model)
    info = model_info(config)
    console = wide_console()
    console.print(f"{chosen.name}: {chosen.description}")
    show_tables(console, cost_table(info))
    console.print("FLOPs as papers count them: one a multiply-add, and 5 a value that a layer norm puts out")
    if info.published is not None:
        dead = info.published.parameters - info.whole.parameters
        console.print(
            f"published code: {dead:,} parameters more, never used, and {info.published.flops - info.whole.flops:,} "
            "operations more, which ours need not do"
        )
    if timed:
        from pipeline.models.timing import time_model

        console.print(_time_line(time_model(config, device=place, clips=clips)))
    if (paper := PAPERS.get(str(chosen.model.get("system", "")))) is not None:
        console.print(f"the paper: {paper}")


def cost_table(info: ModelInfo) -> str:
    """Parameters and FLOPs a clip of each part, of the whole, and of the published code."""
    rows: dict[str, Cost] = {**info.parts, "whole": info.whole}
    if info.published is not None:
        rows["published code"] = info.published
    if info.published_decoder is not None:
        rows["its decoder"] = info.published_decoder
    lines = ["| | parameters | multiply-adds | FLOPs |", "|---|---|---|---|"]
    for name, cost in rows.items():
        lines.append(f"| {name} | {cost.parameters:,} | {cost.multiply_adds:,} | {cost.flops:,} |")
    return "\n".join(lines) + "\n"


def _time_line(found: Timing) -> str:
    import torch

    threads = f" with {count(torch.get_num_threads(), 'thread')}" if found.device == "cpu" else ""
    spread = f"{found.fastest:.2f} to {found.slowest:.2f}"
    runs = f"median of {found.runs} runs of {count(found.clips, 'clip')}"
    return f"time: {found.median:.2f} ms a video ({spread}), {runs}, {found.device}{threads}"
