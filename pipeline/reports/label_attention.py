"""LEAP's attention between label embeddings and segments: arrays, and heat maps of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.llp import Annotations
from pipeline.reports.chosen_clips import file_name
from pipeline.reports.heat_map import attention_svg
from pipeline.reports.svg import write_svg
from pipeline.training.run_store import open_run_store
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float32]
MODALITIES = ("audio", "visual")


@dataclass(frozen=True, eq=False)
class LabelAttention:
    """What a LEAP run attends to in one clip.

    Attributes:
        clip: its id.
        classes: names.
        scores: by modality ``[blocks, heads, classes, segments]``: scaled scores before any softmax. Those of the last
            block, averaged over heads, are the logits of ``probability`` where the decoder reads its last block.
        probability: by modality ``[classes, segments]``.
        truth: likewise, bool.
    """

    clip: str
    classes: tuple[str, ...]
    scores: dict[str, Floats]
    probability: dict[str, Floats]
    truth: dict[str, NDArray[np.bool_]]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By the names that the ``.npz`` has them under."""
        found: dict[str, NDArray[Any]] = {"classes": np.asarray(self.classes)}
        for stream in MODALITIES:
            found[f"{stream}_attention"] = self.scores[stream]
            found[f"{stream}_probability"] = self.probability[stream]
            found[f"{stream}_truth"] = self.truth[stream]
        return found


def write_attention(
    run: Path, annotations: Annotations, split: str, clips: Sequence[str], folder: Path, *, store_url: str | None = None
) -> list[Path]:
    """Write the heat maps and arrays of clips.

    Args:
        run: of LEAP.
        annotations: of the dataset.
        split: of the clips.
        clips: their ids.
        folder: made if absent; ``CLIP.svg`` and ``CLIP.npz`` are written there.
        store_url: see :func:`pipeline.training.run_store.open_run_store`.

    Returns:
        The files.

    Raises:
        InvalidInput: If the run is of another system, or the store lacks a clip.
    """
    written = []
    for one in label_attention(run, annotations, split, clips, store_url=store_url):
        target = folder / file_name(one.clip)
        svg, npz = target.with_name(f"{target.name}.svg"), target.with_name(f"{target.name}.npz")
        write_svg(svg, attention_svg(one.clip, one.classes, one.scores, one.probability, one.truth))
        with npz.open("wb") as file:
            np.savez_compressed(file, **one.arrays())
        written += [svg, npz]
    return written


def label_attention(
    run: Path, annotations: Annotations, split: str, clips: Sequence[str], *, store_url: str | None = None
) -> Iterator[LabelAttention]:
    """Attention of a LEAP run; arguments and errors as for :func:`write_attention`.

    Source: LEAP (Zhou et al., ECCV 2024), figures 5 and 6: ``A^lm`` of each block, and ``P^m``.
    """
    import torch

    from pipeline.models.decoders.leap import LEAPDecoder
    from pipeline.models.parser import Parser
    from pipeline.training.predict import forward
    from pipeline.training.run_inputs import model_and_clips

    store, chosen = open_run_store(run, store_url), annotations.align(clips)
    model, labels, loaded = model_and_clips(run, store, chosen, split, missing="error")
    if not isinstance(model, Parser) or not isinstance(model.decoder, LEAPDecoder):
        raise InvalidInput(f"--attention: {run} has no label embeddings that attend to segments. Give a run of LEAP")
    for row, clip in enumerate(loaded.annotations.ids):
        with torch.inference_mode(), _asked(model.decoder.blocks) as scores:
            out: Any = forward(model, loaded.batch(np.array([row])), labels, torch.device("cpu"))
        both = np.stack([one[:, 0].float().numpy() for one in scores])  # [blocks, 2, heads, classes, segments]
        truth = loaded.annotations
        yield LabelAttention(
            clip, annotations.dataset.classes, {name: both[:, at] for at, name in enumerate(MODALITIES)},
            {"audio": out.audio_segment[0].T.numpy(), "visual": out.visual_segment[0].T.numpy()},
            {"audio": truth.audio[row].T, "visual": truth.visual[row].T},
        )  # fmt: skip


@contextmanager
def _asked(blocks: nn.ModuleList) -> Iterator[list[Tensor]]:
    """The scores of every block of a forward pass, those too that the decoder does not read."""
    scores: list[Tensor] = []

    def ask(module: nn.Module, given: Any, options: dict[str, Any]) -> Any:
        return given, {**options, "with_scores": True}

    def keep(module: nn.Module, given: Any, found: Any) -> None:
        scores.append(found[1])

    handles = [block.register_forward_pre_hook(ask, with_kwargs=True) for block in blocks]
    handles += [block.register_forward_hook(keep) for block in blocks]
    try:
        yield scores
    finally:
        for handle in handles:
            handle.remove()
