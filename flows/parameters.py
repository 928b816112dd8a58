"""Parameter types of flows, as the Prefect form shows them, and the request of a shard's task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import Doc

from pipeline.extraction.options import Count, ExtractOptions, Seconds
from pipeline.extraction.options import Text as Text
from storage.clips import ClipTable
from storage.errors import InvalidInput
from storage.store import FeatureStore

Several = Text | list[Text]
"""Of one value the form and ``-p`` take the text itself, of several a list; :func:`several` reads both."""
Names = Text | Annotated[list[Text], Field(min_length=1)]
"""The same, of which there must be one."""
RunnerKind = Literal["local", "dask", "ray"]
Resources = Mapping[str, Annotated[float, Field(gt=0)]]
Embedder = Annotated[str, Field(pattern=r"^(glove|bert|clip|clap|hf)(:.+)?$")]
Split = Literal["val", "test"]


def several(given: str | Sequence[str]) -> tuple[str, ...]:
    """The values of a parameter that takes one or a list of them."""
    return (given,) if isinstance(given, str) else tuple(given)


@dataclass(frozen=True)
class ExtractRequest:
    """An extraction, as flows and their tasks hand it on: paths and numbers only.

    Attributes:
        store: path or fsspec URL.
        options: what and how.
        clips: a folder of media or a clip table; ``None`` for the clips that the store lists.
        media: where a table's files are.
        split: only the clips of this split.
        clip_limit: only the first so many clips.
    """

    store: str
    options: ExtractOptions
    clips: str | None = None
    media: str | None = None
    split: str | None = None
    clip_limit: int | None = None

    def table(self) -> ClipTable:
        """The clips.

        Raises:
            AvvpError: If they cannot be read.
        """
        if self.clips is not None:
            return ClipTable.load(self.clips, media=self.media).part(split=self.split, limit=self.clip_limit)
        if self.media is not None:
            raise InvalidInput("media is given without clips: a store lists its clips with their paths")
        return FeatureStore.open(self.store).clips


@dataclass(frozen=True)
class RunSettings:
    """What every flow can be told about a run as such. The fields' texts are in their types."""

    timeout_seconds: Annotated[
        Seconds | None, Doc("End the run after so long; what is done by then stays. Empty: no limit.")
    ] = None
    credentials: Annotated[
        Text | None,
        Doc("For buckets: a Prefect block or variable that holds fsspec options, e.g. secret/lab. See docs/flows.md."),
    ] = None


@dataclass(frozen=True)
class Placement:
    """Where the tasks of a flow run. The fields' texts are in their types."""

    runner: Annotated[RunnerKind, Doc("local: this process; dask or ray: a cluster.")] = "local"
    address: Annotated[
        Text | None,
        Doc(
            "Of a cluster that exists, e.g. tcp://scheduler:8786 or ray://head:10001. Empty: one is made for this run."
        ),
    ] = None
    processes: Annotated[
        Count, Doc("Processes of a cluster that is made for this run; they share out the devices.")
    ] = 1
    resources: Annotated[Resources, Doc('What a task holds on a cluster, e.g. {"GPU": 1}.')] = field(
        default_factory=dict
    )
    limit: Annotated[
        Text | None, Doc("A Prefect concurrency limit that each task holds a slot of, e.g. gpu. It must exist.")
    ] = None

    @property
    def makes_cluster(self) -> bool:
        """Whether a Dask or Ray cluster is made on this machine for the run."""
        return self.runner != "local" and not self.address

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
        is_found = self.runner == "ray" and self.address == "auto"
        if self.address and not is_found and not self.address.startswith(schemes):
            raise InvalidInput(f"address {self.address!r}: expected one that begins with {' or '.join(schemes)}")
