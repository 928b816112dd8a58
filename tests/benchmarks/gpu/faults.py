"""Stage 6: what a GPU does to a run when things go wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from bench import Bench, units_of
from overlap import LIGHT, Tags

from extractors.base import Units
from extractors.failure import Failure
from pipeline.extraction.batching import Batcher

MANY = 256


def run(bench: Bench) -> None:
    memory(bench)
    not_finite(bench)
    broken(bench)
    if bench.has_time:
        two_workers(bench)


def memory(bench: Bench) -> None:
    """Memory that is gone for one batch: the batch gives the same, and the next one is whole again."""
    extractor = bench.load(LIGHT, "float32")
    if extractor is None:
        return
    runner = bench.runner(extractor, batch_units=4 if bench.small else MANY)
    units = units_of(extractor, runner.batch_units)
    (want, *_) = runner.submit(units).result()
    if bench.on_gpu:
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(bench.device)
        hog = torch.empty(max(free - (64 << 20), 1), dtype=torch.uint8, device=bench.device)
    else:
        plain, hog = runner._forward, None
        runner._forward = refuse
    (got, *_) = runner.submit(units).result()
    del hog
    if not bench.on_gpu:
        runner._forward = plain
    (after, *_) = runner.submit(units).result()
    bench.say(
        fault="out of memory", difference=float(np.abs(want - got).max() / np.abs(want).max()),
        batch_units_after=runner.size.units, same_bits_after=bool((after == want).all()),
    )  # fmt: skip


def refuse(batch):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")


class Overflowing(Tags):
    """Squares large numbers, as a network might whose activations leave float16's range."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._dtype = torch.float16 if "float16" in bench.precisions else torch.float32

    def forward(self, batch):
        large = batch.to(self._dtype)[:, :1] * (1e3 if self._dtype == torch.float16 else 1e30)
        return ((large * large).float(),)


def not_finite(bench: Bench) -> None:
    """A clip whose features overflow is a failure with a reason; its neighbours are not."""
    delivered = {}
    extractor = Overflowing(bench)
    runner = bench.runner(extractor, batch_units=4)
    batcher = Batcher(extractor, runner, deliver=lambda clip, result: delivered.update({clip: result}))
    for clip, value in (("quiet", 0.0), ("loud", 1e10 if not bench.on_gpu else 100.0)):
        batcher.add(clip, Units(np.full((1, 4), value, dtype=np.float32), np.ones(1, dtype=bool)))
    batcher.flush()
    reason = delivered["loud"].reason if isinstance(delivered["loud"], Failure) else ""
    bench.say(fault="not finite", reason=reason, neighbour_is_fine=not isinstance(delivered["quiet"], Failure))


def broken(bench: Bench) -> None:
    """A device-side assert, in a process of its own: it must end, and commit nothing."""
    child = Path(__file__).with_name("broken_device.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(child), bench.device], capture_output=True, text=True, timeout=300
    )
    lines = done.stdout.strip().splitlines()
    told = json.loads(lines[-1]) if lines else {"problem": done.stderr[-300:]}
    bench.say(fault="device-side assert", exit_code=done.returncode, **told)


def two_workers(bench: Bench) -> None:
    """Two worker processes on one device share a store."""
    try:
        from pipeline.extraction.extract import extract
        from pipeline.extraction.options import ExtractOptions
        from pipeline.synthetic.dataset import write_dataset
        from storage.clips import Clip, ClipTable
    except ImportError as missing:
        bench.say(fault="two workers", skipped=f"needs {missing.name}")
        return
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(folder, count=4)
        clips = [Clip(path.stem, str(path)) for path in sorted(Path(folder, "clips").glob("*.mp4"))]
        options = ExtractOptions(
            (LIGHT,), ("random:0",), device=f"{bench.device},{bench.device}", shard_size=1, workers=2, engine="torch"
        )
        report = extract(ClipTable(clips), f"{folder}/s.zarr", options)
    bench.say(fault="two workers", clips=len(clips), shards=len(report.shards), failed=len(report.failed))
