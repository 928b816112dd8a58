"""Two epochs of leap-han in a process that imports what the trainer does: its waiting, its memory. One JSON line."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pipeline.datasets.dataset import ClipSet, batches
from pipeline.train import run_training

BATCH = 32
SETS_AT_ONCE = 2
"""Train and val are in memory at once."""


def peak_bytes() -> int:
    """Of this process; ``getrusage`` would give that of the process which started it, if larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    folder, out, spent, sets = Path(sys.argv[1]), {}, [], {}
    plain = ClipSet.batch

    def watched(this, places):
        began = time.perf_counter()
        batch = plain(this, places)
        spent.append(time.perf_counter() - began)
        sets[id(this)] = len(this), this.nbytes
        return batch

    ClipSet.batch = watched
    changes = ("train.epochs=2", f"train.batch_size={BATCH}")
    run_training(recipe="leap-han", store_url=str(folder / "features.zarr"), annotations=str(folder / "annotations"),
                 out=folder / "run", changes=changes, device="cpu")  # fmt: skip
    seconds = [json.loads(line)["seconds"] for line in (folder / "run/times.jsonl").read_text().splitlines()]
    sizes = list(sets.values())[:SETS_AT_ONCE]
    steps = len(list(batches(sizes[0][0], BATCH, seed=0, epoch=1)))
    out["clips"], out["feature_bytes"] = sizes[0][0], sum(size for _, size in sizes)
    out["waiting"] = sum(spent[steps : 2 * steps]) / seconds[1]
    out["peak_bytes"] = peak_bytes()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
