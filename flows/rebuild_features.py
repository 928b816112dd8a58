"""``rebuild-features``: one backbone of an existing store, from kept frames if there are any."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.outcomes import refuses_in_one_line
from flows.parameters import (
    Count,
    EngineName,
    ExtractRequest,
    Placement,
    Precision,
    Resources,
    RunnerKind,
    Sampling,
    Text,
)
from flows.shards import run_extraction


@flow(name="rebuild-features")
@refuses_in_one_line
def rebuild_features(
    store: Text,
    backbone: Text,
    weights: Text = "pretrained",
    clips: Text | None = None,
    media: Text | None = None,
    sampling: Sampling = "uniform",
    precision: Precision = "float32",
    device: Text = "auto",
    engine: EngineName = "auto",
    workers: Count | None = None,
    retry_failed: bool = False,
    runner: RunnerKind = "local",
    address: Text | None = None,
    processes: Count = 1,
    resources: Resources = {},  # noqa: B006 - Prefect shows the default in the form
    limit: Text | None = None,
) -> State[Any]:
    """Make one backbone's features anew, or go on doing so; no other array is touched.

    Frames and waveforms that the store has kept are read instead of the media. Features that were made
    just as asked for here are left alone.

    Args:
        store: An existing store.
        backbone: As `avvp backbones` lists it.
        weights: pretrained, random:SEED or a path.
        clips: The clip table, if its files are elsewhere now. Empty: the clips that the store lists.
        media: Where the media files of that table are, if not beside it.
        sampling: uniform, or published: the very frames that the published LLP scripts took.
        precision: Of the network.
        device: auto, cpu, cuda:0, or several with commas for as many shards at once.
        engine: What runs the network: torch, or openvino on a CPU. auto takes openvino there if it is installed.
        workers: Decode processes a device. Empty: by the number of cores.
        retry_failed: Also redo the clips that failed before.
        runner: local: this process; dask or ray: a cluster.
        address: Of a cluster that exists, e.g. tcp://scheduler:8786. Empty: one is made for this run.
        processes: Worker processes of a cluster that is made for this run.
        resources: What a task holds on a cluster, e.g. {"GPU": 1}.
        limit: A Prefect concurrency limit that each task holds a slot of, e.g. gpu. It must exist.
    """
    request = ExtractRequest(
        clips=clips, store=store, backbones=(backbone,), media=media, weights=(weights,), sampling=sampling,
        precision=precision, device=device, engine=engine, workers=workers, retry_failed=retry_failed, rebuild=True,
    )  # fmt: skip
    return run_extraction(
        request, Placement(runner=runner, address=address, processes=processes, resources=resources, limit=limit)
    )
