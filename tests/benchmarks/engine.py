"""Our side: clips through the engine into a store. Prints one JSON line. Run by run.py in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from extractors import batch_runner as runner
from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.reporting import Reporter
from storage.clips import Clip, ClipTable
from storage.store import FeatureStore


class Watch(Reporter):
    """When the networks were ready, and when the last shard was on disk."""

    def running(self) -> None:
        self.began = time.perf_counter()

    def shard_done(self, shard: int) -> None:
        self.ended = time.perf_counter()


class ModelClock:
    """Seconds spent in networks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        plain = runner.BatchRunner.submit_buffer

        def submit_buffer(this, buffer, count):
            began = time.perf_counter()
            pending = plain(this, buffer, count)
            self.seconds += time.perf_counter() - began
            return pending

        runner.BatchRunner.submit_buffer = submit_buffer


def main() -> None:
    request = json.loads(sys.argv[1])
    clips = [
        Clip(f"{Path(path).stem} {copy}", path) for copy in range(request.get("copies", 1)) for path in request["clips"]
    ]
    clock, watch = ModelClock(), Watch()
    weights = ["random:0"]
    if "efficientnet_lite0" in request["backbones"]:
        weights.append("efficientnet_lite0=pretrained")
    out = {"clips": len(clips)}
    with tempfile.TemporaryDirectory() as folder:
        url = f"{folder}/bench.zarr"
        options = ExtractOptions(
            request["backbones"],
            weights,
            sampling=request.get("sampling", "uniform"),
            device=request.get("device", "cpu"),
            precision=request.get("precision", "float32"),
        )
        extract(ClipTable(clips), url, options, reporter=watch)
        out |= {"seconds": watch.ended - watch.began, "model_seconds": clock.seconds}
        if request.get("save"):
            store = FeatureStore.open(url)
            rows = {Path(path).stem: row for row, path in enumerate(request["clips"])}
            np.savez(request["save"], **{f"{name}/{stem}": store.read(name, [row])[0] for name in store.features
                                         for stem, row in rows.items()})  # fmt: skip
    import resource

    out["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(out))


if __name__ == "__main__":
    main()
