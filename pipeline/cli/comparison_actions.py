"""Implementation of ``avvp compare-features``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.terminal.console import count, say, say_json
from storage.store import FeatureStore

if TYPE_CHECKING:
    from pipeline.exchange.feature_comparison import ArrayComparison


def run_compare_features(store_url: str, folder: str, *, layout: str | None, tolerance: float, as_json: bool) -> None:
    """``avvp compare-features``."""
    from pipeline.exchange.feature_comparison import compare_features
    from pipeline.exchange.npy_layouts import parse_layout

    parts = None if layout is None else parse_layout(layout)
    found = compare_features(FeatureStore.open(store_url), Path(folder).expanduser(), parts, tolerance=tolerance)
    if as_json:
        arrays = [_facts(one, tolerance) for one in found]
        say_json({"store": store_url, "folder": folder, "tolerance": tolerance, "arrays": arrays})
        return
    for one in found:
        _print(one, tolerance)


def _facts(one: ArrayComparison, tolerance: float) -> dict[str, Any]:
    compared = bool(one.clips)
    return {
        "array": one.array,
        "verdict": one.verdict(tolerance),
        "causes": [{"name": cause.name, "words": cause.words} for cause in one.causes],
        "clips": {
            "compared": one.clips,
            "equal": one.equal,
            "without_file": one.no_file,
            "without_features": one.no_features,
            "unusable_files": one.unusable[0],
            "first_unusable": one.unusable[1] or None,
        },
        "shape": {"store": one.shapes[0], "files": one.shapes[1]},
        "cosine": {"mean": one.cosine, "worst": one.worst[1], "worst_clip": one.worst[0]} if compared else None,
        "largest_difference": dict(zip(("value", "clip", "step"), one.largest, strict=True)) if compared else None,
        "offset": None if one.offset is None else {
            "steps": one.offset[0],
            "seconds": None if one.step_seconds is None else one.offset[0] * one.step_seconds,
            "correlation": one.offset[1],
        },
        "scale": {
            "norm_ratio": one.norm_ratio,
            "store_normalised": one.normalised[0],
            "files_normalised": one.normalised[1],
        } if compared else None,
    }  # fmt: skip


def _print(one: ArrayComparison, tolerance: float) -> None:
    absent = [
        f"{number} {what}"
        for number, what in (
            (one.no_file, "without a file"),
            (one.no_features, "without features"),
            (one.unusable[0], "whose file cannot be used"),
        )
        if number
    ]
    say(f"{one.array}: {count(one.clips, 'clip')} compared" + "".join(f", {part}" for part in absent))
    if one.unusable[0]:
        say(f"  first file that cannot be used: {one.unusable[1]}")
    if one.clips:
        value, clip, step = one.largest
        say(f"  cosine      {one.cosine:.4f} on average, {one.worst[1]:.4f} in the worst clip, {one.worst[0]}")
        say(f"  difference  {value:.4g} at most, in step {step} of {clip}")
        if one.offset is not None:
            seconds = "" if one.step_seconds is None else f" ({one.offset[0] * one.step_seconds:g} s)"
            say(f"  offset      {one.offset[0]} steps{seconds}, correlation {one.offset[1]:.3f}")
        lengths = ["L2-normalised" if flag else "not normalised" for flag in one.normalised]
        say(f"  scale       {one.norm_ratio:.4g} times the published; store {lengths[0]}, files {lengths[1]}")
    say(f"  verdict     {one.verdict(tolerance)}")
