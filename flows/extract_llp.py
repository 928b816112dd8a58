"""``extract-llp``: decode once, run every backbone, a task a shard."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.outcomes import refuses_in_one_line
from flows.parameters import (
    Count,
    EngineName,
    ExtractRequest,
    Kept,
    Names,
    Placement,
    Precision,
    Resources,
    RunnerKind,
    Sampling,
    Seconds,
    Text,
)
from flows.shards import run_extraction
from pipeline.decode.clip_buffer import Decoder


@flow(name="extract-llp")
@refuses_in_one_line
def extract_llp(
    clips: Text,
    store: Text,
    backbones: Names,
    media: Text | None = None,
    weights: Names = ["pretrained"],  # noqa: B006 - Prefect shows the default in the form
    sampling: Sampling = "uniform",
    precision: Precision = "float32",
    device: Text = "auto",
    engine: EngineName = "auto",
    keep: list[Kept] = [],  # noqa: B006
    clip_seconds: Count = 10,
    shard_size: Count | None = None,
    workers: Count | None = None,
    deadline_seconds: Seconds = 60.0,
    decoder: Decoder = "pyav",
    memory: Text | None = None,
    compile_networks: bool = False,
    retry_failed: bool = False,
    rebuild: bool = False,
    runner: RunnerKind = "local",
    address: Text | None = None,
    processes: Count = 1,
    resources: Resources = {},  # noqa: B006
    limit: Text | None = None,
) -> State[Any]:
    """Fill a store with features. What is there already is left alone, so a run that broke is simply run again.

    Args:
        clips: A folder of media, the LLP CSVs (a file or their folder), or a CSV or JSONL of your own.
        store: The store: a path or a URL such as s3://bucket/llp.zarr. Made if absent.
        backbones: Names as `avvp backbones` lists them, e.g. ["resnet152", "vggish"].
        media: Where the media files of a table are, if not beside it.
        weights: pretrained, random:SEED or a path; NAME=... for one backbone only.
        sampling: uniform, or published: the very frames that the published LLP scripts took.
        precision: Of the networks.
        device: auto, cpu, cuda:0, or several with commas for as many shards at once.
        engine: What runs the networks: torch, or openvino on a CPU. auto takes openvino there if it is installed.
        keep: Intermediates to keep in the store; with frames, new backbones need no second decode.
        clip_seconds: Length of every clip.
        shard_size: Clips a shard: one task, and what a kill can cost. Empty for 64, or the store's own.
        workers: Decode processes a device. Empty: by the number of cores.
        deadline_seconds: For decoding one clip.
        decoder: Of pictures.
        memory: For decoded clips and open shards, e.g. 2GB. Empty for no limit.
        compile_networks: Run the networks through torch.compile.
        retry_failed: Also redo the clips that failed before.
        rebuild: Replace arrays of these backbones that were made otherwise.
        runner: local: this process; dask or ray: a cluster.
        address: Of a cluster that exists, e.g. tcp://scheduler:8786. Empty: one is made for this run.
        processes: Worker processes of a cluster that is made for this run.
        resources: What a task holds on a cluster, e.g. {"GPU": 1}.
        limit: A Prefect concurrency limit that each task holds a slot of, e.g. gpu. It must exist.
    """
    request = ExtractRequest(
        clips=clips, store=store, backbones=tuple(backbones), media=media, weights=tuple(weights), sampling=sampling,
        precision=precision, device=device, engine=engine, keep=tuple(keep), clip_seconds=clip_seconds,
        shard_size=shard_size, workers=workers, deadline_seconds=deadline_seconds, decoder=decoder, memory=memory,
        compile_networks=compile_networks, retry_failed=retry_failed, rebuild=rebuild,
    )  # fmt: skip
    return run_extraction(
        request, Placement(runner=runner, address=address, processes=processes, resources=resources, limit=limit)
    )
