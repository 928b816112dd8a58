"""What to extract and how: one set of options for the command line, the flows and Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.decode.clip_buffer import Decoder
from storage.schema import Sampling


@dataclass(frozen=True)
class ExtractOptions:
    """What to extract and how.

    Attributes:
        backbones: registered names.
        weights: ``pretrained``, ``random:SEED`` or a path, by backbone; the key ``""`` is for all others.
        sampling: ``uniform`` or ``published``.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        device: ``auto``, ``cpu`` or ``cuda:N``; several, with commas, for a worker process each.
        engine: ``auto``, ``torch`` or ``openvino``, what runs the networks.
        keep: intermediates to keep: ``frames``, ``waveform``, ``logmel``.
        clip_seconds: length of every clip.
        shard_size: clips a shard; ``None`` for the store's own, or the default.
        workers: decode processes; ``None`` to choose by the machine.
        deadline_seconds: for decoding one clip.
        decoder: of pictures: ``pyav``; ``auto`` for decord where it is proven right, ``decord`` for it or nothing.
        memory_bytes: for decoded clips and open shards, whatever the clips are like; the networks' own come on top.
        compile_networks: run each network through ``torch.compile``.
        retry_failed: also redo clips that failed before.
        rebuild: replace arrays that were made otherwise.
        shards: only these shards.
    """

    backbones: Sequence[str]
    weights: Mapping[str, str] = field(default_factory=lambda: {"": "pretrained"})
    sampling: Sampling = "uniform"
    precision: str = "float32"
    device: str = "auto"
    engine: str = "auto"
    keep: Sequence[str] = ()
    clip_seconds: int = 10
    shard_size: int | None = None
    workers: int | None = None
    deadline_seconds: float = 60.0
    decoder: Decoder = "pyav"
    memory_bytes: int | None = None
    compile_networks: bool = False
    retry_failed: bool = False
    rebuild: bool = False
    shards: Sequence[int] | None = None
