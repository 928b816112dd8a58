"""The checkpoints that LAION publishes of CLAP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from extractors.weights.loading import WeightsSource

FOLDER = "https://huggingface.co/lukewys/laion_clap/resolve/main"
DEFAULT = "630k-fusion-best"
"""``load_ckpt(model_id=2)`` of laion-clap, as VALOR uses it."""


@dataclass(frozen=True)
class Checkpoint:
    """One file and the network that it is of.

    Attributes:
        size: of HTSAT, as laion-clap names it.
        fused: whether the network has fusion layers for longer sound. Those without see other mel bands.
        megabytes: size of the file; 0 where it is not known.
    """

    size: Literal["tiny", "base"]
    fused: bool
    megabytes: float = 0.0

    @property
    def width(self) -> int:
        """Channels of the last layer."""
        return 768 if self.size == "tiny" else 1024

    @property
    def configuration(self) -> str:
        """The file in laion-clap that describes the network."""
        return f"HTSAT-{self.size}.json"


CHECKPOINTS: Mapping[str, Checkpoint] = {
    "630k-fusion-best": Checkpoint("tiny", fused=True, megabytes=1863.6),
    "630k-audioset-fusion-best": Checkpoint("tiny", fused=True),
    "630k-best": Checkpoint("tiny", fused=False),
    "630k-audioset-best": Checkpoint("tiny", fused=False),
    "music_audioset_epoch_15_esc_90.14": Checkpoint("base", fused=False),
    "music_speech_epoch_15_esc_89.25": Checkpoint("base", fused=False),
    "music_speech_audioset_epoch_15_esc_89.98": Checkpoint("base", fused=False),
}
"""By the name of the file, without ``.pt``."""


def checkpoint_source(name: str) -> WeightsSource:
    """Where the file of a checkpoint is published."""
    return WeightsSource(f"{FOLDER}/{name}.pt", f"{name}.pt", megabytes=CHECKPOINTS[name].megabytes)
