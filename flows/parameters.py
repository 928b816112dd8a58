"""What flows are asked for: types that the Prefect form shows, and the one request that every shard's task gets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.cli.main_actions import parse_bytes, parse_weights
from pipeline.decode.clip_buffer import Decoder
from pipeline.extraction.options import ExtractOptions
from storage.clips import ClipTable
from storage.errors import InvalidInput
from storage.store import FeatureStore

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Names = Annotated[list[Text], Field(min_length=1)]
Sampling = Literal["uniform", "published"]
Precision = Literal["float32", "bfloat16", "float16"]
EngineName = Literal["auto", "torch", "openvino"]
Kept = Literal["frames", "waveform", "logmel"]
RunnerKind = Literal["local", "dask", "ray"]
Resources = dict[str, Annotated[float, Field(gt=0)]]
Embedder = Annotated[str, Field(pattern=r"^(glove|bert|clip|clap)(:.+)?$")]
Split = Literal["val", "test"]


class ExtractRequest(BaseModel):
    """An extraction, as flows and their tasks hand it on: paths and numbers only.

    Attributes:
        store: path or fsspec URL.
        backbones: registered names.
        clips: a folder of media or a clip table; ``None`` for the clips that the store lists.
        media: where a table's files are.
        weights: as ``avvp extract --weights`` takes them.
        sampling: ``uniform`` or ``published``.
        precision: of the networks.
        device: ``auto``, ``cpu``, ``cuda:N``, or several with commas.
        engine: what runs the networks.
        keep: intermediates to keep.
        clip_seconds: length of every clip; ``None`` for that of a store that is there.
        shard_size: clips a shard; ``None`` for the store's, or 64.
        workers: decode processes a device.
        deadline_seconds: for decoding one clip.
        decoder: of pictures: pyav, auto or decord.
        memory: for decoded clips, such as ``2GB``.
        compile_networks: through ``torch.compile``.
        retry_failed: also redo clips that failed before.
        rebuild: replace arrays that were made otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    backbones: tuple[str, ...]
    clips: str | None = None
    media: str | None = None
    weights: tuple[str, ...] = ("pretrained",)
    sampling: Sampling = "uniform"
    precision: Precision = "float32"
    device: str = "auto"
    engine: EngineName = "auto"
    keep: tuple[Kept, ...] = ()
    clip_seconds: int | None = None
    shard_size: int | None = None
    workers: int | None = None
    deadline_seconds: float = 60.0
    decoder: Decoder = "pyav"
    memory: str | None = None
    compile_networks: bool = False
    retry_failed: bool = False
    rebuild: bool = False

    @property
    def devices(self) -> int:
        """How many shards one process can do at once."""
        return len(self.device.split(","))

    def table(self) -> ClipTable:
        """The clips.

        Raises:
            AvvpError: If they cannot be read.
        """
        if self.clips is not None:
            return ClipTable.load(self.clips, media=self.media)
        if self.media is not None:
            raise InvalidInput("media is given without clips: a store lists its clips with their paths")
        return FeatureStore.open(self.store).clips

    def options(self) -> ExtractOptions:
        """The same, as the pipeline wants it.

        Raises:
            InvalidInput: If weights or memory are malformed.
        """
        seconds = self.clip_seconds
        if seconds is None:
            seconds = FeatureStore.open(self.store).info.clip_seconds
        return ExtractOptions(
            backbones=self.backbones,
            weights=parse_weights(self.weights, self.backbones),
            sampling=self.sampling,
            precision=self.precision,
            device=self.device,
            engine=self.engine,
            keep=self.keep,
            clip_seconds=seconds,
            shard_size=self.shard_size,
            workers=self.workers,
            deadline_seconds=self.deadline_seconds,
            decoder=self.decoder,
            memory_bytes=parse_bytes(self.memory) if self.memory else None,
            compile_networks=self.compile_networks,
            retry_failed=self.retry_failed,
            rebuild=self.rebuild,
        )


class Placement(BaseModel):
    """Where the tasks of a flow run.

    Attributes:
        runner: ``local``, ``dask`` or ``ray``.
        address: of a cluster that exists; ``None`` for one made for this run.
        processes: worker processes of a cluster made for this run.
        resources: what a task holds while it runs, such as ``{"GPU": 1}``.
        limit: name of a Prefect concurrency limit that a task holds a slot of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runner: RunnerKind = "local"
    address: str | None = None
    processes: int = 1
    resources: dict[str, float] = Field(default_factory=dict)
    limit: str | None = None

    def check(self) -> None:
        """Look for options that do not go together.

        Raises:
            InvalidInput: If there are some.
        """
        if self.runner == "local" and self.address:
            raise InvalidInput(f"address {self.address}: is for runner dask or ray; the runner asked for is local")
        if self.runner == "local" and self.resources:
            raise InvalidInput("resources are for runner dask or ray; on one machine, name devices: cuda:0,cuda:1")
        schemes = {"dask": ("tcp://", "tls://", "ucx://"), "ray": ("ray://",)}.get(self.runner, ())
        if self.address and self.address != "auto" and not self.address.startswith(schemes):
            raise InvalidInput(f"address {self.address!r}: expected one that begins with {' or '.join(schemes)}")
